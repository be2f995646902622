"""Tags for the rows of lists. What all rows share is rendered once, and the values are filled in."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import Context
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy

from requests_app.templatetags.addresses import address_of
from requests_app.templatetags.lockbox import (
    badge,
    deadline,
    duration,
    icon,
    level_badge,
    person,
    practice_badge,
    relative,
    visible,
    visible_line,
    when,
    when_full,
)
from requests_app.templatetags.once import tokens
from requests_app.words.skeletons import filled

register = template.Library()
_ENGINEER = gettext_lazy("engineer")


@register.simple_tag(takes_context=True)
def access_row(context: Context, line: Any, with_tenant: bool = False, is_mine: bool = False) -> SafeString:
    """`{% access_row line %}`: an access request in a table. `is_mine` if the reader submitted all of them."""
    row, is_open = line.row, line.state == "OPEN"
    until = line.grant.closes_at if is_open else row.decide_by if line.turn else None
    values = {
        "badge": badge(line.state, word=line.word),
        "practice": practice_badge(row),
        "level": level_badge(row),
        "url": address_of("web:access_request", row.pk),
        "act": visible_line(capfirst(line.act)),
        "reference": row.reference,
        "tenant": visible_line(row.tenant.name) if with_tenant else "",
        "who": "" if is_mine else visible_line(row.requested_by.name),
        "until": when(context, until),
        "turn": visible_line(line.turn),
        "outcome": visible_line(line.outcome),
        "asked": when(context, row.submitted_at),
        "again_url": line.again_url,
    }
    return filled(
        "access_requests/_row.html",
        values,
        with_tenant=with_tenant,
        is_mine=is_mine,
        is_open=is_open,
        has_turn=line.turn,
        has_again=line.again_url,
    )


@register.simple_tag(takes_context=True)
def own_row(context: Context, line: Any) -> SafeString:
    """`{% own_row line %}`: an access request of the reader that waits for an answer."""
    row = line.row
    values = {
        "url": address_of("web:access_request", row.pk),
        "act": visible_line(capfirst(line.act)),
        "tenant": visible_line(row.tenant.name),
        "turn": visible_line(line.turn),
        "badge": badge(line.state),
        "practice": practice_badge(row),
        "level": level_badge(row),
        "reference": row.reference,
        "duration": duration(row.window_for),
        "deadline": deadline(context, row.decide_by, row.state_changed_at),
    }
    return filled("home/_own_row.html", values)


@register.simple_tag(takes_context=True)
def waiting_row(context: Context, line: Any, with_tenant: bool = False) -> SafeString:
    """`{% waiting_row line %}`: an access request that waits for the reader, a customer's approver."""
    row = line.row
    values = {
        "url": address_of("web:access_request", row.pk),
        "who": person(context, row.requested_by, role=str(_ENGINEER)),
        "act": visible_line(line.act),
        "duration": duration(row.window_for),
        "reason": visible_line(line.reason),
        "badge": badge(line.state, word=line.word),
        "practice": practice_badge(row),
        "level": level_badge(row),
        "reference": row.reference,
        "service": visible_line(row.service.name),
        "tenant": visible_line(row.tenant.name) if with_tenant else "",
        "deadline": deadline(context, row.decide_by, row.state_changed_at),
    }
    return filled("home/_waiting_row.html", values, with_tenant=with_tenant)


@register.simple_tag(takes_context=True)
def ticket_row(context: Context, ticket: Any, with_tenant: bool = False) -> SafeString:
    """`{% ticket_row ticket %}`: a ticket in a short table."""
    values = _of_ticket(ticket, with_tenant) | {"changed": relative(context, ticket.changed_at)}
    return filled("home/_ticket_row.html", values, with_tenant=with_tenant)


@register.simple_tag(takes_context=True)
def listed_ticket(context: Context, ticket: Any, with_tenant: bool = False) -> SafeString:
    """`{% listed_ticket ticket %}`: a ticket in the list of tickets, with its access requests under way."""
    now, is_high = context["now"], ticket.priority == ticket.Priority.HIGH
    states = [state for row in ticket.going_on if (state := row.state_at(now)) == row.state]
    values = _of_ticket(ticket, with_tenant) | {
        "priority": ticket.get_priority_display() if is_high else "",
        "assignee": visible_line(ticket.assignee.name) if ticket.assignee else "",
        "access": SafeString(" ".join(map(badge, states))),
        "changed": when(context, ticket.changed_at),
    }
    return filled("tickets/_row.html", values, with_tenant=with_tenant, is_high=is_high, has_assignee=ticket.assignee)


