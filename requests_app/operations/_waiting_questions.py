"""Holds the questions of callers until the threads of the decision lane have answered them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar
from uuid import UUID

import structlog

from audit_app.recorder import Witnessed
from requests_app.domain import evaluation
from requests_app.domain.actors import Actor
from requests_app.domain.acts.content import ALLOW_ACCESS
from requests_app.domain.acts.declaration import Act
from requests_app.domain.deciding import CROWD, TOO_BUSY, Asked, Decided, QuotaLeft
from requests_app.domain.errors import Busy, OutcomeUnknown
from requests_app.domain.evaluation import Question, Verdict
from requests_app.models import ContentAccess
from requests_app.models.evaluation import EvaluationQuery, require_still
from requests_app.models.evaluations import Found
from requests_app.operations import _allowing
from requests_app.operations._change import Step
from requests_app.platform import telemetry
from requests_app.platform.lanes import LaneFull

log = structlog.get_logger(__name__)


class Call:
    """The questions of one caller. The caller learns all answers together."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self.future: Future[list[Decided]] = Future()
        self._decided: list[Decided | None] = [None] * len(asked)
        self._left, self._lock = len(asked), threading.Lock()
        self.since = monotonic()
        #: The questions, if their caller is authenticated already.
        self.opened: Sequence[OpenQuestion] = ()

    @property
    def size(self) -> int:
        return len(self.asked)

    def begin(self) -> bool:
        return self.future.set_running_or_notify_cancel()

    def fail(self, error: Exception) -> None:
        self.refuse(Busy(TOO_BUSY) if isinstance(error, LaneFull) else error)

    def decide(self, place: int, decided: Decided) -> None:
        """Store one answer, unless the question has one. The last one ends the call."""
        with self._lock:
            if self._decided[place] is not None:
                return
            self._decided[place] = decided
            self._left -= 1
            is_last = not self._left
        if is_last:
            # A caller that has gone gets nothing. It can go at any moment until the work has begun.
            with suppress(InvalidStateError):
                self.future.set_result([each for each in self._decided if each is not None])

    def refuse(self, refused: Exception | None, **known: Any) -> None:
        """Give the questions that have no answer yet this one."""
        for place in range(self.size):
            self.decide(place, Decided(refused=refused, **known))


class CallWithoutToken(Call):
    """A call whose caller is not known by a token."""

    @staticmethod
    def open_all(calls: Sequence[Any]) -> list[OpenQuestion]:
        """Read who asks in calls of this kind, and return their questions. A call without a question is answered."""
        raise NotImplementedError


@dataclass(slots=True, kw_only=True, eq=False)
class OpenQuestion:
    """A question of an authenticated caller that waits for its answer."""

    call: Call
    place: int
    actor: Actor
    quota: QuotaLeft | None
    query: EvaluationQuery
    verdict: Verdict | None = None
    refused: Exception | None = None
    #: What its entry is about.
    about: tuple[str, str] = ("", "")
    #: The place of its entry among those of its transaction, or the number of an earlier entry.
    entry: int | None = None
    earlier: int | None = None

    #: The act of a question about an access.
    act: ClassVar[Act] = ALLOW_ACCESS

    @property
    def asked(self) -> Asked:
        return self.call.asked[self.place]

    @property
    def waited(self) -> float:
        """For how many seconds the caller has waited."""
        return monotonic() - self.call.since

    @property
    def question(self) -> Question:
        return self.query.question

    def judged(self, found: Found) -> tuple[Verdict, evaluation.Window | None]:
        """Return the answer, and its window. Raise an error if the caller may not ask any more."""
        require_still(found.facts, actor=self.actor)
        return evaluation.answer(self.question, found.facts, found.ended, sees_people=self.query.within is None)

    def drafted(
        self, found: Found, verdict: Verdict, window: evaluation.Window | None
    ) -> tuple[Witnessed | None, ContentAccess | None]:
        """Return the entry about the answer, and the row of the access if it is allowed."""
        current = Step(actor=self.actor, act=self.act)
        return _allowing.answered(current, self.question, found.facts, verdict, window)

    def answer(self) -> None:
        """Give the answer. Raise nothing: the entry may be committed, so nobody may begin with the question again."""
        try:
            self._answer()
        except Exception as error:
            log.exception("answer_failed")
            self.verdict, self.refused = None, OutcomeUnknown() if self.asked.is_access else error
            self.call.decide(self.place, Decided(refused=self.refused, about=self.about))

    def _answer(self) -> None:
        if self.asked.is_access:
            count(self.refused, self.act)
        known: dict[str, Any] = {"actor": self.actor, "quota": self.quota, "about": self.about}
        self.call.decide(self.place, Decided(verdict=self.verdict, refused=self.refused, **known))

    def refuse(self, refused: Exception) -> None:
        self.verdict, self.refused, self.about = None, refused, ("", "")
        self.answer()


class BusyLog:
    """A log that somebody else has locked, and the questions that wait for it."""

    size = 1

    def __init__(self, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id
        self._questions: list[OpenQuestion] = []
        self._lock = threading.Lock()

    def begin(self) -> bool:
        return True

    def fail(self, error: Exception) -> None:
        for each in self.take(CROWD):
            each.refuse(Busy(TOO_BUSY) if isinstance(error, LaneFull) else error)

    def add(self, questions: list[OpenQuestion]) -> bool:
        """Return whether these are the first ones. Those that are too many are refused."""
        with self._lock:
            is_first = not self._questions
            room = CROWD - len(self._questions)
            self._questions += questions[:room]
        for each in questions[room:]:
            each.refuse(Busy(TOO_BUSY))
        return is_first

    def take(self, most: int) -> list[OpenQuestion]:
        with self._lock:
            taken = self._questions[:most]
            del self._questions[:most]
            return taken

    def take_back(self, questions: list[OpenQuestion]) -> None:
        """Put questions before the others, because they came first."""
        with self._lock:
            self._questions[:0] = questions

    @property
    def is_empty(self) -> bool:
        return not self._questions


def count(refused: Exception | None, act: Act = ALLOW_ACCESS) -> None:
    """Tell the observers how the act ended. It has no time of its own, because many share a transaction."""
    watched = telemetry.watched(telemetry.ACT, act.name)
    watched.__enter__()
    watched.__exit__(None if refused is None else type(refused), refused, None)
