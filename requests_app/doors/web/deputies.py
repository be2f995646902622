"""The page of absences: who is out of the office, until when, and who decides in their place."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain.actors import Role
from requests_app.domain.acts.deputies import END_OUT_OF_OFFICE, SET_OUT_OF_OFFICE
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import Action, Button, Column, Empty, Link, Page, Table, Text, Visit, filled, to
from requests_app.doors.web.forms import PageForm
from requests_app.doors.web.forms.tenant import EndForm, OutOfOfficeForm
from requests_app.models import OutOfOffice
from requests_app.queries import tenant as queries
from requests_app.templatetags.lockbox import person, when


def _may_name(visit: Visit) -> bool:
    return Role.APPROVER in visit.roles and visit.tenant.pk not in visit.actor.stands_in_for


def _may_end(visit: Visit, row: OutOfOffice) -> bool:
    return Role.ADMINISTRATOR in visit.roles or row.approver_id == visit.actor.person_id


def _form(visit: Visit, data: QueryDict | None) -> OutOfOfficeForm:
    return OutOfOfficeForm(data, deputies=queries.deputies(visit.tenant, actor=visit.actor))


def _no_deputy(form: PageForm) -> Text:
    if form.fields["deputy"].choices:  # type: ignore[attr-defined]  # a ChoiceField
        return ""
    return _(
        "There is nobody whom you can name as your deputy. Your administrator must first give somebody the role "
        "“Deputy”."
    )


def _name(visit: Visit, values: dict[str, Any]) -> OutOfOffice:
    return operations.set_out_of_office(
        visit.tenant.pk,
        deputy_id=values["deputy"],
        from_at=values["from_at"],
        until_at=values["until_at"],
        actor=visit.actor,
    )


def _named(visit: Visit, row: OutOfOffice) -> str:
    return filled(str(SET_OUT_OF_OFFICE.done), name=row.deputy.name)


def _ended(visit: Visit, row: OutOfOffice) -> str:
    return filled(str(END_OUT_OF_OFFICE.done), name=row.deputy.name, approver=row.approver.name)


PAGE = Page(
    name="out_of_office",
    path="tenant/<uuid:tenant>/out-of-office/",
    heading=_("Out of office"),
    back=Link(_("People of {tenant}"), to("web:people", "tenant")),
    lead=_(
        "An approver who will be away names a deputy for that time. Only during that time, the deputy gets the "
        "mails about decisions, and can decide. The deputy decides under their own name, and the log says for "
        "whom. The approver can still decide, too. The deputy’s time ends automatically."
    ),
    table=Table(
        caption=_("Who is out of the office, now or later"),
        rows=lambda visit: queries.absences(visit.tenant, at=visit.at),
        columns=(
            Column(_("Out of the office"), lambda row: row.approver, person),
            Column(_("Deputy"), lambda row: row.deputy, person),
            Column(_("From"), lambda row: row.from_at, when),
            Column(_("Until"), lambda row: row.until_at, when),
        ),
        empty=Empty(
            _("Nobody is out of the office"),
            _("This list shows who is away, until when, and who decides in their place."),
            "clock",
        ),
        button=Button(
            label=_("End this absence"),
            column=_("Manage"),
            form=EndForm,
            find=lambda visit, pk: queries.absence(visit.tenant, pk),
            run=lambda visit: operations.end_out_of_office(visit.thing.pk, actor=visit.actor),
            done=_ended,
            offered=_may_end,
            describes=lambda row: row.approver.name,
        ),
    ),
    action=Action(
        heading=_("Are you away?"),
        label=_("Make this person your deputy"),
        missing=_no_deputy,
        act=SET_OUT_OF_OFFICE,
        form=_form,
        offered=_may_name,
        run=_name,
        done=_named,
    ),
)

urlpatterns = addresses(PAGE)
