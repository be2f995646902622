"""The page of a tenant's notification addresses, which only get mails."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain.acts.tenants import ADD_ADDRESS
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import Action, Button, Column, Empty, Page, Table, Visit
from requests_app.doors.web.forms.tenant import AddressForm, RemovalForm
from requests_app.doors.web.tenant import administers
from requests_app.models import NotificationAddress
from requests_app.queries import tenant as queries
from requests_app.templatetags.lockbox import when


def _may_change(visit: Visit, row: NotificationAddress | None = None) -> bool:
    return administers(visit.actor, visit.tenant)


def _add(visit: Visit, values: dict[str, Any]) -> None:
    visit.thing = operations.add_address(visit.tenant.pk, **values, actor=visit.actor)


PAGE = Page(
    name="addresses",
    path="tenant/<uuid:tenant>/addresses/",
    heading=_("Addresses of {tenant}"),
    tab="addresses",
    lead=_(
        "These addresses get the same mails as your approvers. The mails say who asks for access to what, until when "
        "an approver can answer, which windows opened and closed, and which items were opened. Only the approvers get "
        "reminders. The addresses can decide nothing: a link in a mail only opens a page."
    ),
    table=Table(
        caption=_("Notification addresses"),
        rows=lambda visit: queries.addresses(visit.tenant),
        columns=(
            Column(_("Address"), lambda row: row.email),
            Column(_("Description"), lambda row: row.label or None),
            Column(_("Since"), lambda row: row.created_at, when),
        ),
        empty=Empty(
            _("No address gets mails yet"),
            _(
                "Add the mailbox of your security team, or of the person on call. They learn about every access "
                "request immediately."
            ),
            "mail",
        ),
        button=Button(
            label=_("Remove"),
            column=_("Remove"),
            form=RemovalForm,
            find=lambda visit, pk: queries.address(visit.tenant, pk),
            run=lambda visit: operations.remove_address(visit.thing.pk, actor=visit.actor),
            done=_("{thing} gets no more mails."),
            offered=_may_change,
            describes=lambda row: row.email,
        ),
    ),
    action=Action(
        heading=_("Add an address"),
        label=_("Add this address"),
        act=ADD_ADDRESS,
        form=lambda visit, data: AddressForm(data),
        offered=_may_change,
        run=_add,
        done=_("{thing} gets mails from now on."),
    ),
)

urlpatterns = addresses(PAGE)
