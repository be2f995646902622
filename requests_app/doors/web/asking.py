"""Submits access requests: the form, a preview of the sentence that the customer will read, and the submission."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, TypeVar, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.access_drafts import DISCARD_DRAFT
from requests_app.domain.errors import FactsChanged, Malformed, NotAllowed, NotFound, TooMany, Unacceptable
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.asking import AskForm, DemandForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tickets import choose_tenant
from requests_app.models import AccessDraft, AccessRequest, Mute, Person, Service, Tenant, Ticket
from requests_app.queries import access, asking
from requests_app.queries import tickets as queries
from requests_app.words import sentences

F = TypeVar("F", bound=AskForm)
_NO_DEMAND = operations.Demand(authority="", instrument="", reference="", date=dt.date.min)


@login_required
@require_http_methods(["GET", "POST"])
def ask(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Submit an access request for a ticket."""
    actor = actor_in(request)
    ticket = cast(Ticket, queries.listed(actor).find(pk))
    if Role.ENGINEER not in actor.roles_on(tenant_id=ticket.tenant_id, service_id=ticket.service_id):
        return _refuse(request, actor, ticket_id=ticket.pk)
    if not ticket.is_live:
        raise FactsChanged(_("The ticket is %(state)s.") % {"state": ticket.get_state_display()})
    about = {"tenant": ticket.tenant, "service": ticket.service, "is_practice": ticket.is_practice}
    previous = _previous(request, ticket.tenant, actor, is_practice=ticket.is_practice)
    draft = asking.draft(request.GET["draft"], actor=actor, at=instant(request)) if "draft" in request.GET else None
    if draft is not None and draft.ticket_id != ticket.pk:
        raise NotFound
    if draft is not None and request.POST.get("step") == "discard":
        operations.discard_draft(draft.pk, actor=actor)
        messages.success(request, str(DISCARD_DRAFT.done))
        return redirect("web:ticket", ticket.pk)
    form = _form(request, AskForm, actor=actor, previous=previous, draft=draft, **about)
    reason = {"ticket_id": ticket.pk, "draft_id": draft.pk if draft else None}
    return _answer(request, form, lambda: form.ask(**reason), {"ticket": ticket, "draft": draft})


@login_required
@require_http_methods(["GET", "POST"])
def legal_demand(request: HttpRequest) -> HttpResponse:
    """Submit an access request for a law-enforcement demand. The form is the same, but without a ticket."""
    actor = actor_in(request)
    offered = list(queries.demand_services(actor))
    if not offered:
        about = {"tenant_id": request.GET.get("tenant"), "service_id": request.GET.get("service")}
        return _refuse(request, actor, demand=_NO_DEMAND, **about)
    if "tenant" not in request.GET:
        return choose_tenant(request, actor, title=_("Which customer is named in the demand?"))
    tenant = queries.tenant(request.GET["tenant"], actor=actor)
    service = _service(request, offered)
    if service is None:
        return render(request, "asking/choose_service.html", {"tenant": tenant, "services": offered})
    previous = _previous(request, tenant, actor, is_practice=False)
    form = _form(request, DemandForm, tenant=tenant, service=service, actor=actor, previous=previous)

    def asked() -> operations.Ask:
        return form.ask(demand=form.demand(), tenant_id=tenant.pk, service_id=service.pk)

    return _answer(request, form, asked, {"is_demand": True})


def _refuse(request: HttpRequest, actor: Actor, **reason: Any) -> HttpResponse:
    """Refuse a person who can't submit access requests.

    If they sent the form, the operation records the attempt in the log.
    """
    if request.method == "POST":
        nothing = operations.Ask(resource_ids=[], level="", window_for=0, tried="", justification="", **reason)
        operations.submit(nothing, actor=actor)
    raise NotAllowed


def _service(request: HttpRequest, offered: list[Service]) -> Service | None:
    """Return the chosen service, or the only offered service, or None if the engineer must still choose a service.

    A service of another queue counts as missing.
    """
    if "service" not in request.GET:
        return offered[0] if len(offered) == 1 else None
    found = [service for service in offered if str(service.pk) == request.GET["service"]]
    if not found:
        raise NotFound
    return found[0]


def _previous(request: HttpRequest, tenant: Tenant, actor: Actor, *, is_practice: bool) -> AccessRequest | None:
    """Return the earlier access request that the new one repeats, or None. The earlier values fill in the form.

    A practice request repeats only a practice request, and a real one only a real one.
    """
    if "from" not in request.GET:
        return None
    row = access.access_request(request.GET["from"], actor=actor)
    if row.tenant_id != tenant.pk or row.is_practice != is_practice:
        raise NotFound
    return row


