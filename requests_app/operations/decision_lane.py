"""Answers the questions of all callers of a process together: one read, one write, one commit for all that wait.

Advice and accesses have a thread each, so advice never waits for the disk. For accesses, the thread locks the heads of
the logs, reads the facts, judges, writes the entries and commits. Only then does anybody learn an answer. So each
answered "yes" has its entry. An answer that is lost on its way leaves an entry, and no permission.

**A busy log stops nobody else.** The thread takes only heads that nobody holds. Questions for another head go to a
second kind of thread, which waits for one log at a time, with all questions for it that have gathered.

**The fault of one question is its own.** If the transaction of several questions fails, each half of them is tried
again, until the question that fails is alone. If the outcome of a commit is unknown, or if the database is lost or
keeps this process waiting, nothing is tried again, and all of these questions get an error.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils.translation import gettext_lazy as _
from structlog.contextvars import bound_contextvars

from audit_app import recorder
from requests_app.domain import clock, evaluation, limits, policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.content import ALLOW_ACCESS
from requests_app.domain.deciding import Asked, Decided, Standing, Take, TokenRefused
from requests_app.domain.errors import Busy, DomainError, SecondFactorRequired
from requests_app.domain.evaluation import Question, Verdict
from requests_app.domain.scopes import Scope
from requests_app.models import ContentAccess, IdempotencyKey, Token
from requests_app.models.callers import Caller, find_callers
from requests_app.models.evaluation import EvaluationQuery, ask, require_still
from requests_app.models.evaluations import Found, read_all
from requests_app.models.row_security import as_before
from requests_app.operations import _allowing
from requests_app.operations._change import Step, security_log
from requests_app.platform import outcome, telemetry
from requests_app.platform.database import bounds
from requests_app.platform.database.errors import CommitUnknown, gave_up_waiting
from requests_app.platform.lanes import Lane, LaneFull

#: How many questions share a transaction, how many wait, and how many seconds one waits before it is begun.
MOST, CROWD, PATIENCE = 128, 4096, 5.0
#: How many threads wait for the logs that others have locked.
WAITERS = 2
#: How long a repeated question of the same call gets the number of the same entry.
REPEATS_FOR = timedelta(seconds=60)
#: After how many of such numbers the old ones are deleted.
FORGET_EACH = 200
#: How long the time of a token's use waits for its turn to write (SQLite).
USE_SECONDS = 0.2
#: deadlock_detected (PostgreSQL, appendix A).
_DEADLOCK = "40P01"
log = structlog.get_logger(__name__)

#: What a caller learns whose question was not begun.
TOO_BUSY = _("The server is too busy at this moment. This attempt changed nothing. Try again in a few seconds.")


class _Call:
    """The questions of one caller. The caller learns all answers together."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self.future: Future[list[Decided]] = Future()
        self._decided: list[Decided | None] = [None] * len(asked)
        self._left, self._lock = len(asked), threading.Lock()

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
        if is_last and not self.future.cancelled():
            self.future.set_result([each for each in self._decided if each is not None])

    def refuse(self, refused: Exception | None, **known: Any) -> None:
        """Give the questions that have no answer yet this one."""
        for place in range(self.size):
            self.decide(place, Decided(refused=refused, **known))


@dataclass(slots=True, kw_only=True, eq=False)
class _Open:
    """A question of an authenticated caller that waits for its answer."""

    call: _Call
    place: int
    actor: Actor
    quota: Standing | None
    query: EvaluationQuery
    verdict: Verdict | None = None
    refused: Exception | None = None
    #: What its entry is about.
    about: tuple[str, str] = ("", "")
    #: The place of its entry among those of its transaction, or the number of an earlier entry.
    entry: int | None = None
    earlier: int | None = None

    @property
    def asked(self) -> Asked:
        return self.call.asked[self.place]

    @property
    def question(self) -> Question:
        return self.query.question

    def answer(self) -> None:
        if self.asked.is_access:
            _count(self.refused)
        known: dict[str, Any] = {"actor": self.actor, "quota": self.quota, "about": self.about}
        self.call.decide(self.place, Decided(verdict=self.verdict, refused=self.refused, **known))

    def refuse(self, refused: Exception) -> None:
        self.verdict, self.refused, self.about = None, refused, ("", "")
        self.answer()


