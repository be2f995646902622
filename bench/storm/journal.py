"""What the callers saw: every call with its answer, written as it comes, and the outcome of each act."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bench.storm.calling import Answer


class Outcome(StrEnum):
    """What an answer tells its caller about the act."""

    #: It is done.
    DONE = "done"
    #: The domain said no: the state, the deadline, the role, the quota.
    REFUSED = "refused"
    #: 503: nothing was changed.
    NOTHING = "nothing changed"
    #: 503: too many want this at once. This try was not begun, and it is no outage.
    PUT_OFF = "put off"
    #: 503: it is not known whether this was saved.
    UNKNOWN = "not known"
    #: An equal call is still under way.
    BUSY = "under way"
    #: No answer came.
    LOST = "no answer"
    #: An answer that must not happen: 5xx other than 503, or a 4xx that does not fit what was sent.
    WRONG = "wrong answer"


#: The answer of every door after a commit with unknown outcome; the API's code, in Azure's spelling too.
UNKNOWN_CODES = frozenset({"outcome_unknown", "OutcomeUnknown"})
UNKNOWN_WORDS = ("know whether this was saved", "know whether it was saved")
PUT_OFF_CODES, PUT_OFF_WORDS = frozenset({"busy", "streams_full"}), "Go back and send it again"
BUSY_CODES = frozenset({"idempotency_in_progress", "IdempotencyInProgress"})
#: 4xx that any valid call may get: somebody was faster, the page is out of date, the quota is used up.
RACES = frozenset({409, 412, 429})


def code_of(answer: Answer) -> str:
    """The stable code of a problem; of Azure's contract and SCIM theirs; of a page nothing."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    inner = found.get("error")
    return str(found.get("code") or (inner.get("code") if isinstance(inner, dict) else "") or found.get("scimType", ""))


def says_unknown(answer: Answer) -> bool:
    text = answer.text
    return code_of(answer) in UNKNOWN_CODES or any(words in text for words in UNKNOWN_WORDS)


def judged(answer: Answer, *, refusals: frozenset[int] = frozenset()) -> Outcome:
    """Sort an answer. `refusals` are statuses, beside those of races, by which this act may be refused."""
    if answer.status == 0:
        return Outcome.LOST
    if answer.status == 503:
        if says_unknown(answer):
            return Outcome.UNKNOWN
        is_put_off = code_of(answer) in PUT_OFF_CODES or PUT_OFF_WORDS in answer.text
        return Outcome.PUT_OFF if is_put_off else Outcome.NOTHING
    if answer.is_well:
        return Outcome.DONE
    if code_of(answer) in BUSY_CODES:
        return Outcome.BUSY
    if answer.status in RACES | refusals:
        return Outcome.REFUSED
    return Outcome.WRONG


_STRONGEST_FIRST = (
    Outcome.DONE, Outcome.UNKNOWN, Outcome.LOST, Outcome.BUSY, Outcome.WRONG, Outcome.NOTHING, Outcome.PUT_OFF,
)  # fmt: skip


@dataclass
class Call:
    """One try: when it was made, and what was answered."""

    begun: float
    ended: float
    status: int
    code: str
    outcome: str
    words: str = ""
    was_replayed: bool = False


@dataclass
class IntendedAct:
    """One thing that somebody wanted done once, with every try at it.

    `event` and `mark` identify its entry in the log of `tenant`. An act without an event is a read.
    """

    number: int
    client: int
    door: str
    name: str
    who: str
    tenant: str = ""
    event: str = ""
    mark: str = ""
    key: str = ""
    calls: list[Call] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """All its tries together: done if one was done; open if one may have been."""
        seen = {call.outcome for call in self.calls}
        for each in _STRONGEST_FIRST:
            if each in seen:
                return each
        return Outcome.REFUSED

    @property
    def begun(self) -> float:
        return self.calls[0].begun if self.calls else 0.0

    @property
    def ended(self) -> float:
        return self.calls[-1].ended if self.calls else 0.0

    @property
    def changes(self) -> bool:
        return bool(self.event)


class Journal:
    """Every act, in memory and as a line of a file, which is whole though the storm is killed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()
        self._numbers = 0
        self.acts: list[IntendedAct] = []

    def number(self) -> int:
        with self._lock:
            self._numbers += 1
            return self._numbers

    def add(self, act: IntendedAct) -> None:
        with self._lock:
            self.acts.append(act)
            self._file.write(json.dumps(asdict(act)) + "\n")

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[IntendedAct]:
    return [act_from(json.loads(line)) for line in path.read_text().splitlines()]


def act_from(found: dict[str, Any]) -> IntendedAct:
    calls: Iterable[dict[str, Any]] = found.pop("calls")
    return IntendedAct(**found, calls=[Call(**call) for call in calls])
