"""The state of an access request and how it got there: its steps, and a timeline from the log's own entries."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from audit_app import decision_signatures
from requests_app import operations
from requests_app.domain import errors, gate_rules
from requests_app.domain.actors import Side
from requests_app.domain.acts import ACTS, EVENTS
from requests_app.domain.acts.codes import GRANT_ENTERED
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.events import title_of
from requests_app.domain.states import State
from requests_app.doors.web._access import grant_of
from requests_app.models import AccessRequest, ContentAccess, Decision, Grant
from requests_app.queries import access, review
from requests_app.queries.log_proofs import RECEIPTS
from requests_app.queries.review import ITEMS, Entry, ResourceActivity
from requests_app.words import sentences
from requests_app.words.text import visible_single
from requests_app.words.times import when_words

# --- Steps ---------------------------------------------------------------------------------------------------

_STOPPED = (State.DENIED, State.WITHDRAWN, State.EXPIRED)


def needs_customer(row: AccessRequest) -> bool:
    """Return whether the customer decides, or has decided, on this access request.

    Before the provider's approval, return True if that approval would ask the customer, and False if it would
    open the window.
    """
    decisions = {decision.stage for decision in row.decisions.all()}
    if Decision.Stage.PROVIDER in decisions:
        # Without a second stage, the provider's approval opens the window.
        return Decision.Stage.CUSTOMER in decisions or grant_of(row) is None
    return row.needs_customer_approval or operations.lockbox_applies(row.tenant, row.service)


def steps(row: AccessRequest, *, at: datetime) -> list[dict[str, Any]]:
    """Return the steps of this access request, with a mark on the present step.

    After the access request has ended, the steps that it did not reach are left out.
    """
    state = row.state_at(at)
    decisions = {decision.stage: decision for decision in row.decisions.all()}
    found = [{"label": _("Asked for"), "status": "done", "at": row.submitted_at, "note": row.requested_by.name}]
    stages = [(Decision.Stage.PROVIDER, settings.PROVIDER_NAME, State.PENDING_PROVIDER)]
    if needs_customer(row):
        stages.append((Decision.Stage.CUSTOMER, row.tenant.name, State.PENDING_CUSTOMER))
    for stage, side, pending in stages:
        step = _stage_step(row, state, side, decisions.get(stage), is_its_turn=row.state == pending)
        found.append(step)
        if step["status"] == "stopped":
            return found
    return [*found, _window_step(grant_of(row), state)]


def _stage_step(
    row: AccessRequest, state: State, side: str, decision: Decision | None, *, is_its_turn: bool
) -> dict[str, Any]:
    if decision is not None:
        yes = decision.verdict == Decision.Verdict.APPROVE
        label = _("%(side)s approved") if yes else _("%(side)s denied")
        status = "done" if yes else "stopped"
        return {"label": label % {"side": side}, "status": status, "at": decision.at, "note": decision.who}
    if state == State.EXPIRED:
        return {"label": _("%(side)s did not answer") % {"side": side}, "status": "stopped", "at": row.decide_by}
    if state == State.WITHDRAWN:
        return {"label": _("Withdrawn"), "status": "stopped", "at": row.state_changed_at}
    status = "current" if is_its_turn else "upcoming"
    return {"label": _("%(side)s answers") % {"side": side}, "status": status}


def _window_step(grant: Grant | None, state: State) -> dict[str, Any]:
    if grant is None:
        return {"label": _("Window opens"), "status": "upcoming"}
    if state == State.OPEN:
        return {"label": _("Window is open"), "status": "current", "note": _("closes automatically")}
    return {"label": how_closed(grant), "status": "done", "at": grant.ends_at}


def how_closed(grant: Grant) -> str:
    """Return how a window ended. If no sweep has recorded the end yet, the window closed as planned."""
    if grant.close_reason == Grant.CloseReason.RELEASED:
        return _("Closed early by the engineer")
    if grant.close_reason == Grant.CloseReason.REVOKED:
        return _("Closed early")
    return _("Closed as planned")


# --- Timeline ------------------------------------------------------------------------------------------------


def _look_of(name: str) -> tuple[str, str]:
    """Return the colour and the icon for an event. An unknown event gets a neutral colour and icon."""
    event = EVENTS.get(name)
    return event.look if event is not None else ("over", "circle")


def _did(name: str) -> Promise | None:
    """Return words that follow a person's name and say what they did, or None for an event with only a title."""
    event = EVENTS.get(name)
    return event.did if event is not None else None