class _Busy:
    """A log that somebody else has locked, and the questions that wait for it."""

    size = 1

    def __init__(self, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id
        self._questions: list[_Open] = []
        self._lock = threading.Lock()

    def begin(self) -> bool:
        return True

    def fail(self, error: Exception) -> None:
        for each in self.take(CROWD):
            each.refuse(Busy(TOO_BUSY) if isinstance(error, LaneFull) else error)

    def add(self, questions: list[_Open]) -> bool:
        """Return whether these are the first ones. Those that are too many are refused."""
        with self._lock:
            is_first = not self._questions
            room = CROWD - len(self._questions)
            self._questions += questions[:room]
        for each in questions[room:]:
            each.refuse(Busy(TOO_BUSY))
        return is_first

    def take(self, most: int) -> list[_Open]:
        with self._lock:
            taken = self._questions[:most]
            del self._questions[:most]
            return taken

    @property
    def is_empty(self) -> bool:
        return not self._questions


#: Questions that could not be answered, because somebody else has locked the log of this tenant.
_Blocked = dict[UUID, list[_Open]]


class DecisionLane:
    """The threads of one process that answer questions. `take` takes places of a caller's quota."""

    def __init__(self, take: Take) -> None:
        self._take = take
        limits_of: dict[str, Any] = {"most": MOST, "crowd": CROWD, "patience": PATIENCE}
        self._advice: Lane[_Call] = Lane("advice", self._work, **limits_of)
        self._access: Lane[_Call] = Lane("access", self._work, **limits_of)
        one = {**limits_of, "most": 1}
        self._waiters = [Lane[_Busy](f"access to a busy log {n}", self._wait, **one) for n in range(WAITERS)]
        self._busy: dict[UUID, _Busy] = {}
        self._lock = threading.Lock()

    def submit(self, asked: Sequence[Asked]) -> Future[list[Decided]]:
        """Return the future answers to the questions of one call, in the same order.

        The questions of a call that is cancelled before it has begun are not answered.
        """
        call = _Call(asked)
        lane = self._access if any(each.is_access for each in asked) else self._advice
        try:
            lane.submit(call)
        except LaneFull as error:
            call.fail(error)
        return call.future

    def decide(self, asked: Sequence[Asked]) -> list[Decided]:
        """Answer the questions of one call.

        A caller inside a transaction is answered by its own thread, because another connection would not see what it
        has written.
        """
        if not connection.in_atomic_block:
            return self.submit(asked).result()
        call = _Call(asked)
        call.begin()
        self._decide([call])
        return call.future.result(0)

    def close(self, *, seconds: float = 10.0) -> None:
        """Take no more questions, and wait until those that are here are answered."""
        self._advice.close(seconds=seconds)
        self._access.close(seconds=seconds)
        for lane in self._waiters:
            lane.close(seconds=seconds)

    # --- One portion ---------------------------------------------------------------------------------------------

    def _work(self, calls: list[_Call]) -> None:
        # No request holds this connection between two portions, so a broken one is replaced.
        with bounds.within(replace(bounds.current(), threads=0, reconnects=True)):
            self._decide(calls)

    def _decide(self, calls: list[_Call]) -> None:
        try:
            questions, used = self._authenticated(calls)
        except (DatabaseError, InterfaceError) as error:
            for call in calls:
                call.refuse(error)
            return
        for group in _apart(each for each in questions if not each.asked.is_access):
            _tried(group, _advise, _advice_failed)
        for group in _apart(each for each in questions if each.asked.is_access):
            blocked = _tried(group, lambda some: _record(some, waits=False), _access_failed)
            self._hand_over(blocked)
        _note_use(used)
        FORGETTING.forget(clock.here())

    def _authenticated(self, calls: list[_Call]) -> tuple[list[_Open], dict[UUID, datetime]]:
        """Return the questions of the callers who may ask, and the tokens whose use is to be stored."""
        callers = _callers({call.asked[0].token_hash for call in calls})
        questions: list[_Open] = []
        used: dict[UUID, datetime] = {}
        for call in calls:
            caller = callers.get(call.asked[0].token_hash)
            if caller is None or not caller.is_live:
                call.refuse(TokenRefused())
                continue
            if caller.used_at is None or caller.at - caller.used_at >= limits.TOKEN_USE_GRAIN:
                used[caller.token.pk] = caller.at
            questions += self._admitted(call, caller)
        return questions, used

    def _admitted(self, call: _Call, caller: Caller) -> Iterator[_Open]:
        """Yield the questions that the caller may ask. All others are answered here."""
        first, account = call.asked[0], caller.token.account
        actor = replace(caller.actor, request_id=first.request_id, ip=first.ip)
        standing: Standing | None = None
        places = sum(each.places for each in call.asked)
        try:
            if places and (standing := self._take(account.pk, 1)).is_over:
                call.refuse(None, actor=actor, quota=standing)
                return
            if actor.machine is None and policy.needs_second_factor(actor) and not account.has_second_factor:
                raise SecondFactorRequired
            policy.require_scope(actor, Scope.EVALUATE)
            if places > 1 and (standing := self._take(account.pk, places - 1)).is_over:
                call.refuse(None, actor=actor, quota=standing)
                return
        except DomainError as refused:
            call.refuse(refused, actor=actor, quota=standing)
            return
        for place, asked in enumerate(call.asked):
            if asked.question is None:
                call.decide(place, Decided(actor=actor, quota=standing))
                continue
            try:
                query = _query(asked, actor)
            except DomainError as refused:
                call.decide(place, Decided(refused=refused, actor=actor, quota=standing))
            else:
                yield _Open(call=call, place=place, actor=actor, quota=standing, query=query)

    # --- Logs that others have locked ----------------------------------------------------------------------------

    def _hand_over(self, blocked: _Blocked) -> None:
        """Give the questions to a thread that waits for their log. Those for one log gather until it is free."""
        for tenant_id, questions in blocked.items():
            with self._lock:
                busy = self._busy.setdefault(tenant_id, _Busy(tenant_id))
                is_first = busy.add(questions)
            if is_first:
                self._let_wait(busy)

    def _let_wait(self, busy: _Busy) -> None:
        try:
            self._waiters[busy.tenant_id.int % WAITERS].submit(busy)
        except LaneFull as error:
            busy.fail(error)

    def _wait(self, logs: list[_Busy]) -> None:
        """Answer one portion of each log. What has gathered meanwhile waits behind the other logs."""
        with bounds.within(replace(bounds.current(), threads=0, reconnects=True)):
            for busy in logs:
                for group in _apart(busy.take(MOST)):
                    _tried(group, lambda some: _record(some, waits=True), _access_failed)
                with self._lock:
                    is_over = busy.is_empty
                    if is_over and self._busy.get(busy.tenant_id) is busy:
                        del self._busy[busy.tenant_id]
                if not is_over:
                    self._let_wait(busy)


def _callers(hashes: set[str]) -> dict[str, Caller]:
    """Read the callers. If the server has ended the idle connection of this thread, connect again once."""
    try:
        return find_callers(hashes)
    except (DatabaseError, InterfaceError):
        if connection.in_atomic_block or not _is_lost():
            raise
        return find_callers(hashes)


def _query(asked: Asked, actor: Actor) -> EvaluationQuery:
    assert asked.question is not None
    if not asked.is_access:
        return ask(asked.question, actor=actor)
    try:
        # Checked before anything is read: otherwise a person could learn something, or put a line into an engineer's
        # window.
        policy.require_act(actor, ALLOW_ACCESS.name)
        policy.require_service(actor)
        return ask(asked.question, actor=actor)
    except DomainError as refused:
        _note_refusal(actor, refused)
        _count(refused)
        raise


def _count(refused: Exception | None) -> None:
    """Tell the observers how the act ended. It has no time of its own, because many share a transaction."""
    watched = telemetry.watched(telemetry.ACT, ALLOW_ACCESS.name)
    watched.__enter__()
    watched.__exit__(None if refused is None else type(refused), refused, None)


def _note_refusal(actor: Actor, refused: DomainError) -> None:
    """Write what every act writes that was refused before its tenant was known."""
    who = str(actor.person_id)
    # This thread works for many calls, so the line must name its own.
    with bound_contextvars(request_id=actor.request_id, ip=actor.ip):
        if refused.is_evidence:
            security_log.warning("act.refused", action=ALLOW_ACCESS.name, code=refused.code, person=who)
        else:
            security_log.info("act.failed", action=ALLOW_ACCESS.name, code=refused.code, person=who)


def _apart(questions: Iterable[_Open]) -> list[list[_Open]]:
    """Return the questions of staff and those of customers. Row-level security bounds these."""
    staff: list[_Open] = []
    customers: list[_Open] = []
    for each in questions:
        (staff if each.query.within is None else customers).append(each)
    return [group for group in (staff, customers) if group]


def _tried(
    group: list[_Open],
    do: Callable[[list[_Open]], _Blocked],
    failed: Callable[[Exception, _Open], Exception],
) -> _Blocked:
    """Answer the questions together. If that fails, try each half, until the one that fails is alone."""
    try:
        return do(group)
    except (DatabaseError, InterfaceError) as error:
        if len(group) == 1 or _is_final(error):
            for each in group:
                each.refuse(failed(error, each))
            return {}
    except Exception as error:
        if len(group) == 1:
            group[0].refuse(error)
            return {}
    middle = len(group) // 2
    blocked = _tried(group[:middle], do, failed)
    for tenant_id, questions in _tried(group[middle:], do, failed).items():
        blocked.setdefault(tenant_id, []).extend(questions)
    return blocked


def _is_final(error: Exception) -> bool:
    """Return whether it would be wrong, or would take too long, to try again.

    What has waited in vain would wait as long again, and everybody else with it. Only a deadlock ends at once.
    """
    if _is_lost() or isinstance(error, CommitUnknown):
        return True
    is_deadlock = getattr(error.__cause__, "sqlstate", None) == _DEADLOCK
    return isinstance(error, OperationalError | InterfaceError) and gave_up_waiting(error) and not is_deadlock


def _is_lost() -> bool:
    """Return whether the connection has ended. Then nothing else can be asked now."""
    return connection.connection is None or bool(getattr(connection.connection, "closed", False))


def _advice_failed(error: Exception, _: _Open) -> Exception:
    return error


def _access_failed(error: Exception, each: _Open) -> Exception:
    return outcome.failed(error, *each.about, has_begun=True)


# --- Answers -------------------------------------------------------------------------------------------------


def _advise(group: list[_Open]) -> _Blocked:
    for each, found in zip(group, read_all([each.query for each in group]), strict=True):
        each.refused = None
        try:
            require_still(found.facts, actor=each.actor)
            each.verdict, _window = _judged(each, found)
        except DomainError as refused:
            each.refused = refused
    for each in group:
        each.answer()
    return {}


def _judged(each: _Open, found: Found) -> tuple[Verdict, evaluation.Window | None]:
    return evaluation.answer(each.question, found.facts, found.ended, sees_people=each.query.within is None)


@dataclass(kw_only=True, slots=True)
class _Written:
    """What one transaction writes."""

    entries: list[tuple[recorder.Witnessed, datetime]] = field(default_factory=list)
    accesses: list[ContentAccess] = field(default_factory=list)
    heads: dict[UUID, Any] = field(default_factory=dict)


def _record(group: list[_Open], *, waits: bool) -> _Blocked:
    """Answer questions about accesses. All entries are committed before the first answer is given."""
    blocked: _Blocked = {}
    with as_before(), transaction.atomic(durable=True):
        done, written = [], _Written()
        repeats = _Repeats(group)
        facts = read_all([each.query for each in group], hold=True, waits=waits)
        for each, found in zip(group, facts, strict=True):
            each.verdict, each.refused, each.entry, each.earlier, each.about = None, None, None, None, ("", "")
            if found.is_blocked:
                assert found.facts.tenant_id is not None
                blocked.setdefault(found.facts.tenant_id, []).append(each)
                continue
            done.append(each)
            try:
                require_still(found.facts, actor=each.actor)
                _draft(each, found, written, repeats)
            except DomainError as refused:
                _note_refusal(each.actor, refused)
                each.refused = refused
        rows = recorder.record_in(written.entries, heads=written.heads, beside=written.accesses)
        for each in done:
            number = each.earlier if each.entry is None else rows[each.entry].seq
            if each.verdict is not None:
                each.verdict = replace(each.verdict, entry=number)
        repeats.keep()
    for each in done:
        each.answer()
    return blocked


def _draft(each: _Open, found: Found, written: _Written, repeats: _Repeats) -> None:
    """Judge one question, and prepare its entry."""
    each.verdict, window = _judged(each, found)
    if each.verdict.decision:
        each.about = "grant", str(each.verdict.grant_id)
    elif found.facts.resource_id is not None:
        each.about = "resource", str(found.facts.resource_id)
    if repeats.knows(each):
        return
    current = Step(actor=each.actor, act=ALLOW_ACCESS)
    entry, access = _allowing.answered(current, each.question, found.facts, each.verdict, window)
    if entry is None:
        return
    if found.head is not None:
        written.heads.setdefault(entry.tenant_id, found.head)
    each.entry = len(written.entries)
    written.entries.append((entry, found.facts.at))
    if access is not None:
        written.accesses.append(access)
    repeats.note(each)


# --- Repeated calls ------------------------------------------------------------------------------------------


class _Repeats:
    """The entries about the same questions of the same calls, which a caller may send again when an answer is lost.

    The question is always judged again. If the answer is the same, it has the number of the first entry. A caller's own
    Idempotency-Key never has a space, so no caller can write or read these keys.
    """

    def __init__(self, group: list[_Open]) -> None:
        self._key_of = {id(each): self._key(each) for each in group if each.asked.repeat_id}
        self._stored: dict[tuple[UUID, str], IdempotencyKey] | None = None
        self._new: dict[tuple[UUID, str], tuple[str, _Open]] = {}

    @staticmethod
    def _key(each: _Open) -> tuple[UUID, str]:
        text = json.dumps([each.asked.repeat_id, *astuple(each.question)])
        return each.query.asker, f"access {hashlib.sha256(text.encode()).hexdigest()}"

    def knows(self, each: _Open) -> bool:
        """Return whether there is an entry with the same answer. Then give its number to the question.

        Call it when the head of the log is locked, so that no other transaction writes such an entry meanwhile.
        """
        key = self._key_of.get(id(each))
        if key is None:
            return False
        assert each.verdict is not None
        answer = _answer_of(each.verdict)
        if key in self._new:
            before, first = self._new[key]
            each.entry = first.entry if before == answer else None
            return before == answer
        row = self._rows().get(key)
        if row is None or row.asked != answer or each.verdict.at - row.begun_at >= REPEATS_FOR:
            return False
        each.earlier = int(row.subject_id)
        return True

    def _rows(self) -> dict[tuple[UUID, str], IdempotencyKey]:
        if self._stored is None:
            accounts, keys = zip(*self._key_of.values(), strict=True)
            rows = IdempotencyKey.objects.filter(account__in=set(accounts), key__in=set(keys))
            self._stored = {(row.account_id, row.key): row for row in rows}
        return self._stored

    def note(self, each: _Open) -> None:
        key = self._key_of.get(id(each))
        if key is not None:
            assert each.verdict is not None
            self._new[key] = _answer_of(each.verdict), each

    def keep(self) -> None:
        """Store the numbers of the new entries, in the transaction that writes them."""
        if not self._new:
            return
        rows = [
            _stored_row(*key, answer, each) for key, (answer, each) in sorted(self._new.items(), key=lambda new: new[0])
        ]
        IdempotencyKey.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["account", "key"], update_fields=_RENEWED
        )
        FORGETTING.note(len(rows))


