"""Tickets: the form for a new ticket, and the page on which both sides write and the provider works."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from requests_app import operations
from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.acts.declaration import Act, Door, Noun
from requests_app.domain.acts.tickets import ASSIGN_TICKET, COMMENT, LINK_TICKET
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.domain.lifecycle import TICKET_TRANSITIONS, plain_acts
from requests_app.domain.states import State
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.doors.web.forms.tickets import AssignForm, EndForm, LinkForm, NewTicketForm, NoteForm, ReplyForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.ticket_list import openers, tickets
from requests_app.models import AccessRequest, Tenant, Ticket
from requests_app.queries import access
from requests_app.queries import tickets as queries
from requests_app.queries.practice import next_in_trial
from requests_app.words import sentences

#: If there are more tenants than this, the person must search.
TENANTS_LISTED = 20
#: Acts with a confirmation page. The page says what ends with the ticket, or asks for the reason.
CONFIRMED = frozenset({"resolve_ticket", "close_ticket", "reopen_ticket"})
#: Acts that need only the text of a form. The other acts on a ticket have their own forms.
_ACTS: dict[str, Act] = {act.name: act for act in plain_acts(Noun.TICKET, Door.PAGES)}
_DONE: dict[str, str | Promise] = {
    **{act.name: act.done for act in (*_ACTS.values(), ASSIGN_TICKET, COMMENT, LINK_TICKET)},
    "note": gettext_lazy("The note is added. Only the provider’s people read it."),
}


# --- A new ticket --------------------------------------------------------------------------------------------


@login_required
@require_http_methods(["GET", "POST"])
def ticket_new(request: HttpRequest) -> HttpResponse:
    """Open a ticket. Customers open a ticket for their own tenant. The provider's people first choose a customer."""
    actor = actor_in(request)
    if not openers(actor):
        raise NotAllowed
    tenant = _tenant_in(request, actor)
    if tenant is None:
        return choose_tenant(request, actor, title=_("Which customer is the ticket about?"))
    form = NewTicketForm(request.POST or None, actor=actor, tenant=tenant)
    form.require_known()
    if request.method == "POST" and form.is_valid():
        try:
            ticket = operations.open_ticket(_report(form, tenant), actor=actor)
        except (Unacceptable, WrongState) as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, _("The ticket is open. Its reference is %(ref)s.") % {"ref": ticket.reference})
            return redirect("web:ticket", ticket.pk)
    context = {
        "form": form,
        "tenant": tenant,
        "is_provider": actor.side is not Side.CUSTOMER,
        "has_choice": queries.tenants(actor)[1:2].exists(),
    }
    return render(request, "tickets/new.html", context, status=422 if form.errors else 200)


def choose_tenant(request: HttpRequest, actor: Actor, *, title: str) -> HttpResponse:
    """Show a list of tenants to choose from. A long list can be searched by a part of the name or the short name."""
    words = request.GET.get("find", "").strip()
    rows = queries.tenants(actor)
    wanted = rows.filter(Q(name__icontains=words) | Q(slug__icontains=words)) if words else rows
    found = list(wanted[: TENANTS_LISTED + 1])
    context = {
        "title": title,
        "tenants": found[:TENANTS_LISTED],
        "find": words,
        "has_more": len(found) > TENANTS_LISTED,
        "has_search": bool(words) or len(found) > TENANTS_LISTED,
    }
    return render(request, "tickets/choose_tenant.html", context)


def _tenant_in(request: HttpRequest, actor: Actor) -> Tenant | None:
    """Return the chosen tenant, or a customer's only tenant, or None if the person must still choose a tenant."""
    if "tenant" in request.GET:
        return queries.tenant(request.GET["tenant"], actor=actor)
    if actor.side is not Side.CUSTOMER:
        return None
    tenants = list(queries.tenants(actor)[:2])
    return tenants[0] if len(tenants) == 1 else None


def _report(form: NewTicketForm, tenant: Tenant) -> operations.Report:
    values = form.cleaned_data
    caller = values.get("on_behalf_of_id")
    return operations.Report(
        tenant_id=tenant.pk,
        service_id=values["service"].pk,
        title=values["title"],
        body=values["body"],
        priority=values["priority"],
        on_behalf_of_id=caller.pk if caller else None,
        external_reference=values["external_reference"],
        external_url=values["external_url"],
    )


# --- One ticket ----------------------------------------------------------------------------------------------


@login_required
@require_GET
def ticket_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = queries.ticket(pk, actor=actor_in(request))
    return _ticket_page(request, row)