def timeline(row: AccessRequest, entries: list[Entry], activities: list[ResourceActivity]) -> list[dict[str, Any]]:
    """Return the lines of the timeline, the oldest first: one for each entry, and one for each resource with accesses.

    The line of a resource has the time of the last access to this resource.
    """
    events = [_event(row, entry) | {"receipt_url": _receipt_url(row, entry)} for entry in entries]
    events += [_accesses_event(row, one) for one in activities]
    return sorted(events, key=lambda event: event["at"])


def _event(row: AccessRequest, entry: Entry) -> dict[str, Any]:
    kind, icon = _look_of(entry.row.event)
    is_person = entry.row.actor_kind == "person"
    if entry.row.event == GRANT_ENTERED:
        # The application's client or the gate wrote the entry, but the engineer came in.
        engineer, words = str(entry.detail.get("engineer", "")), _("came in at %(origin)s")
        shown = {"person": engineer, "organisation": settings.PROVIDER_NAME, "words": words % entry.detail}
        return {"at": entry.row.at, "kind": kind, "icon": icon, **shown}
    return {
        "at": entry.row.at,
        "kind": kind,
        "icon": icon,
        "person": entry.row.actor_name if is_person else "",
        "organisation": _organisation(row, entry.side) if is_person else "",
        "words": _by_whom(entry),
        "comment": entry.detail.get("comment", ""),
    }


def _by_whom(entry: Entry) -> str | SafeString:
    """Return the words for what was done, and through whom.

    If a client did it, they name the client and the person for whom it acted. If a deputy did it, they name the
    approvers who were away.
    """
    words, actor = _words(entry), entry.record["actor"]
    if actor.get("kind") == "client":
        whose = actor.get("for")
        did = _did(entry.row.event) or words
        client = visible_single(str(actor.get("name", "")))
        if isinstance(whose, dict):
            name = visible_single(str(whose.get("name", "")))
            return format_html(_("the API client {client} for {name}: {did}"), client=client, name=name, did=did)
        return format_html(_("the API client {client}: {did}"), client=client, did=did)
    if away := entry.detail.get("deputy_for"):
        return format_html(_("{did}, as deputy for {away}"), did=words, away=visible_single(str(away)))
    return words


def _receipt_url(row: AccessRequest, entry: Entry) -> str:
    if entry.row.event not in RECEIPTS:
        return ""
    return reverse("web:access_request_receipt", args=[row.pk, entry.row.seq])


def _organisation(row: AccessRequest, side: str) -> str:
    return row.tenant.name if side == Side.CUSTOMER else settings.PROVIDER_NAME


def _words(entry: Entry) -> str:
    """Return what a person did, or the event's title. For a refusal, return what was tried, and why it was refused."""
    if entry.row.event == ACT_REFUSED:
        tried = _tried(str(entry.detail.get("action", "")), get_language())
        return tried % {"why": why_refused(entry.detail, at=entry.row.at)}
    if entry.detail.get("cause"):
        title, by = title_of(entry.row.event), entry.detail.get("by", "")
        return _("%(title)s, because of what %(name)s did") % {"title": title, "name": by} if by else title
    did = _did(entry.row.event) if entry.row.actor_kind == "person" else None
    title_words = str(did) if did else title_of(entry.row.event)
    signature = decision_signatures.of(entry.detail)
    if signature is None:
        return title_words
    how = sentences.signed_with(
        is_signed=signature.is_signed, name=signature.name, is_device_bound=signature.is_device_bound
    )
    return f"{title_words}, {how}"


