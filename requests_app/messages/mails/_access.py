"""Reads the facts for mails about access requests and windows."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import formats
from django.utils.text import get_text_list
from django.utils.translation import gettext as _

from audit_app.models import AuditEntry
from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import ACCESS_REQUEST_WITHDRAWN, GRANT_RELEASED, GRANT_REVOKED
from requests_app.domain.acts.declaration import Event, Noun
from requests_app.domain.states import PENDING, State
from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads, reads_plain
from requests_app.messages.mails.words import Fact, Quote
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, Decision, Grant, OutboxMessage, Resource, Service
from requests_app.queries import access
from requests_app.words import sentences


@reads(Topic.DECIDE_AS_PROVIDER, Topic.DECIDE_AS_CUSTOMER, Topic.REMINDER)
def decision_needed(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for a mail to a decider: everything that they must know before they open the page."""
    row = row_of(message)
    found = common(row, message)
    found["facts"] = [
        Fact(_("Answer by"), [words.when(row.decide_by, at)]),
        *what(row),
        *_approvals(row, _("Confirmed by")),
    ]
    found["digest"] = words.grouped(row.content_digest)
    found["quotes"] = _why(row)
    found["decide_by"], found["decide_by_short"] = words.when(row.decide_by, at), words.short_when(row.decide_by)
    found["left"] = words.about_left((row.decide_by - at).total_seconds())
    found["reminder"], found["reminders"] = _which_reminder(message.mark)
    found["customer_next"] = row.needs_customer_approval
    found["customer_time"] = words.duration(settings.CUSTOMER_DECISION_SECONDS)
    return found