def _ticket_page(
    request: HttpRequest, row: Ticket, *, wrong: StrictForm | None = None, status: int = 200
) -> HttpResponse:
    """Show the ticket. If a form was refused, `wrong` is this form, as it was sent."""
    actor, at = actor_in(request), instant(request)
    allowed = {edge.act.name: edge for edge in queries.allowed_actions(row, actor=actor, at=at)}
    is_mine = row.assignee_id == actor.person_id
    may_assign = "assign_ticket" in allowed
    is_engineer = Role.ENGINEER in actor.roles_on(tenant_id=row.tenant_id, service_id=row.service_id)
    context = {
        "ticket": row,
        "is_provider": actor.side is not Side.CUSTOMER,
        "allowed": allowed,
        "may_take": may_assign and is_engineer and (not is_mine or row.state == "WAITING_FOR_CUSTOMER"),
        "is_mine": is_mine,
        "may_comment": queries.may_comment(row, actor=actor),
        "may_note": queries.may_comment(row, actor=actor) and policy.sees_internal_notes(actor),
        "may_ask": queries.may_ask(row, actor=actor),
        "may_link": queries.may_link(row, actor=actor),
        "reply": _worded(wrong if isinstance(wrong, ReplyForm) else ReplyForm(), actor, "answer_ticket" in allowed),
        "note": wrong if isinstance(wrong, NoteForm) else NoteForm(),
        "assign": _assign_form(row, request.GET.get("find", "").strip()) if may_assign else None,
        "asked": _asked(found := queries.asked(row, actor=actor), at),
        "has_more_asked": found.has_more,
        "viewer": actor.person_id,
        "next_in_trial": next_in_trial(row, actor=actor, at=at),
    }
    if wrong is not None and not context["may_comment"]:
        # The present state does not offer this form any more. The typed text must still be shown.
        context["unsent"] = wrong.data.get("note") or wrong.data.get("internal")
        context["refusal"] = next(iter(wrong.non_field_errors()), "")
    return render(request, "tickets/detail.html", context, status=status)


def _assign_form(row: Ticket, find: str) -> AssignForm:
    return AssignForm(engineers=queries.engineers(row), offered=queries.engineers(row, find), find=find)


def _asked(found: queries.Asked, at: datetime) -> list[tuple[AccessRequest, State, str]]:
    """Return some of the ticket's access requests, each with its present state and a summary of the accesses.

    The summary is "" if no window was opened.
    """
    grants = {each.pk: each.grant.pk for each in found.rows if hasattr(each, "grant")}
    seen = access.seen_resources(list(grants.values()))
    summaries = {
        each.pk: sentences.summary(seen[grants[each.pk]], enforced_by=each.enforced_by, has_gate=each.has_gate)
        for each in found.rows
        if each.pk in grants
    }
    return [(each, each.state_at(at), summaries.get(each.pk, "")) for each in found.rows]


def _worded(form: ReplyForm, actor: Actor, is_answer: bool) -> ReplyForm:
    """Set the form's label. The label names the people who will read the text."""
    words = _("Your answer") if is_answer else _("Write to %(provider)s") % {"provider": settings.PROVIDER_NAME}
    form.fields["note"].label = words if actor.side is Side.CUSTOMER else _("Write to the customer")
    return form


@login_required
def ticket_act(request: HttpRequest, pk: UUID, action: str) -> HttpResponse:
    """Do one of the acts that the ticket's page offers. Some acts have a separate page that asks for confirmation."""
    actor = actor_in(request)
    row = cast(Ticket, queries.listed(actor).find(pk))
    if action not in _DONE:
        raise NotFound
    if action in CONFIRMED and request.method in ("GET", "POST"):
        return _end(request, row, action, actor)
    if action == "link_ticket" and request.method in ("GET", "POST"):
        return _link(request, row, actor)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if action == "assign_ticket":
        return _assign(request, row, actor)
    form: StrictForm = NoteForm(request.POST) if action == "note" else ReplyForm(request.POST)
    form.require_known()
    if not form.is_valid():
        return _ticket_page(request, queries.ticket(pk, actor=actor), wrong=form, status=422)
    try:
        _say(row, action, form, actor)
    except (Unacceptable, WrongState) as refusal:
        # The typed text stays in the page. A person who was too late can still send it in another way.
        form.refuse(refusal)
        return _ticket_page(request, queries.ticket(pk, actor=actor), wrong=form, status=refusal.status)
    return _done(request, row, action)


