"""The pages with which a person gets a new email address for their account.

One page sends a link to the new address, and the page behind the link confirms the address.
"""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.acts.own_account import CONFIRM_ADDRESS, REQUEST_ADDRESS
from requests_app.domain.errors import NotFound
from requests_app.doors.web import _thing_views
from requests_app.doors.web._things import Action, Column, Link, Page, Text, Visit, to
from requests_app.doors.web.forms.addresses import AddressForm
from requests_app.models import AddressChange, Person
from requests_app.models.row_security import own_account
from requests_app.queries import addresses as queries
from requests_app.templatetags.lockbox import when
from requests_app.words.text import visible_single

_HOW_YOU_SIGN_IN = Link(_("How you sign in"), to("web:security"))


def _person(visit: Visit) -> Person:
    return cast(Person, visit.request.user)


def _keeps_address(visit: Visit) -> bool:
    return _person(visit).may_change_address()


def _address_now(visit: Visit) -> str:
    email = visible_single(_person(visit).email)
    return format_html(
        "{} <strong>{}</strong>", _("You sign in with this address, and this address gets your mail:"), email
    )


def _who_keeps_it(visit: Visit) -> Text:
    if _keeps_address(visit):
        return ""
    return _(
        "Your organisation’s directory manages this address. Ask the directory’s administrator for another address."
    )


def _send_link(visit: Visit, values: dict[str, Any]) -> None:
    # The answer does not show whether the address belongs to another account.
    with own_account():
        operations.request_address(email=values["email"], actor=visit.actor)


def _find(visit: Visit, ids: dict[str, Any]) -> AddressChange:
    return queries.address_change_behind(ids["secret"], person=_person(visit), at=visit.at)


def _confirm(visit: Visit, values: dict[str, Any]) -> None:
    with own_account():
        operations.confirm_address(visit.request.resolver_match.kwargs["secret"], actor=visit.actor)  # type: ignore[union-attr]  # it was resolved


ADDRESS = Page(
    name="address",
    path="security/address/",
    heading=_("Your address"),
    back=_HOW_YOU_SIGN_IN,
    is_narrow=True,
    lead=(_address_now, _who_keeps_it),
    action=Action(
        lead=_(
            "We send a link to the new address. Only you can use the link: once, and within 24 hours. The new "
            "address replaces the old address only after you have used the link. The old address gets a mail "
            "about both steps."
        ),
        label=_("Send the link"),
        form=lambda visit, data: AddressForm(data),
        offered=_keeps_address,
        run=_send_link,
        done=REQUEST_ADDRESS.done,
        then=to("web:security"),
    ),
)

CONFIRMATION = Page(
    name="address_confirm",
    path="address/<str:secret>/",
    heading=_("Use the new address?"),
    back=_HOW_YOU_SIGN_IN,
    is_narrow=True,
    find=_find,
    facts=(
        Column(_("Current address"), lambda row: row.email_before),
        Column(_("New address"), lambda row: row.email),
        Column(_("Works until"), lambda row: row.expires_at, when),
    ),
    action=Action(
        lead=_(
            "After you confirm, you sign in with the new address, and it gets your mail. The log records the "
            "change, and the old address gets a mail."
        ),
        label=_("Use this address"),
        cancel=_("Cancel"),
        style="strong",
        run=_confirm,
        done=CONFIRM_ADDRESS.done,
        then=to("web:security"),
    ),
)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, secret: str) -> HttpResponse:
    """Confirm an address. Every link that is invalid or belongs to another person gets the same page."""
    try:
        return _thing_views.view_of(CONFIRMATION)(request, secret=secret)
    except NotFound:
        return render(request, "security/address_no_good.html", status=NotFound.status)


urlpatterns = [*_thing_views.addresses(ADDRESS), path(CONFIRMATION.path, confirm, name=CONFIRMATION.name)]
