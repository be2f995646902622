"""Provides the page's instant, the signed-in person with their roles, and the menu to every page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from requests_app.domain import clock
from requests_app.domain.actors import Actor, Role
from requests_app.doors.web._secrets import secret_names
from requests_app.doors.web.gate import lacks_second_factor
from requests_app.doors.web.middleware import actor_in
from requests_app.models import Person, Tenant
from requests_app.operations import LOG_READERS
from requests_app.queries import inbox, menu
from requests_app.queries.guide import Guide
from requests_app.queries.guide_of_provider import provider_guide
from requests_app.queries.guide_of_tenant import tenant_guide
from requests_app.templatetags.addresses import address, address_of

ROLE_WORDS: dict[Role, str | Promise] = {
    Role.APPROVER: _("Approver"),
    Role.AUDITOR: _("Auditor"),
    Role.ADMINISTRATOR: _("Administrator"),
    Role.DEPUTY: _("Deputy"),
    Role.MEMBER: _("Member"),
    Role.ENGINEER: _("Engineer"),
    Role.PROVIDER_APPROVER: _("Provider approver"),
    Role.STAFF: _("Staff"),
}
_ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})
_INSTANT, _COUNT, _TENANTS = "page_instant", "page_waiting_count", "page_tenants"


@dataclass
class NavItem:
    label: str | Promise
    url: str
    count: str = ""
    current: bool = False


def instant(request: HttpRequest) -> datetime:
    """Return the instant of this page. The clock is read once, so all parts of the page agree.

    A page that changes nothing shows the time at which the request began. An act may have waited since then.
    """
    at: datetime | None = getattr(request, _INSTANT, None)
    if at is None:
        began_at: datetime | None = getattr(request, "began_at", None) if request.method in ("GET", "HEAD") else None
        at = began_at or clock.now()
        setattr(request, _INSTANT, at)
    return at


def instant_again(request: HttpRequest) -> datetime:
    """Read the clock again, and make this the instant of the page, which may have waited since the request began."""
    at = clock.now()
    setattr(request, _INSTANT, at)
    return at


def began(request: HttpRequest) -> datetime:
    """Return when the request began, if this was measured, or else the page's instant."""
    at: datetime | None = getattr(request, "began_at", None)
    return at or instant(request)


def waiting_count(request: HttpRequest) -> int:
    """Return how many access requests wait for this person. The menu and the first page share this count."""
    count: int | None = getattr(request, _COUNT, None)
    if count is None:
        count = inbox.count_waiting_for(actor_in(request), at=instant(request))
        setattr(request, _COUNT, count)
    return count


def tenants_of(request: HttpRequest) -> list[Tenant]:
    """Return the tenants of this person. The menu and the first page share them."""
    found: list[Tenant] | None = getattr(request, _TENANTS, None)
    if found is None:
        found = menu.tenants(actor_in(request))
        setattr(request, _TENANTS, found)
    return found


def page(request: HttpRequest) -> dict[str, Any]:
    """Return the context of every page.

    If the database fails here, the answer is 503. The page about that failure is made without this context.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"now": instant(request)}
    person = cast(Person, user)
    context: dict[str, Any] = {"now": instant(request), "theme": person.theme, "secret_names": secret_names()}
    if request.path_info.startswith("/admin/"):
        return {**context, "set_up": partial(_providers_set_up, request)}
    actor = actor_in(request)
    tenants = tenants_of(request)
    return {
        **context,
        "set_up": partial(_tenants_set_up, request, actor, tenants),
        "tenant_name": ", ".join(tenant.name for tenant in tenants),
        "role_words": ", ".join(str(words) for role, words in ROLE_WORDS.items() if role in actor.roles),
        "nav_items": _nav_items(request, actor, tenants),
    }


def counted(number: int) -> str:
    """Return a count as text. Zero gives "". A number from `inbox.COUNTED` on gives "99+"."""
    if number >= inbox.COUNTED:
        return f"{inbox.COUNTED - 1}+"
    return str(number) if number else ""


def _providers_set_up(request: HttpRequest) -> dict[str, Any] | None:
    """Return the provider's set-up and its address, for the way onwards after an act. None if it is finished."""
    url = reverse("admin:set_up")
    if request.path == url or not actor_in(request).is_staff:
        return None
    return _onwards(request, provider_guide(actor=actor_in(request), at=instant(request)), url)


def _tenants_set_up(request: HttpRequest, actor: Actor, tenants: list[Tenant]) -> dict[str, Any] | None:
    """Return the set-up of the page's tenant and its address, for its administrator. None if it is finished.

    A page about the person alone belongs to the only tenant of an administrator.
    """
    pk = request.resolver_match.kwargs.get("tenant") if request.resolver_match else None
    administered = menu.tenants_where(actor, tenants, _ADMINISTRATORS)
    found = [each for each in administered if each.pk == pk] if pk else administered
    if len(found) != 1:
        return None
    url = reverse("web:guide", args=[found[0].pk])
    if request.path == url:
        return None
    return _onwards(request, tenant_guide(found[0].pk, actor=actor, at=instant(request)), url)


def _onwards(request: HttpRequest, guide: Guide[Any], url: str) -> dict[str, Any] | None:
    """Return the set-up for a page after an act. When the product is in use, only a step's own acts lead onwards.

    Until a person has added a needed second factor, each link would lead back to the page that adds it.
    """
    if lacks_second_factor(request):
        return None
    page = request.resolver_match.view_name if request.resolver_match else ""
    if guide.is_complete or (guide.facts.is_in_use and not guide.is_about(page)):
        return None
    return {"guide": guide, "url": url}


def _nav_items(request: HttpRequest, actor: Actor, tenants: list[Tenant]) -> list[NavItem]:
    waits = counted(waiting_count(request))
    items = [_item(_("Home"), "home", count=waits)]
    if actor.tenant_roles or actor.queue_roles or actor.is_staff:
        items += [_item(_("Access requests"), "access_requests"), _item(_("Tickets"), "tickets")]
    for label, name, roles in (
        (_("Log"), "log", LOG_READERS),
        (_("Lockbox"), "tenant", _ADMINISTRATORS),
        (_("People"), "people", _ADMINISTRATORS),
    ):
        allowed = menu.tenants_where(actor, tenants, roles)
        items += [_item(_of(label, tenant, allowed), name, tenant.pk) for tenant in allowed]
    if actor.is_staff:
        items.append(NavItem(_("Administration"), reverse("admin:index")))
    present = [item for item in items if item.url]
    _mark_current(present, request.path_info)
    return present


def _item(label: str | Promise, name: str, pk: UUID | None = None, *, count: str = "") -> NavItem:
    try:
        url = address_of(f"web:{name}", pk) if pk else address(f"web:{name}")
    except NoReverseMatch:
        # A part of the product that is not installed has no address.
        url = ""
    return NavItem(label, url, count)


def _of(label: Promise | str, tenant: Tenant, tenants: list[Tenant]) -> str | Promise:
    return f"{label} ({tenant.name})" if len(tenants) > 1 else label


def _mark_current(items: list[NavItem], path: str) -> None:
    """Mark the menu item whose address is the longest beginning of the page's address.

    The home page's item matches only the home page.
    """
    inside = [item for item in items if path == item.url or (item.url != "/" and path.startswith(item.url))]
    if inside:
        max(inside, key=lambda item: len(item.url)).current = True