@reads_plain(Noun.ACCESS_REQUEST)
def plain(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for a mail with declared words: what the engineer asks for, and the deadline if there is one."""
    row = row_of(message)
    waits = [Fact(_("Answer by"), [words.when(row.decide_by, at)])] if row.state_at(at) in PENDING else []
    return {**common(row, message), "facts": [*waits, *what(row)]}


@reads(Topic.ACCESS_REQUEST_ENDED)
def ended(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when an access request was denied, expired or was withdrawn."""
    row = row_of(message)
    found = common(row, message)
    denial = next((d for d in row.decisions.all() if d.verdict == Decision.Verdict.DENY), None)
    detail = _detail_of(row, ACCESS_REQUEST_WITHDRAWN) if row.state == State.WITHDRAWN else {}
    found["state"] = str(row.state)
    found["denied_by"] = _decider(denial, row) if denial else ""
    found["was_with_customer"] = bool(_yes(row))
    found["cause"] = _cause(detail)
    how = [_("the denial is %(signed_or_not)s") % {"signed_or_not": _signed(denial)}] if denial else []
    answer = [words.when(row.state_changed_at, at), *how]
    found["facts"] = [Fact(_outcome_label(row), answer), *what(row)]
    found["quotes"] = _comments([(_("Comment"), denial.comment if denial else detail.get("comment", ""))])
    return found


@reads(Topic.WINDOW_OPENED, Topic.CLOSING_SOON)
def opened(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mails that are sent when a window opened, and shortly before it closes."""
    row = row_of(message)
    found = common(row, message)
    found["facts"] = [*window_facts(row.grant, at), *what(row), *_approvals(row, _("Approved by"))]
    found["digest"] = words.grouped(row.content_digest)
    found["quotes"] = _comments([(_("Comment of %(name)s") % {"name": _decider(d, row)}, d.comment) for d in _yes(row)])
    found["closes_at"], found["closes_short"] = (
        words.when(row.grant.closes_at, at),
        words.short_when(row.grant.closes_at),
    )
    found["left"] = words.about_left((row.grant.closes_at - at).total_seconds())
    found["length"] = words.duration((row.grant.closes_at - row.grant.opens_at).total_seconds())
    # Readers who did not ask for the access can close the window. Notification addresses can't.
    is_closer = message.person_id is not None and not found["is_requester"]
    found["close_path"] = f"/access-requests/{row.pk}/revoke/" if is_closer else ""
    found["asked_customer"] = any(d.stage == Decision.Stage.CUSTOMER for d in _yes(row))
    found["seen"] = sentences.summary(seen_in(row.grant), enforced_by=row.enforced_by, has_gate=row.has_gate)
    return found


@reads(Topic.WINDOW_CLOSED)
def closed(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a window has closed: how it closed, and what was accessed."""
    row = row_of(message)
    found = common(row, message)
    event = {"released": GRANT_RELEASED, "revoked": GRANT_REVOKED}.get(row.grant.close_reason)
    detail = _detail_of(row, event) if event else {}
    seen = seen_in(row.grant)
    found["seen"] = sentences.summary(seen, enforced_by=row.enforced_by, has_gate=row.has_gate)
    found["has_opened_items"] = bool(seen["resources"])
    found["how"] = row.grant.close_reason
    found["closed_by"] = words.who(row.grant.closed_by, row.tenant.name) if row.grant.closed_by else ""
    found["cause"] = _cause(detail)
    approved = _approvals(row, _("Approved by"))
    found["facts"] = [Fact(_("Accessed"), [found["seen"]]), *window_facts(row.grant, at), *what(row), *approved]
    found["quotes"] = _comments([(_("Comment"), detail.get("comment", ""))])
    return found


def _which_reminder(mark: str) -> tuple[int, int]:
    """Return the number of this reminder, and how many reminders there are.

    The number is 0 for a mail that is no reminder, and if the times of the reminders were changed since.
    """
    steps = [str(seconds) for seconds in sorted(settings.REMINDER_SECONDS)]
    return (steps.index(mark) + 1 if mark in steps else 0), len(steps)


def row_of(message: OutboxMessage) -> AccessRequest:
    return access.access_request(message.about, actor=Actor.system("outbox"))


def _resources(row: AccessRequest) -> list[Resource]:
    return [line.resource for line in row.scope.all()]


def common(row: AccessRequest, message: OutboxMessage) -> Facts:
    resources = _resources(row)
    return {
        "path": f"/access-requests/{row.pk}/",
        "reference": row.reference,
        "is_practice": row.is_practice,
        "engineer": words.name(row.requested_by),
        "service": words.line(row.service.name),
        "reading": words.reading(row.level, resources),
        "reading_in_full": words.line(sentences.reading(row.level, resources)),
        "asks": words.line(sentences.asks(row)),
        "amount": sentences.amount(resources),
        "length": words.duration(row.window_for),
        "is_requester": message.person_id == row.requested_by_id,
        "is_legal_demand": row.reason_kind == AccessRequest.Reason.LEGAL_DEMAND,
        "enforced_by": words.line(row.enforced_by),
        "enforcement": words.line(sentences.enforcement(row.enforced_by, has_gate=row.has_gate)),
    }


def what(row: AccessRequest) -> list[Fact]:
    """Return the facts about an access request: who asks for what, how much, for how long, and why."""
    resources = _resources(row)
    named = [line for resource in resources for line in _named(resource, row.service)]
    return [
        Fact(_("Who"), [_("%(who)s, engineer") % {"who": words.who(row.requested_by)}, *_raised_by(row)]),
        Fact(_("Where"), [f"{words.line(row.tenant.name)}, {words.line(row.service.name)}"]),
        Fact(_("What"), [sentences.amount(resources) + ":", *named]),
        Fact(_("How much"), _how_much(row, resources)),
        Fact(_("How long"), [words.duration(row.window_for), *_until(row)]),
        Fact(_("Reason"), _reason(row)),
        Fact(_("Reference"), [row.reference]),
    ]


def _raised_by(row: AccessRequest) -> list[str]:
    lines = [_("Raised by the API client %(client)s") % {"client": words.line(row.raised_by)}] if row.raised_by else []
    return [*lines, _("Marked as an emergency. The mark changes nothing.")] if row.is_emergency else lines


def _until(row: AccessRequest) -> list[str]:
    if row.until_at is None:
        return []
    return [_("It closes at the latest: %(when)s") % {"when": words.when(row.until_at, row.submitted_at)}]


def _how_much(row: AccessRequest, resources: list[Resource]) -> list[str]:
    lines = [words.level(row.level, resources, enforced_by=row.enforced_by)]
    if row.enforced_by:
        lines.append(words.line(sentences.promise(row.level, row.enforced_by, row.tenant.name)))
    quoted = sentences.service_words(row.service.name, row.service_words)
    return [*lines, words.line(quoted)] if quoted else lines


def _named(resource: Resource, service: Service) -> list[str]:
    """Return the name of a resource, and where its content is: staff can give a resource any name."""
    name, place = words.line(resource.name), words.line(resource.place)
    if not place:
        return [name]
    if resource.locator:
        return [name, _("Locator: %(locator)s") % {"locator": place}]
    application = words.line(service.application)
    return [name, _("Id in %(application)s: %(id)s") % {"application": application, "id": place}]


def _reason(row: AccessRequest) -> list[str]:
    if row.reason_kind == AccessRequest.Reason.LEGAL_DEMAND:
        date = formats.date_format(row.demand_date, "DATE_FORMAT") if row.demand_date else ""
        parts = (row.instrument, row.authority, row.demand_reference, date)
        return [_("A law-enforcement demand:"), *(words.line(part) for part in parts if part)]
    kind = row.get_reason_kind_display()
    return [kind + ":", words.ticket(row.ticket)] if row.ticket else [kind]


def _why(row: AccessRequest) -> list[Quote]:
    why = [
        (_("Why, in the engineer’s words"), row.justification),
        (_("What was tried first"), row.tried),
    ]
    return _comments([*why, *_comments_of(row)])


def _comments(pairs: list[tuple[str, str]]) -> list[Quote]:
    return [words.quote(title, text) for title, text in pairs if text]


def _comments_of(row: AccessRequest) -> list[tuple[str, str]]:
    return [(_("Comment of %(name)s") % {"name": _decider(d, row)}, d.comment) for d in _yes(row)]


def _yes(row: AccessRequest) -> list[Decision]:
    return [decision for decision in row.decisions.all() if decision.verdict == Decision.Verdict.APPROVE]


def _decider(decision: Decision, row: AccessRequest) -> str:
    """Return the name of the decider, with their organisation.

    If a client acted for them, or if they were a deputy, the text also names the client, or the approvers who were
    away.
    """
    who = words.who(decision.decider, row.tenant.name)
    if decision.deputy_for:
        away = words.line(get_text_list(decision.deputy_for, _("and")))
        who = _("%(name)s, deputy for %(away)s") % {"name": who, "away": away}
    if decision.client is None:
        return who
    return _("the API client %(client)s for %(name)s") % {"client": words.line(decision.client), "name": who}


def _approvals(row: AccessRequest, label: str) -> list[Fact]:
    names = [
        _("%(name)s; the approval is %(signed_or_not)s")
        % {"name": _decider(decision, row), "signed_or_not": _signed(decision)}
        for decision in _yes(row)
    ]
    return [Fact(label, names)] if names else []


def _signed(decision: Decision) -> str:
    """Return whether a decision was signed, and how. For a signed decision, add the first characters of the digest.

    The page and the receipt show the same digest.
    """
    how = words.line(
        sentences.signed_with(
            is_signed=decision.is_signed, name=decision.key_name, is_device_bound=decision.is_device_bound
        )
    )
    if not decision.is_signed:
        return how
    values = {"how": how, "digest": " ".join(words.grouped(decision.manifest_digest[:16]))}
    return _("%(how)s; digest %(digest)s …") % values


def window_facts(grant: Grant, at: datetime) -> list[Fact]:
    if grant.closed_at is None:
        return [
            Fact(_("Open from"), [words.when(grant.opens_at, at)]),
            Fact(_("Closes"), [words.when(grant.closes_at, at)]),
        ]
    open_for = (grant.closed_at - grant.opens_at).total_seconds()
    return [
        Fact(_("Open from"), [words.when(grant.opens_at, at)]),
        Fact(_("Closed"), [words.when(grant.closed_at, at), _("after %(time)s") % {"time": words.duration(open_for)}]),
    ]


def _outcome_label(row: AccessRequest) -> str:
    return {State.DENIED: _("Denied"), State.EXPIRED: _("Expired")}.get(State(row.state), _("Withdrawn"))


def seen_in(grant: Grant) -> dict[str, Any]:
    """Return what was accessed under a grant, in the form that `sentences.summary` needs."""
    return access.seen_resources([grant.pk])[grant.pk]


def _detail_of(row: AccessRequest, event: Event) -> dict[str, Any]:
    """Return the detail of the newest log entry with this event, or {}.

    The detail has the cause and the comment, which the row of the access request does not have.
    """
    entries = AuditEntry.objects.filter(tenant_id=row.tenant_id, correlation_id=row.pk, event=event)
    entry = entries.order_by("seq").last()
    return dict(json.loads(bytes(entry.canonical))["detail"]) if entry else {}


def _cause(detail: dict[str, Any]) -> str:
    """Return why the system ended the access request or the window, in words. If a person ended it, return ""."""
    causes = {
        "ticket-resolved": _("the ticket was resolved"),
        "ticket-closed": _("the ticket was closed"),
        "person-switched-off": _("the engineer’s account was switched off"),
        "role-taken": _("the engineer was removed from the queue of this service"),
        "service-switched-off": _("the service was switched off"),
        "tenant-switched-off": _("the tenant was switched off"),
        "level-ruled-out": _("the tenant ruled out this level of access"),
        "accounts-linked": _(
            "two accounts were found to belong to one person, who was on both sides of the access request"
        ),
        "restored": _("the installation was restored from a backup"),
    }
    return causes.get(detail.get("cause", ""), "")
