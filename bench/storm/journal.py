"""What the callers saw: every call with its response, written immediately, and the outcome of each act."""

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
    """What a response tells the caller about what happened to the act."""

    #: The act is done.
    DONE = "done"
    #: The product refused the act, because of the state, the deadline, the role or the quota.
    REFUSED = "refused"
    #: 503: nothing was changed.
    NOTHING = "nothing changed"
    #: 503: too many calls want this at the same time. This call did not begin, and there is no outage.
    PUT_OFF = "put off"
    #: 503: it is not known whether this was saved.
    UNKNOWN = "not known"
    #: An equal call is still in progress.
    BUSY = "under way"
    #: No response came.
    LOST = "no answer"
    #: A response that must not happen: 5xx other than 503, or a 4xx that does not fit the call.
    WRONG = "wrong answer"


#: What every interface answers after a commit with an unknown outcome: the API's code, and its form in Azure's
#: contract.
UNKNOWN_CODES = frozenset({"outcome_unknown", "OutcomeUnknown"})
UNKNOWN_WORDS = ("know whether this was saved", "know whether it was saved")
PUT_OFF_CODES, PUT_OFF_WORDS = frozenset({"busy", "streams_full"}), "Go back and try again"
BUSY_CODES = frozenset({"idempotency_in_progress", "IdempotencyInProgress"})
#: 4xx for valid calls: somebody was faster, the page is out of date, or the quota is used up.
RACES = frozenset({409, 412, 429})


def code_of(answer: Answer) -> str:
    """Return the stable code of an error: a problem document, an Azure error or a SCIM error. Return "" for a page."""
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
    """Return the outcome that a response reports.

    A status of `refusals` or RACES means that the act was refused as expected.
    """
    if answer.status == 0 or (answer.status == 502 and "<center>nginx" in answer.text):
        # The proxy in front of the web servers got no answer either.
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
    """One try of an act: its times and its response."""

    begun: float
    ended: float
    status: int
    code: str
    outcome: str
    words: str = ""
    was_replayed: bool = False


@dataclass
class IntendedAct:
    """An act that somebody wanted to do once, with all tries of it.

    `event` and `mark` find its entry in the log of `tenant`. An act without an event only reads.
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
        """The outcome of all tries together: done if one try succeeded, and open if one may have succeeded."""
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
    """Every act, in memory and as a line of a file. No line is lost if the storm is killed."""

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
