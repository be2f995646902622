"""The invariants of a storm. Each check takes plain data, so that a test can forge a violation."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bench.storm import tree
from bench.storm.journal import IntendedAct, Outcome
from bench.storm.lifecycle import LOOKS, Replay

KEY = re.compile(r"K\d{6,}Q")
#: Events whose entry is written before anything is shown. If the window closes in between, the access is recorded and
#: refused.
RECORDED_FIRST = LOOKS | {"log.exported", "log.evidence_taken"}


@dataclass(frozen=True)
class Violation:
    """A broken invariant.

    The report groups violations by `kind`. If `safety` is true, a promise of the product is broken. Otherwise it is a
    wrong response.
    """

    kind: str
    words: str
    safety: bool = True


Mark = tuple[str, str, str]


def marks_of(entry: Mapping[str, Any], comments: Mapping[str, str]) -> Iterable[str]:
    """Yield the marks of an entry. A mark is a text that connects an entry with its act in the journal.

    It is, for example, a key in the entry's detail, or the ID of what the entry is about.
    """
    detail = entry["detail"]
    text = json.dumps(detail) + comments.get(str(detail.get("comment_id", "")), "")
    yield from set(KEY.findall(text))
    event, subject, actor = entry["event"], entry["subject"]["id"], entry["actor"].get("id")
    if event.startswith("ticket."):
        yield f"{subject} {actor}"
    elif event in LOOKS:
        yield f"{entry['access_request']} {detail.get('item', '')}".strip()
    elif event == "log.exported" and entry["door"] == "command":
        yield "command"
    elif event.startswith("person."):
        yield str(detail.get("person", subject))
    since = detail.get("since") or (detail.get("filters") or {}).get("since")
    if since:
        yield str(since)


def found_in(logs: Mapping[str, list[dict[str, Any]]], comments: Mapping[str, str]) -> Counter[Mark]:
    """Count how often each (tenant, event, mark) occurs in the logs."""
    found: Counter[Mark] = Counter()
    for tenant, lines in logs.items():
        submissions = {_moment(line["entry"]) for line in lines if _is_submission(line["entry"])}
        for line in lines:
            entry = line["entry"]
            # An engineer who submits an access request takes an unassigned ticket with the same act.
            is_part = entry is not None and entry["event"] == "ticket.assigned" and _moment(entry) in submissions
            if entry is not None and not is_part:
                marks = list(marks_of(entry, comments))
                found.update((tenant, entry["event"], mark) for mark in marks)
                # If a ticket waits for an answer, a comment becomes an answer. So all these entries are also counted
                # under one name.
                if entry["event"].startswith("ticket."):
                    found.update((tenant, "ticket.said", mark) for mark in marks)
    return found


def _is_submission(entry: Mapping[str, Any] | None) -> bool:
    return entry is not None and entry["event"] == "access_request.submitted"


def _moment(entry: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the time of an entry and its actor. Entries of one act have the same."""
    return entry["at"], entry["actor"].get("id")


def once(acts: Iterable[IntendedAct], found: Counter[Mark]) -> list[Violation]:
    """Check that the log has each acknowledged act exactly once, and no refused act."""
    groups: dict[Mark, list[IntendedAct]] = defaultdict(list)
    for act in acts:
        if act.changes and act.calls:
            groups[act.tenant, act.event, act.mark].append(act)
    wrong = []
    for mark, group in groups.items():
        seen = Counter(act.outcome for act in group)
        done, there = seen[Outcome.DONE], found[mark]
        may_be = sum(seen[each] for each in (Outcome.UNKNOWN, Outcome.LOST, Outcome.BUSY))
        if there < done:
            wrong.append(_violation("an acknowledged act is not in the log", group, there))
        elif there > done + may_be:
            if seen[Outcome.NOTHING] or seen[Outcome.PUT_OFF]:
                wrong.append(_violation('"nothing was changed", though it was', group, there, safety=False))
            elif (seen[Outcome.REFUSED] or seen[Outcome.WRONG]) and mark[1] in RECORDED_FIRST:
                continue
            elif seen[Outcome.REFUSED] or seen[Outcome.WRONG]:
                wrong.append(_violation("an act was refused, though it was done", group, there, safety=False))
            else:
                wrong.append(_violation("an act is in the log more often than it was asked for", group, there))
    return wrong


def _violation(kind: str, group: list[IntendedAct], there: int, *, safety: bool = True) -> Violation:
    act = group[0]
    answers = [[(call.status, call.code) for call in each.calls] for each in group]
    doors = "/".join(sorted({each.door for each in group}))
    words = f"{doors}: {act.name} by {act.who} at {act.tenant} ({act.mark}): {there} in the log; answers {answers}"
    return Violation(kind, words, safety)


def answers(acts: Iterable[IntendedAct]) -> list[Violation]:
    """Find wrong responses: a 5xx other than 503, a 4xx that is not expected, a false "nothing was changed".

    If the last response is a replay, an earlier call did the act. So it is wrong if all earlier responses were
    "nothing was changed".
    """
    wrong = []
    for act in acts:
        for call in act.calls:
            if call.outcome == Outcome.WRONG:
                words = f"{act.door}: {act.name} by {act.who}: {call.status} {call.code} {call.words[:160]}"
                wrong.append(Violation("a wrong status", words, safety=False))
        before = [call.outcome for call in act.calls[:-1]]
        if act.calls and act.calls[-1].was_replayed and before and set(before) <= {Outcome.NOTHING, Outcome.PUT_OFF}:
            words = f"{act.door}: {act.name} by {act.who} ({act.mark}) was answered from its first call"
            wrong.append(Violation('"nothing was changed", though it was', words, safety=False))
    return wrong