_RENEWED = ["asked", "begun_at", "claimed_until", "done_at", "subject_id"]
_OF_ENTRIES = "entry"


def _stored_row(account_id: UUID, key: str, answer: str, each: _Open) -> IdempotencyKey:
    assert each.verdict is not None
    at = each.verdict.at
    return IdempotencyKey(
        account_id=account_id,
        key=key,
        asked=answer,
        begun_at=at,
        claimed_until=at,
        done_at=at,
        subject_type=_OF_ENTRIES,
        subject_id=str(each.verdict.entry),
    )


def _answer_of(verdict: Verdict) -> str:
    """Return a digest of what the entry says about the answer."""
    parts = [verdict.decision, verdict.reason, str(verdict.grant_id), str(verdict.closes_at)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class _Forgetting:
    """Deletes the numbers of entries that are too old for a repeated call, a part after each portion."""

    def __init__(self) -> None:
        self._lock, self._written = threading.Lock(), 0

    def note(self, number: int) -> None:
        with self._lock:
            self._written += number

    def forget(self, at: datetime) -> None:
        """Delete up to twice as many as were written since the last time. So they never become more."""
        with self._lock:
            if self._written < FORGET_EACH:
                return
            number, self._written = 2 * self._written, 0
        old = IdempotencyKey.objects.filter(subject_type=_OF_ENTRIES, begun_at__lt=at - REPEATS_FOR)
        IdempotencyKey.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:number])).delete()


FORGETTING = _Forgetting()


def _note_use(used: dict[UUID, datetime]) -> None:
    """Store when the tokens were used. If the database is busy, the next call stores it."""
    if not used:
        return
    try:
        with bounds.within(replace(bounds.current(), write=USE_SECONDS)):
            Token.objects.filter(pk__in=list(used)).update(last_used_at=max(used.values()))
    except (DatabaseError, InterfaceError) as error:
        log.warning("token_use_not_stored", error=type(error).__name__)