def _form(request: HttpRequest, kind: type[F], **about: Any) -> F:
    previous: AccessRequest | None = about["previous"]
    draft: AccessDraft | None = about.pop("draft", None)
    about["at"] = instant(request)
    if request.method == "POST":
        form = kind(request.POST, **about)
        form.require_known()
        return form
    return kind(initial=_as_drafted(draft) if draft else _as_before(previous) if previous else {}, **about)


def _as_drafted(draft: AccessDraft) -> dict[str, Any]:
    fields = ("tried", "justification", "level", "window_for")
    return {**{name: getattr(draft, name) for name in fields}, "resource_ids": [str(draft.resource_id)]}


def _as_before(row: AccessRequest) -> dict[str, Any]:
    fields = (
        "tried",
        "justification",
        "level",
        "window_for",
        "authority",
        "instrument",
        "demand_reference",
        "demand_date",
    )
    return {
        **{name: getattr(row, name) for name in fields},
        "resource_ids": [str(line.resource_id) for line in row.scope.all()],
    }


def _answer(
    request: HttpRequest, form: AskForm, asked: Callable[[], operations.Ask], context: dict[str, Any]
) -> HttpResponse:
    """Show the form, show the preview, or submit the access request, as the pressed button says."""
    step = request.POST.get("step", "preview") if request.method == "POST" else ""
    if step not in ("", "find", "change", "preview", "submit"):
        raise Malformed
    if step in ("find", "change"):
        # A person who returns to the form has made no mistake yet.
        form.errors.clear()
    if step in ("preview", "submit") and form.is_valid():
        if step == "preview":
            return _preview(request, form, context)
        try:
            row = operations.submit(asked(), actor=form.actor)
        except (Unacceptable, TooMany) as refusal:
            form.refuse(refusal)
            return _page(request, form, context, status=refusal.status)
        messages.success(request, _("Your access request %(ref)s is submitted.") % {"ref": row.reference})
        return redirect("web:access_request", row.pk)
    return _page(request, form, context, status=422 if form.errors else 200)


def _page(request: HttpRequest, form: AskForm, context: dict[str, Any], *, status: int) -> HttpResponse:
    waits = queries.pending_count(form.tenant, is_practice=form.is_practice, actor=form.actor, at=instant(request))
    mute = _mute(form, instant(request))
    most = limits.pending_max(is_practice=form.is_practice)
    values = {"form": form, "muted": mute, "waits": waits, "waits_max": most, **_about(form), **context}
    return render(request, "asking/form.html", values, status=status)


def _mute(form: AskForm, at: dt.datetime) -> str:
    """Return a notice if the tenant now accepts no access requests from this engineer, and otherwise "".

    The notice is shown before the engineer fills in the form.
    """
    if form.is_bound or not operations.lockbox_applies(form.tenant, form.service):
        return ""
    mute = Mute.objects.longest(form.tenant.pk, form.actor.human, at)
    return sentences.muted(mute, at) if mute else ""


def _preview(request: HttpRequest, form: AskForm, context: dict[str, Any]) -> HttpResponse:
    values, resources = form.cleaned_data, form.chosen()
    engineer = request.user
    assert isinstance(engineer, Person)
    sentence = sentences.wants(
        engineer=engineer,
        resources=resources,
        level=values["level"],
        window_for=values["window_for"],
        justification=values["justification"],
    )
    page = {
        "form": form,
        "values": values,
        "resources": resources,
        **access.reached(resources, instant(request)),
        "sentence": sentence,
        "service_words": "" if form.is_practice else form.offers[values["level"]].for_customer,
        **_about(form),
        **context,
    }
    return render(request, "asking/preview.html", page)


def _about(form: AskForm) -> dict[str, Any]:
    """Return what happens next: whether the customer is asked, and how much time each side has."""
    return {
        "tenant": form.tenant,
        "service": form.service,
        "is_elsewhere": form.service.is_external and not form.is_practice,
        "enforcement": sentences.enforcement(
            "" if form.is_practice else form.service.application, has_gate=form.service.has_gate
        ),
        "previous": form.previous,
        "is_practice": form.is_practice,
        "asks_customer": operations.lockbox_applies(form.tenant, form.service),
        "provider_seconds": settings.PROVIDER_DECISION_SECONDS,
        "customer_seconds": settings.CUSTOMER_DECISION_SECONDS,
    }


urlpatterns = [
    path("tickets/<uuid:pk>/ask/", ask, name="ask"),
    path("access-requests/legal-demand/", legal_demand, name="legal_demand"),
]
