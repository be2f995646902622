"""Words for access requests on pages: lines of lists, windows, results, and accesses to content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from unicodedata import normalize
from uuid import UUID

from django.conf import settings
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.text import Truncator, capfirst, slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from requests_app import operations
from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.reports import Kind
from requests_app.domain.states import State
from requests_app.doors.web._places import Place
from requests_app.models import AccessRequest, ContentAccess, Decision, Grant, Resource
from requests_app.queries import access
from requests_app.queries.guards import Silence
from requests_app.words import sentences
from requests_app.words.text import visible_single

#: How much of the justification is shown where the whole may be too long: below a heading, and in lists.
_EXCERPT, _EXCERPT_LINES = 200, 4
#: A list shows the justification in two lines, without its own line breaks. The page of the access request shows them.
_BREAKS = re.compile(r"[ \t\r\n]+")

_REPORTED: dict[str, Kind] = {
    ContentAccess.Kind.REPORTED: Kind.ACCESS,
    ContentAccess.Kind.REPORTED_OUTSIDE: Kind.ACCESS,
    ContentAccess.Kind.REFUSAL_REPORTED: Kind.REFUSED,
    ContentAccess.Kind.CUT_REPORTED: Kind.CUT,
}


@dataclass
class Line:
    """An access request as one line of a list."""

    row: AccessRequest
    state: State
    act: str
    reason: str
    word: str = ""
    turn: str = ""
    outcome: str = ""
    grant: Grant | None = None
    sees_looks: bool = False
    close_url: str = ""
    close_words: str = ""
    last_here: datetime | None = None
    again_url: str = ""
    #: The way into the application that holds the content of the engineer's own open window.
    ways_in: list[Place] = field(default_factory=list)

    @property
    def enforcement(self) -> str:
        """Who enforces the window, if another application does. Otherwise ""."""
        return sentences.enforcement(self.row.enforced_by, has_gate=self.row.has_gate)


def lines(
    rows: Iterable[AccessRequest], *, actor: Actor, at: datetime, seen: dict[UUID, dict[str, Any]] | None = None
) -> list[Line]:
    """Return a line for each access request. The accesses in all closed windows are read with one query.

    Pass `seen` if they are read already.
    """
    rows = list(rows)
    if seen is None:
        grants = {row.pk: grant for row in rows if (grant := grant_of(row))}
        ended = [grants[row.pk].pk for row in rows if row.pk in grants and row.state_at(at) == State.CLOSED]
        seen = access.seen_resources(ended) if ended else {}
    return [_line(row, actor=actor, at=at, seen=seen) for row in rows]


def _line(row: AccessRequest, *, actor: Actor, at: datetime, seen: dict[UUID, dict[str, Any]]) -> Line:
    grant, state = grant_of(row), row.state_at(at)
    actions = {edge.act.name: edge for edge in access.allowed_actions(row, actor=actor, at=at)}
    waits = any(edge.moves.is_decision for edge in actions.values())
    # The engineer who asked releases the window. Everybody else who can end it revokes it.
    ending = [actions[name] for name in ("release", "revoke") if name in actions]
    return Line(
        row=row,
        state=state,
        act=sentences.reading(row.level, [line.resource for line in row.scope.all()]),
        reason=excerpt(row),
        word=_("Waiting for you") if waits else "",
        turn=whose_turn(row, state),
        outcome=outcome(row, state, seen.get(grant.pk) if grant else None),
        grant=grant,
        sees_looks=policy.sees_looks(actor, row),
        close_url=reverse("web:access_request_act", args=[row.pk, ending[0].act.name]) if ending else "",
        close_words=str(ending[0].act.title) if ending else "",
        again_url=again_url(row, actor=actor, state=state),
    )


def excerpt(row: AccessRequest) -> str:
    """Return the beginning of the engineer's reason, on one line."""
    words = _BREAKS.sub(" ", row.justification)
    # For a short text, this is all that Truncator does. It would look at each character.
    return normalize("NFC", words) if len(words) <= _EXCERPT else Truncator(words).chars(_EXCERPT)


