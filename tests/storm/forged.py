"""Logs and journals in the form that a storm reads. They are written by hand, so that a test can make a part wrong."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
from typing import Any

from bench.storm.journal import Call, IntendedAct, Outcome
from bench.storm.lifecycle import Replay

BEGUN = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
ENGINEER, PAT, ADA, STELLA = "engineer", "pat", "ada", "stella"
SIDES = {ENGINEER: "provider", PAT: "provider", STELLA: "provider", ADA: "customer", "mia": "customer"}
GRANT, RESOURCE, ASKED, TICKET = "grant-1", "mailbox-1", "asked-1", "ticket-1"


def at(seconds: float) -> str:
    return (BEGUN + dt.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def entry(event: str, who: str, seconds: float, **detail: Any) -> dict[str, Any]:
    """Return a log entry. `log` gives it its number."""
    side = SIDES.get(who, "system")
    is_about_ticket = event.startswith("ticket.")
    subject = detail.pop("subject", TICKET if is_about_ticket else GRANT if event.startswith("content.") else ASKED)
    return {
        "event": event, "at": at(seconds), "door": "api", "detail": detail,
        "actor": {"id": who if side != "system" else None, "name": who, "side": side, "kind": "person"},
        "subject": {"id": subject, "type": "x"}, "access_request": None if is_about_ticket else ASKED,
    }  # fmt: skip


def life() -> list[dict[str, Any]]:
    """Return the entries of one correct access request, from its ticket to the end of its window."""
    closes = at(50)
    return [
        entry("ticket.opened", "mia", 0, title="K000001Q"),
        entry("ticket.assigned", ENGINEER, 1),
        entry("access_request.submitted", ENGINEER, 10, engineer=ENGINEER, window_for=20, reference="AR-AAAA-BBBB",
              resources=[{"id": RESOURCE}], justification="K000002Q because"),
        entry("access_request.approved_by_provider", PAT, 20, state="PENDING_CUSTOMER", comment="K000003Q"),
        entry("access_request.approved_by_customer", ADA, 30, state="OPEN", grant=GRANT, opens_at=at(30),
              closes_at=closes, comment="K000004Q"),
        entry("content.opened", ENGINEER, 40, resource=RESOURCE, item="7.mail"),
        entry("grant.closed", "sweep", 51, state="CLOSED", grant=GRANT),
    ]  # fmt: skip


def log(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return these entries as the lines of an export."""
    lines = []
    for number, each in enumerate(copy.deepcopy(entries)):
        each["seq"] = number
        leaf = hashlib.sha256(b"\0" + repr(each).encode()).hexdigest()
        lines.append({"seq": number, "index": number, "leaf_hash": leaf, "entry": each})
    return lines


def replay(entries: list[dict[str, Any]], **options: Any) -> Replay:
    return Replay(dt.timedelta(seconds=45), dt.timedelta(seconds=40), **options).read(log(entries))


def act(
    *outcomes: Outcome, event: str = "ticket.opened", mark: str = "K000001Q", replayed: bool = False
) -> IntendedAct:
    statuses = {Outcome.DONE: 201, Outcome.REFUSED: 409, Outcome.NOTHING: 503, Outcome.UNKNOWN: 503, Outcome.LOST: 0}
    calls = [Call(1.0, 2.0, statuses.get(outcome, 500), "", outcome.value) for outcome in outcomes]
    calls[-1].was_replayed = replayed
    return IntendedAct(1, 0, "api", "open ticket", "mia", "contoso", event, mark, mark, calls)