def _say(row: Ticket, action: str, form: StrictForm, actor: Actor) -> None:
    values = form.cleaned_data
    if action == "note":
        operations.comment(row.pk, actor=actor, body=values["internal"], is_internal=True)
    elif action == "comment":
        operations.comment(row.pk, actor=actor, body=values["note"])
    else:
        operations.of(_ACTS[action])(row.pk, actor=actor, note=values["note"])


def _assign(request: HttpRequest, row: Ticket, actor: Actor) -> HttpResponse:
    """Assign the ticket to the chosen engineer, or to the actor if none was chosen."""
    assignee = None
    form = AssignForm(request.POST, engineers=queries.engineers(row))
    form.require_known()
    if "assignee_id" in request.POST:
        if not form.is_valid():
            raise Unacceptable(_("Choose an engineer of this queue."), field="assignee_id")
        assignee = form.cleaned_data["assignee_id"].pk
    operations.assign_ticket(row.pk, actor=actor, assignee_id=assignee)
    return _done(request, row, "assign_ticket")


def _link(request: HttpRequest, row: Ticket, actor: Actor) -> HttpResponse:
    """On GET, ask for the ticket's reference in another help desk. On POST, set the reference."""
    if request.method == "GET":
        if not queries.may_link(row, actor=actor):
            raise NotAllowed
        held = {"external_reference": row.external_reference, "external_url": row.external_url}
        return render(request, "tickets/link.html", {"ticket": row, "form": LinkForm(initial=held)})
    form = LinkForm(request.POST)
    form.require_known()
    if form.is_valid():
        try:
            operations.link_ticket(row.pk, actor=actor, **form.cleaned_data)
        except (Unacceptable, WrongState) as refusal:
            form.refuse(refusal)
        else:
            return _done(request, row, "link_ticket")
    return render(request, "tickets/link.html", {"ticket": row, "form": form}, status=422)


def _end(request: HttpRequest, row: Ticket, action: str, actor: Actor) -> HttpResponse:
    """On GET, show what ends with the ticket, or ask for the reason to reopen the ticket. On POST, do the act.

    If more would end than the page showed, ask again.
    """
    at, edge = instant(request), TICKET_TRANSITIONS[action]
    if not queries.is_allowed(row, _ACTS[action], actor=actor):
        return _refuse(request, row, action, actor)
    ends = queries.ends_with(row, actor=actor, at=at) if action != "reopen_ticket" else []
    shown = {"ends": " ".join(str(found.pk) for found in ends)}
    page = {"ticket": row, "action": action, "edge": edge, "ends": ends, "is_provider": actor.side is not Side.CUSTOMER}
    if request.method == "GET":
        if edge not in queries.allowed_actions(row, actor=actor, at=at):
            raise WrongState
        return render(request, "tickets/end.html", {**page, "form": EndForm(initial=shown, needs_note=edge.needs_note)})
    form = EndForm(request.POST, needs_note=edge.needs_note)
    form.require_known()
    if form.is_valid():
        # A window that was opened after the page was shown must not close without a warning.
        if not set(shown["ends"].split()) <= set(form.cleaned_data["ends"].split()):
            form = EndForm(initial={**form.cleaned_data, **shown})
            return render(request, "tickets/end.html", {**page, "form": form, "has_news": True}, status=409)
        try:
            _say(row, action, form, actor)
        except Unacceptable as refusal:
            form.refuse(refusal)
        except WrongState as refusal:
            # The page about refusals has no words for the states of tickets.
            raise type(refusal)(refusal.message) from refusal
        else:
            return _done(request, row, action)
    return render(request, "tickets/end.html", {**page, "form": form}, status=422)


def _refuse(request: HttpRequest, row: Ticket, action: str, actor: Actor) -> HttpResponse:
    """Refuse a person who can't do this act.

    If they sent the form, record the attempt in the log, as the operation would record it.
    """
    if request.method == "POST":
        operations.require_may(_ACTS[action], row.pk, is_offered=False, actor=actor)
    raise NotAllowed


def _done(request: HttpRequest, row: Ticket, action: str) -> HttpResponse:
    messages.success(request, str(_DONE[action]))
    return redirect("web:ticket", row.pk)


urlpatterns = [
    path("tickets/", tickets, name="tickets"),
    path("tickets/new/", ticket_new, name="ticket_new"),
    path("tickets/<uuid:pk>/", ticket_page, name="ticket"),
    path("tickets/<uuid:pk>/<slug:action>/", ticket_act, name="ticket_act"),
]