def has_short_reason(row: AccessRequest) -> bool:
    """Return whether the whole reason is short enough for the place below the heading of a page."""
    return len(row.justification) <= _EXCERPT and row.justification.count("\n") < _EXCERPT_LINES


def grant_of(row: AccessRequest) -> Grant | None:
    found: Grant | None = getattr(row, "grant", None)
    return found


def takes_evidence(actor: Actor, tenant_id: UUID) -> bool:
    """Return whether this person can download evidence of the tenant's log. They must be able to read the whole log."""
    return bool((operations.LOG_READERS | {Role.STAFF}) & actor.roles_on(tenant_id=tenant_id, service_id=None))


def whose_turn(row: AccessRequest, state: State) -> str:
    if state == State.PENDING_PROVIDER:
        return _("An approver of %(provider)s answers next") % {"provider": settings.PROVIDER_NAME}
    if state == State.PENDING_CUSTOMER:
        return _("%(tenant)s answers next") % {"tenant": row.tenant.name}
    return ""


def outcome(row: AccessRequest, state: State, seen: dict[str, Any] | None) -> str:
    """Return the result in a few words, or "" while the access request is under way."""
    if state == State.CLOSED and seen is not None:
        summary = sentences.summary(seen, enforced_by=row.enforced_by, has_gate=row.has_gate)
        # The name of an application keeps its first letter.
        return summary if row.enforced_by else capfirst(summary)
    if state == State.DENIED:
        denied = next((d for d in row.decisions.all() if d.verdict == Decision.Verdict.DENY), None)
        return _("Denied by %(name)s") % {"name": denied.who} if denied else _("Denied")
    if state == State.EXPIRED:
        return _("Nobody answered; nothing was opened")
    if state == State.WITHDRAWN:
        return _("Withdrawn; nothing was opened")
    return ""


def again_url(row: AccessRequest, *, actor: Actor, state: State) -> str:
    """Return the address of the form that repeats this access request, or "" if this actor can't repeat it now."""
    ended = state in (State.DENIED, State.EXPIRED, State.WITHDRAWN, State.CLOSED)
    if not ended or Role.REQUESTER not in policy.roles_of(actor, row):
        return ""
    if row.ticket is not None and not row.ticket.is_live:
        return ""
    try:
        if row.ticket:
            return f"{reverse('web:ask', args=[row.ticket.pk])}?from={row.pk}"
        return f"{reverse('web:legal_demand')}?tenant={row.tenant_id}&service={row.service_id}&from={row.pk}"
    except NoReverseMatch:
        return ""


@dataclass
class Window:
    """An open window with its live list: who can do what, until when, and the newest accesses."""

    line: Line
    heading: str
    poll_url: str = ""
    looks: list[dict[str, Any]] = field(default_factory=list)
    seen: str = ""
    silence: Silence | None = None

    @property
    def name(self) -> str:
        return slugify(self.line.row.reference)


def window(
    line: Line,
    looks: Sequence[ContentAccess],
    *,
    polls: int = 0,
    with_tenant: bool = False,
    silence: Silence | None = None,
) -> Window:
    """Return the open window for the page.

    `silence` says since when the application that enforces the window has not reported, if it should have. With
    `polls`, the page asks again and again for this number of newest accesses. With 0, the list on the page does
    not change.
    """
    values = {"who": visible_single(line.row.requested_by.name), "act": visible_single(line.act)}
    heading = format_html(_("{who} can {act}"), **values)
    if with_tenant:
        heading = format_html(_("{who} can {act} at {tenant}"), tenant=visible_single(line.row.tenant.name), **values)
    poll = f"{reverse('web:live', args=[line.row.pk])}?lines={polls}" if polls else ""
    shown = look_lines(looks, enforced_by=line.row.enforced_by)
    return Window(line, heading, poll, shown, newest(looks, silence), silence=silence)


