"""Checks a log against the life cycles of docs/lifecycle.md, which are written here a second time as data.

Nothing is imported from the product. Otherwise an error in the product's table would be an error here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

#: event -> (earlier states, later states, who: a side, "system", or "both" if either side can do it)
ACCESS_REQUEST: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "access_request.submitted": ((), ("PENDING_PROVIDER",), "provider"),
    "access_request.approved_by_provider": (("PENDING_PROVIDER",), ("PENDING_CUSTOMER", "OPEN"), "provider"),
    "access_request.denied_by_provider": (("PENDING_PROVIDER",), ("DENIED",), "provider"),
    "access_request.approved_by_customer": (("PENDING_CUSTOMER",), ("OPEN",), "customer"),
    "access_request.denied_by_customer": (("PENDING_CUSTOMER",), ("DENIED",), "customer"),
    "access_request.withdrawn": (("PENDING_PROVIDER", "PENDING_CUSTOMER"), ("WITHDRAWN",), "any"),
    "access_request.expired": (("PENDING_PROVIDER", "PENDING_CUSTOMER"), ("EXPIRED",), "system"),
    "grant.released": (("OPEN",), ("CLOSED",), "provider"),
    "grant.revoked": (("OPEN",), ("CLOSED",), "any"),
    "grant.closed": (("OPEN",), ("CLOSED",), "system"),
}
TICKET: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "ticket.opened": ((), ("NEW",), "both"),
    "ticket.assigned": (("NEW", "ASSIGNED", "WAITING_FOR_CUSTOMER"), ("ASSIGNED",), "provider"),
    "ticket.answer_asked": (("ASSIGNED",), ("WAITING_FOR_CUSTOMER",), "provider"),
    "ticket.answered": (("WAITING_FOR_CUSTOMER",), ("ASSIGNED",), "customer"),
    "ticket.resolved": (("ASSIGNED", "WAITING_FOR_CUSTOMER"), ("RESOLVED",), "provider"),
    "ticket.closed": (("NEW", "ASSIGNED", "WAITING_FOR_CUSTOMER", "RESOLVED"), ("CLOSED",), "both"),
    "ticket.reopened": (("RESOLVED", "CLOSED"), ("ASSIGNED", "NEW"), "both"),
}
#: These events need a time before the deadline. The system's events need the deadline or a later time.
BEFORE_DEADLINE = frozenset(ACCESS_REQUEST) - {"access_request.submitted", "access_request.expired", "grant.closed"}
LOOKS = frozenset({"content.list_asked", "content.listed", "content.opened", "content.downloaded",
                   "content.access_allowed"})  # fmt: skip


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass
class Life:
    """One access request, as the log describes it."""

    id: str
    engineer: str
    state: str
    decide_by: datetime
    window_for: int
    resources: frozenset[str]
    reference: str = ""
    provider: str = ""
    grant: str = ""
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass
class Replay:
    """What was read from one tenant's log.

    `lives` has the access requests. `wrong` lists everything that must not happen.
    """

    provider_for: timedelta
    customer_for: timedelta
    has_lockbox: bool = True
    lives: dict[str, Life] = field(default_factory=dict)
    tickets: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    last_at: datetime | None = None

    def read(self, lines: Iterable[dict[str, Any]]) -> Replay:
        """Read the lines of an export, which are in order. Return this object."""
        for number, line in enumerate(lines):
            entry = line["entry"]
            if entry is None:
                self.wrong.append(f"line {number} holds no record")
                continue
            if entry["seq"] != number or line["seq"] != number:
                self.wrong.append(f"entry {entry['seq']} stands at place {number}")
            at = instant(entry["at"])
            if self.last_at is not None and at < self.last_at:
                self.wrong.append(f"entry {number} is older than the one before it")
            self.last_at = at
            self._entry(entry, at)
        return self

    def _entry(self, entry: dict[str, Any], at: datetime) -> None:
        event = entry["event"]
        if event in ACCESS_REQUEST:
            self._access_request(entry, at)
        elif event in TICKET:
            self._ticket(entry)
        elif event in LOOKS:
            self._look(entry, at)

    def _say(self, entry: dict[str, Any], words: str) -> None:
        self.wrong.append(f"entry {entry['seq']} ({entry['event']}): {words}")

    # --- Access requests ---------------------------------------------------------------------------------------

    def _access_request(self, entry: dict[str, Any], at: datetime) -> None:
        event, detail, found = entry["event"], entry["detail"], entry["access_request"]
        sources, targets, who = ACCESS_REQUEST[event]
        life = self.lives.get(found)
        self._require_side(entry, who)
        if not sources:
            if life is not None:
                self._say(entry, "it was submitted before")
                return
            self.lives[found] = Life(
                found, detail["engineer"], targets[0], at + self.provider_for, detail["window_for"],
                frozenset(each["id"] for each in detail["resources"]), detail["reference"],
            )  # fmt: skip
            return
        if life is None:
            self._say(entry, "nobody submitted it")
            return
        if life.state not in sources:
            self._say(entry, f"it was {life.state}")
        end = life.closes_at if life.state == "OPEN" else life.decide_by
        if end is not None and event in BEFORE_DEADLINE and at >= end:
            self._say(entry, f"it is late: the deadline was {end.isoformat()}")
        if end is not None and event in ("access_request.expired", "grant.closed") and at < end:
            self._say(entry, f"it is early: the deadline is {end.isoformat()}")
        self._move(entry, life, at, targets)

    def _move(self, entry: dict[str, Any], life: Life, at: datetime, targets: tuple[str, ...]) -> None:
        event, detail = entry["event"], entry["detail"]
        state = detail.get("state", targets[0])
        if state not in targets:
            self._say(entry, f"it says {state}")
        decider = (entry["actor"].get("for") or entry["actor"]).get("id")
        if ("approved" in event or "denied" in event) and decider in (life.engineer, life.provider or None):
            self._say(entry, "one human counts twice")
        if event == "access_request.approved_by_provider":
            life.provider, life.decide_by = decider or "", at + self.customer_for
            wanted = "PENDING_CUSTOMER" if self.has_lockbox else "OPEN"
            if state != wanted:
                self._say(entry, f"it says {state}, where it must be {wanted}")
        if state == "OPEN":
            self._open(entry, life, at)
        if targets == ("CLOSED",):
            if detail.get("grant") != life.grant:
                self._say(entry, "it closes another window")
            life.ended_at = at
        life.state = state

    def _open(self, entry: dict[str, Any], life: Life, at: datetime) -> None:
        detail = entry["detail"]
        if life.grant:
            self._say(entry, "it opens a second window")
        life.grant = detail["grant"]
        life.opens_at, life.closes_at = instant(detail["opens_at"]), instant(detail["closes_at"])
        if life.closes_at - life.opens_at > timedelta(seconds=life.window_for):
            self._say(entry, "the window is longer than what was asked for")
        if abs(life.opens_at - at) > timedelta(seconds=1):
            self._say(entry, "the window opens at another time than its decision")

    def _look(self, entry: dict[str, Any], at: datetime) -> None:
        life = self.lives.get(entry["access_request"])
        if life is None or life.opens_at is None or life.closes_at is None:
            self._say(entry, "there never was a window")
        elif not life.opens_at <= at < life.closes_at:
            self._say(entry, "the window was not open at this time")
        elif life.state != "OPEN":
            self._say(entry, f"the window was closed before ({life.state})")
        elif entry["subject"]["id"] != life.grant:
            self._say(entry, "it names another window")
        elif entry["detail"].get("resource") not in life.resources:
            self._say(entry, "the window does not cover this resource")

    # --- Tickets -----------------------------------------------------------------------------------------------

    def _ticket(self, entry: dict[str, Any]) -> None:
        found, event = entry["subject"]["id"], entry["event"]
        sources, targets, who = TICKET[event]
        self._require_side(entry, who)
        state = self.tickets.get(found)
        if not sources and state is not None:
            self._say(entry, "it was opened before")
        elif sources and state not in sources:
            self._say(entry, f"it was {state}")
        state = entry["detail"].get("state", targets[0])
        self.tickets[found] = state if state in targets else targets[0]

    def _require_side(self, entry: dict[str, Any], who: str) -> None:
        actor = entry["actor"]
        is_system = actor.get("side") == "system" or actor.get("kind") == "system"
        allowed = {
            "any": True, "system": is_system, "both": not is_system,
        }.get(who, actor.get("side") == who)  # fmt: skip
        if not allowed:
            self._say(entry, f"{actor.get('name')} ({actor.get('side')}) may not do this")

    # --- At the end --------------------------------------------------------------------------------------------

    def overdue(self, at: datetime, grace: timedelta) -> list[str]:
        """Return what the sweep should have ended by now but did not: all that is overdue for longer than `grace`."""
        found = []
        for life in self.lives.values():
            if life.state.startswith("PENDING") and life.decide_by + grace < at:
                found.append(f"{life.reference} still waits, {at - life.decide_by} after its deadline")
            if life.state == "OPEN" and life.closes_at is not None and life.closes_at + grace < at:
                found.append(f"{life.reference} is still open, {at - life.closes_at} after its end")
        return found