def rows_agree(replay: Replay, rows: Mapping[str, Mapping[str, Any]]) -> list[Violation]:
    """Check that the rows of one tenant agree with its log. `rows` has "asked", "tickets" and "grants", each by id."""
    wrong = []

    def compare(what: str, reported: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
        for key in reported.keys() | stored.keys():
            if reported.get(key) != stored.get(key):
                words = f"{what} {key}: the log says {reported.get(key)}, the row {stored.get(key)}"
                wrong.append(Violation("a row is not what the log says", words))

    compare("access request", {pk: life.state for pk, life in replay.lives.items()}, rows["asked"])
    compare("ticket", replay.tickets, rows["tickets"])
    grants = {life.grant: life.state == "CLOSED" for life in replay.lives.values() if life.grant}
    compare("window closed", grants, rows["grants"])
    return wrong


def replayed(tenant: str, replay: Replay, at: datetime, grace: Any) -> list[Violation]:
    found = [Violation("the log breaks the life cycle", f"{tenant}: {words}") for words in replay.wrong]
    return found + [Violation("not ended in time", f"{tenant}: {words}") for words in replay.overdue(at, grace)]


def signed(tenant: str, lines: list[dict[str, Any]], notes: Iterable[str]) -> list[Violation]:
    """Check that every checkpoint in `notes` fits the entries of this log (`lines`)."""
    leaves = [bytes.fromhex(line["leaf_hash"]) for line in lines]
    found = [tree.follows(leaves, note) for note in notes]
    return [Violation("the log is not what was signed", f"{tenant}: {words}") for words in found if words]


# --- Mails and webhooks ----------------------------------------------------------------------------------------


def mails(received: Iterable[tuple[str, str, bytes]], sent: Iterable[tuple[str, str]]) -> list[Violation]:
    """Check that every mail that the outbox calls delivered has arrived. Copies of one mail must have the same bytes.

    `received` has (Message-ID, recipient, bytes) of each mail. `sent` has (Message-ID, recipient) of each delivered
    row.
    """
    bodies: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    arrived = set()
    for number, recipient, body in received:
        bodies[number, recipient].add(body)
        arrived.add((row_of(number), recipient))
    wrong = [
        Violation("a mail that counts as delivered never arrived", f"{number} to {recipient}")
        for number, recipient in sent
        if (row_of(number), recipient) not in arrived
    ]
    for (number, recipient), versions in bodies.items():
        if len(versions) > 1:
            first, second = sorted(versions)[:2]
            words = f"{number} to {recipient}: {_difference(first, second)}"
            wrong.append(Violation("a mail came again, and was another", words, safety=False))
    return wrong


def row_of(message_id: str) -> str:
    """Return the id of the outbox row in a Message-ID: the part before the first dot, which a hash can follow."""
    return message_id.strip("<>").partition("@")[0].partition(".")[0]


def _difference(first: bytes, second: bytes) -> str:
    pairs = zip(first.splitlines(), second.splitlines(), strict=False)
    found = next(((a, b) for a, b in pairs if a != b), (b"", b"(one is longer)"))
    return f"{found[0][:120]!r} and {found[1][:120]!r}"


def engineers_got_mail(
    replay: Replay, texts_by_address: Mapping[str, str], address_of: Mapping[str, str]
) -> list[Violation]:
    """Check that each engineer got at least one mail about each of their access requests that has ended."""
    wrong = []
    for life in replay.lives.values():
        if life.state in ("DENIED", "EXPIRED", "CLOSED"):
            address = address_of.get(life.engineer, "")
            if life.reference not in texts_by_address.get(address, ""):
                wrong.append(Violation("an outcome was never told", f"{life.reference} ({life.state}) to {address}"))
    return wrong


def hooks(
    tenant: str,
    lines: list[dict[str, Any]],
    messages: Iterable[tuple[str, bytes]],
    *,
    since: int,
    events: Iterable[str],
) -> list[Violation]:
    """Check that each entry of these events was sent at least once, and each time with the same body.

    Entries before the number `since` are not checked.
    """
    bodies: dict[int, set[bytes]] = defaultdict(set)
    ids: dict[int, set[str]] = defaultdict(set)
    for number, body in messages:
        place = json.loads(body)["data"]["log"]["index"]
        bodies[place].add(body)
        ids[place].add(number)
    wanted = set(events)
    wrong = [
        Violation("a webhook was never told", f"{tenant}: entry {line['seq']} ({line['entry']['event']})")
        for line in lines
        if line["seq"] >= since and line["entry"]["event"] in wanted and line["seq"] not in bodies
    ]
    for place in bodies:
        if len(ids[place]) > 1 or len(bodies[place]) > 1:
            wrong.append(Violation("a webhook was told one event in two ways", f"{tenant}: entry {place}"))
    return wrong


def outbox_is_done(waiting: Iterable[str], parked: Iterable[str]) -> list[Violation]:
    found = [Violation("a message still waits", words) for words in waiting]
    return found + [Violation("a message was given up", words) for words in parked]