def newest(looks: Sequence[ContentAccess], silence: Silence | None) -> str:
    """Return what a live list shows: the id of the newest access, or "nothing", and whether the application is silent.

    The list is sent again only if this text has changed.
    """
    last = str(looks[0].pk) if looks else "nothing"
    return f"{last} silent" if silence else last


# --- Accesses ------------------------------------------------------------------------------------------------


def look_lines(looks: Iterable[ContentAccess], *, enforced_by: str) -> list[dict[str, Any]]:
    """Return the lines of the live list. `enforced_by` is the application that enforces the window, or "".

    A line names an item by its reference, because a subject line would be content.
    """
    return [
        {"at": look.at, "words": _allowed(look, enforced_by), "resource": look.resource, "item": look.item_ref}
        for look in looks
    ]


def _allowed(look: ContentAccess, enforced_by: str) -> str:
    """Return what happened. If an application enforces the window, name it in place of "another service"."""
    if look.kind in _REPORTED:
        return reported_words(look, enforced_by)
    kinds = ContentAccess.Kind
    words = {
        kinds.LIST_ALLOWED: _("was allowed to list items in %(application)s"),
        kinds.VIEW_ALLOWED: _("was allowed to view an item in %(application)s"),
        kinds.READ_ALLOWED: _("was allowed to open an item in %(application)s"),
        kinds.DOWNLOAD_ALLOWED: _("was allowed to download an item from %(application)s"),
        kinds.ACT_AS_ALLOWED: _("was allowed to change something in %(application)s"),
    }.get(kinds(look.kind))
    return words % {"application": enforced_by} if words and enforced_by else look_words(look)


def reported_words(look: ContentAccess, application: str) -> str:
    """Return what an application says about its own requests. Without its name, call it "the application"."""
    what = sentences.reported(_REPORTED[look.kind], look.count)
    outside = look.kind == ContentAccess.Kind.REPORTED_OUTSIDE
    if not application:
        words = _("%(what)s, reported by the application")
        if outside:
            words = _("%(what)s that the window did not allow, reported by the application")
        return words % {"what": what}
    # Translators: "12 accesses, reported by the application Quillo".
    words = _("%(what)s, reported by the application %(application)s")
    if outside:
        words = _("%(what)s that the window did not allow, reported by the application %(application)s")
    return words % {"what": what, "application": application}


def _kind_of(look: ContentAccess) -> str:
    return look.resource.kind if look.resource is not None else ""


def _downloaded(look: ContentAccess) -> str:
    if look.part:
        return _("downloaded an attachment of the message")
    if _kind_of(look) == Resource.Kind.MAILBOX:
        return _("downloaded the message")
    if _kind_of(look) == Resource.Kind.LIBRARY:
        return _("downloaded the document")
    return _("downloaded the record")


def look_words(look: ContentAccess) -> str:
    kinds = ContentAccess.Kind
    if look.kind in _REPORTED:
        return reported_words(look, "")
    if look.kind == kinds.LISTED:
        return ngettext("listed %(n)d name", "listed %(n)d names", look.count) % {"n": look.count}
    if look.kind == kinds.FAILED:
        return _("tried to access an item that could not be read")
    if look.kind == kinds.CUT:
        return _("was interrupted while reading")
    if look.kind == kinds.LIST_ALLOWED:
        return _("was allowed to use another service to list items")
    if look.kind == kinds.VIEW_ALLOWED:
        return _("was allowed to use another service to view an item")
    if look.kind == kinds.READ_ALLOWED:
        return _("was allowed to use another service to open an item")
    if look.kind == kinds.DOWNLOAD_ALLOWED:
        return _("was allowed to use another service to download an item")
    if look.kind == kinds.ACT_AS_ALLOWED:
        return _("was allowed to use another service to change something")
    if look.kind == kinds.DOWNLOADED:
        return _downloaded(look)
    if look.part:
        return _("opened an attachment of the message")
    if _kind_of(look) == Resource.Kind.MAILBOX:
        return _("opened the message")
    if _kind_of(look) == Resource.Kind.LIBRARY:
        return _("opened the document")
    return _("opened the record")
