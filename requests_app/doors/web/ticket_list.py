"""The list of tickets, with filters for owner, state, customer and words."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.acts.tickets import OPEN_TICKET
from requests_app.domain.errors import Malformed
from requests_app.doors.web.forms.tickets import FilterForm
from requests_app.doors.web.middleware import actor_in
from requests_app.queries import inbox
from requests_app.queries import ticket_list as queries


@login_required
@require_GET
def tickets(request: HttpRequest) -> HttpResponse:
    actor = actor_in(request)
    views = _views(actor)
    form = FilterForm(request.GET, actor=actor)
    form.require_known()
    form.require_valid()
    search, filters = _search(form, actor, views)
    page = queries.page(actor, search, cursor=_cursor(request))
    context = {
        "page": page,
        "tabs": [(name, words, _list_url({**filters, "view": name})) for name, words in views],
        "view": search.view,
        "form": FilterForm(initial={**filters, "view": search.view, "state": search.state}, actor=actor),
        "is_filtered": bool(search.text or search.tenant_ids is not None or search.state != queries.LIVE),
        "newer_url": _list_url({**filters, "before": page.newer}),
        "older_url": _list_url({**filters, "after": page.older}),
        "has_cursor": bool(_cursor(request)),
        "first_url": _list_url(filters) or reverse("web:tickets"),
        "shows_tenant": actor.side is not Side.CUSTOMER or len(actor.tenant_ids) > 1,
        "may_open": bool(openers(actor)),
    }
    return render(request, "tickets/list.html", context)


def _views(actor: Actor) -> list[tuple[str, str]]:
    """Return the lists that this person can choose from. The first list is the default."""
    if actor.side is Side.CUSTOMER:
        return [("all", _("All of our tickets")), ("mine", _("Mine"))]
    if Role.ENGINEER in actor.roles:
        return [("queue", _("My queue")), ("mine", _("Mine")), ("all", _("All that I can see"))]
    return [("all", _("All that I can see"))]


def _search(form: FilterForm, actor: Actor, views: list[tuple[str, str]]) -> tuple[queries.Search, dict[str, Any]]:
    values = form.cleaned_data
    view = values["view"] or views[0][0]
    if view not in dict(views):
        raise Malformed
    named = values.get("tenant", "").strip()
    search = queries.Search(
        view=view,
        state=values["state"] or queries.LIVE,
        tenant_ids=inbox.tenants_named(actor, named) if named else None,
        text=values["text"].strip(),
    )
    return search, {name: value for name, value in values.items() if value}


def _cursor(request: HttpRequest) -> inbox.Cursor | None:
    for name in ("after", "before"):
        if name in request.GET:
            return inbox.Cursor.read(request.GET[name], is_older=name == "after")
    return None


def _list_url(values: dict[str, Any]) -> str:
    """Return the address of the list with these filters, or "" if there is no such page."""
    if None in values.values():
        return ""
    return f"{reverse('web:tickets')}?{urlencode(values)}" if values else ""


def openers(actor: Actor) -> frozenset[Role]:
    """Return those roles of this person that allow them to open a ticket."""
    return OPEN_TICKET.roles & actor.roles