@lru_cache(maxsize=512)
def _tried(action: str, _language: str | None) -> str:
    """Return the words for an act that was refused, with a place for the reason. A window can have many of them."""
    tried = ACTS.get(action)
    act = str(tried.title) if tried is not None and tried.title is not None else _("an act")
    return _("tried “%(act)s” and was refused: “%(why)s”") % {"act": act.replace("%", "%%"), "why": "%(why)s"}


def last_change(row: AccessRequest) -> list[dict[str, Any]]:
    """Return the timeline's line about the last change of state, or an empty list if there is no such entry."""
    entry = review.last_change(row)
    return [_event(row, entry)] if entry else []


def refusal_words(code: str) -> str:
    """Return the words for a refusal's code. Return an unknown code unchanged."""
    language = get_language()
    # A module with more kinds of errors may have been loaded since the words were collected.
    return _refusals(language).get(code) or _refusals.__wrapped__(language).get(code, code)


@lru_cache(maxsize=16)
def _refusals(_language: str | None) -> dict[str, str]:
    """Return the words for each code of a refusal. A word of the gate comes before one of an error."""
    kinds: list[type[errors.DomainError]] = [errors.DomainError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    words = {kind.code: kind.default for kind in reversed(kinds)} | gate_rules.WORDS
    return {code: str(default) for code, default in words.items()}


def _item_words(reference: str, kind: str, part: str) -> str:
    if kind != ContentAccess.Kind.DOWNLOADED:
        return reference
    words = _("%(name)s: an attachment was downloaded") if part else _("%(name)s: downloaded")
    return words % {"name": reference}


def why_refused(detail: dict[str, Any], *, at: datetime) -> str:
    """Return why an act was refused. If the act needed a window that had already closed, also say how it closed."""
    why, ended = refusal_words(str(detail.get("code", ""))), detail.get("ended")
    how = (
        str(ended.get("close_reason"))
        if isinstance(ended, dict) and ended.get("closed_by")
        else Grant.CloseReason.ELAPSED
    )
    words = _ENDED.get(how) if isinstance(ended, dict) else None
    if not isinstance(ended, dict) or words is None:
        return why
    try:
        closed = when_words(datetime.fromisoformat(str(ended.get("closed_at"))), at)
    except ValueError:
        return why
    return f"{why} {words % {'name': ended.get('closed_by'), 'at': closed}}"


_ENDED: dict[str, Any] = {
    Grant.CloseReason.REVOKED: gettext_lazy("%(name)s closed the window for this item. The window closed on %(at)s."),
    Grant.CloseReason.RELEASED: gettext_lazy(
        "%(name)s closed their own window for this item. The window closed on %(at)s."
    ),
    Grant.CloseReason.ELAPSED: gettext_lazy("The window for this item ended on %(at)s."),
}


def _accesses_event(row: AccessRequest, activity: ResourceActivity) -> dict[str, Any]:
    looks = activity.looks
    counted = {name: getattr(looks, name) for name in access.COUNTED} | {"resources": 1}
    kinds = {activity.resource.kind: counted} if looks.taken or looks.lists else {}
    parts = []
    if kinds or looks.allowed or not looks.failed:
        seen = {"kinds": kinds, "allowed": looks.allowed, "reported": looks.reported}
        parts.append(sentences.summary(seen, enforced_by=row.enforced_by, has_gate=row.has_gate))
    if looks.failed:
        parts.append(
            ngettext(
                "%(n)d item could not be read completely", "%(n)d items could not be read completely", looks.failed
            )
            % {"n": looks.failed}
        )
    more = looks.taken - len(activity.items)
    shown = [_item_words(*item) for item in activity.items[:ITEMS]]
    if shown and more > 0:
        shown = [
            *shown,
            ngettext("and %(n)d more, which the log lists", "and %(n)d more, which the log lists", more) % {"n": more},
        ]
    return {
        "at": looks.last_at,
        "kind": "open",
        "icon": "eye",
        "person": row.requested_by,
        "words": format_html(
            # Nobody here knows what happened in another application.
            _("had access to {resource}: {what}") if row.enforced_by else _("looked at {resource}: {what}"),
            resource=visible_single(activity.resource.name),
            what="; ".join(parts),
        ),
        "details_summary": _("References of the opened items"),
        "details": shown,
    }