@register.simple_tag(takes_context=True)
def queue_row(context: Context, line: Any) -> SafeString:
    """`{% queue_row line %}`: an access request that waits for the reader, a provider approver."""
    row = line.row
    values = {
        "deadline": deadline(context, row.decide_by, row.state_changed_at),
        "tenant": visible_line(row.tenant.name),
        # Another tenant can have a name that looks the same.
        "slug": row.tenant.slug,
        "practice": practice_badge(row),
        "level": level_badge(row),
        "act": visible_line(line.act),
        "duration": duration(row.window_for),
        "service": visible_line(row.service.name),
        "reason": visible_line(line.reason),
        "ticket": row.ticket.reference if row.ticket else "",
        "title": visible_line(row.ticket.title) if row.ticket else row.get_reason_kind_display(),
        "who": visible_line(row.requested_by.name),
        "last": relative(context, line.last_here),
        "url": address_of("web:access_request", row.pk),
        "reference": row.reference,
    }
    return filled("home/_queue_row.html", values, has_ticket=row.ticket, has_last=line.last_here)


@register.simple_tag(takes_context=True)
def live_window(context: Context, window: Any, close_label: str = "", back: str = "") -> SafeString:
    """`{% live_window window %}`: an open window with its live list. `back` is the page after closing it."""
    line = window.line
    row, grant = line.row, line.grant
    values = {
        "id": window.name,
        "heading": window.heading,
        "deadline": deadline(context, grant.closes_at, grant.opens_at, kind="window"),
        "poll_url": window.poll_url,
        "items": live_items(
            context,
            window.looks,
            enforced_by=row.enforced_by,
            has_gate=row.has_gate,
            seen=window.seen,
            silence=window.silence,
        ),
        "tokens": tokens(context) if line.close_url else "",
        "close_url": line.close_url,
        "close_label": close_label or line.close_words,
        "back": back,
    }
    return filled("components/_live.html", values, polls=window.poll_url, closes=line.close_url, has_back=back)


@register.simple_tag(takes_context=True)
def live_items(
    context: Any, accesses: Any, enforced_by: str = "", has_gate: bool = False, seen: str = "", silence: Any = None
) -> SafeString:
    """`{% live_items accesses %}`: the accesses in a window, newest first, or the sentence that nothing was opened.

    `enforced_by` is the application that enforces the window, and `has_gate` says whether it is a web tool behind a
    gate. The page sends `seen` back when it asks again. `silence` says since when the application has not reported.
    """
    values = {
        "seen": seen,
        "application": visible_line(enforced_by),
        "since": when(context, silence.since) if silence else "",
        "items": SafeString("".join([_live_item(context, access) for access in accesses])),
    }
    flags = {"has_gate": has_gate, "is_elsewhere": enforced_by, "is_silent": silence}
    is_gate = silence is not None and silence.is_gate
    return filled("components/_live_items.html", values, has_seen=seen, has_items=accesses, is_gate=is_gate, **flags)


def _live_item(context: Any, access: dict[str, Any]) -> SafeString:
    resource, item = access["resource"], access["item"]
    values = {
        "at": when(context, access["at"]),
        "words": visible_line(access["words"]),
        "item": visible_line(item),
        "resource": visible_line(getattr(resource, "name", "") or resource),
    }
    return filled("components/_live_item.html", values, has_item=item, has_resource=resource)


@register.simple_tag(takes_context=True)
def timeline_event(context: Context, event: dict[str, Any]) -> SafeString:
    """`{% timeline_event event %}`: an event in the timeline of an access request."""
    who, comment, details = event.get("person"), event.get("comment"), event.get("details")
    values = {
        "kind": event.get("kind") or "over",
        "icon": icon(event.get("icon") or "circle"),
        "person": person(context, who, event.get("role", ""), event.get("organisation", "")) if who else "",
        "words": event["words"],
        "at": when_full(context, event["at"]),
        "receipt_url": event.get("receipt_url", ""),
        "comment": visible(comment) if comment else "",
        "details_summary": event.get("details_summary", ""),
        "details": format_html_join("", "<li>{}</li>", ([visible_line(line)] for line in details or ())),
    }
    return filled(
        "components/_timeline_event.html",
        values,
        has_person=who,
        has_receipt=values["receipt_url"],
        has_comment=comment,
        has_details=details,
    )


def _of_ticket(ticket: Any, with_tenant: bool) -> dict[str, Any]:
    return {
        "url": address_of("web:ticket", ticket.pk),
        "title": visible_line(ticket.title),
        "reference": ticket.reference,
        "badge": badge(ticket.state, subject="ticket"),
        "practice": practice_badge(ticket),
        "tenant": visible_line(ticket.tenant.name) if with_tenant else "",
        "service": visible_line(ticket.service.name),
    }
