"""Answers the questions of all callers of a process together: one read, one write, one commit for all that wait.

Advice and accesses have a thread each, so advice never waits for the disk. For accesses, the thread locks the heads of
the logs, reads the facts, judges, writes the entries and commits. Only then does anybody learn an answer. So each
answered "yes" has its entry. An answer that is lost on its way leaves an entry, and no permission.

**A busy log stops nobody else.** The thread waits only a moment for heads that others hold, as long as a commit of
another process takes. If that was not enough, it takes only heads that nobody holds. Questions for another head go to a
second kind of thread, which waits for one log at a time, with all questions for it that have gathered. It waits only
briefly for a log, and then for the next one. Each time a log was not free, it waits longer.

**The fault of one question is its own.** If the transaction of several questions fails, each half of them is tried
again, until the question that fails is alone. If the outcome of a commit is unknown, or if the database is lost or
keeps this process waiting, nothing is tried again, and all of these questions get an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from structlog.contextvars import bound_contextvars

from audit_app import recorder
from requests_app.domain import limits, policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.content import ALLOW_ACCESS
from requests_app.domain.copies import copied
from requests_app.domain.deciding import CROWD, TOO_BUSY, Asked, Decided, QuotaLeft, Take, TokenRefused
from requests_app.domain.errors import Busy, DomainError, OutcomeUnknown, SecondFactorRequired
from requests_app.domain.evaluation import Question, Verdict
from requests_app.domain.scopes import Scope
from requests_app.models import ContentAccess, Token
from requests_app.models.callers import Caller, find_callers
from requests_app.models.evaluation import EvaluationQuery, ask
from requests_app.models.evaluations import Found, read_all
from requests_app.models.row_security import as_before
from requests_app.operations._change import security_log
from requests_app.operations._repeated_questions import FORGETTING, Repeats
from requests_app.operations._waiting_questions import BusyLog, Call, CallWithoutToken, OpenQuestion, count
from requests_app.platform import outcome
from requests_app.platform.database import bounds
from requests_app.platform.database.errors import CommitUnknown, gave_up_waiting, state_of, was_locked
from requests_app.platform.database.turns import TurnRefused
from requests_app.platform.halving import halved
from requests_app.platform.lanes import GaveUp, Lane, LaneFull, wait
from requests_app.platform.together import together

#: How many questions share a transaction, and how many seconds one waits before it is begun.
MOST, PATIENCE = 128, 5.0
#: How many threads wait for the logs that others have locked, and for how many seconds the first time.
WAITERS, SHORTLY = 2, 0.2
#: For how many seconds the thread for accesses waits for the heads of its portion, and for how many seconds it does not
#: wait at all after that was not enough.
MOMENT, NO_MOMENT = 0.02, 1.0
#: How long the time of a token's use waits for its turn to write (SQLite).
USE_SECONDS = 0.2
#: deadlock_detected (PostgreSQL, appendix A).
_DEADLOCK = "40P01"
_log = structlog.get_logger(__name__)
T = TypeVar("T")


#: Questions that could not be answered, because somebody else has locked the log of this tenant.
Blocked = dict[UUID, list[OpenQuestion]]


class DecisionLane:
    """The threads of one process that answer questions.

    `take` takes places of a caller's quota, for calls whose first question has no `take` of its own.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        limits_of: dict[str, Any] = {"most": MOST, "crowd": CROWD, "patience": PATIENCE}
        self._advice: Lane[Call] = Lane("advice", self._work, **limits_of)
        self._access: Lane[Call] = Lane("access", self._work, **limits_of)
        # These questions have waited already. Each of them counts its own time.
        one = {**limits_of, "most": 1, "patience": float("inf")}
        self._waiters = [Lane[BusyLog](f"access to a busy log {n}", self._wait, **one) for n in range(WAITERS)]
        self._busy: dict[UUID, BusyLog] = {}
        self._waits_from = 0.0
        self._lock = threading.Lock()

    def submit(self, asked: Sequence[Asked]) -> Future[list[Decided]]:
        """Return the future answers to the questions of one call, in the same order.

        The questions of a call that is cancelled before it has begun are not answered.
        """
        return self.enter(Call(asked))

    def enter(self, call: Call) -> Future[list[Decided]]:
        """Return the future answers to the questions of a call, as `submit` does."""
        lane = self._access if any(each.is_access for each in call.asked) else self._advice
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
            return self._result(asked)
        call = Call(asked)
        call.begin()
        self._decide([call])
        return call.future.result(0)

    def _result(self, asked: Sequence[Asked]) -> list[Decided]:
        """Wait for the answers. Only a part of the threads of a web server waits for one log."""
        future, question = self.submit(asked), asked[0].question
        if question is not None:
            try:
                wait(_log_of(question), future)
            except (GaveUp, TurnRefused) as error:
                if future.cancel() or not any(each.is_access for each in asked):
                    raise Busy(TOO_BUSY) from error
                # The decision lane has begun, and may still write the entries.
                raise OutcomeUnknown from error
        return future.result()

    def answer(self, question: OpenQuestion) -> None:
        """Answer a question about an access, whose caller is authenticated already.

        Raise GaveUp, LaneFull or TurnRefused if the thread that calls this can't wait until it is answered.
        """
        call = question.call
        call.opened = [question]
        if connection.in_atomic_block:
            call.begin()
            self._decide([call])
        else:
            self._access.submit(call)
            try:
                wait(("log", question.query.log), call.future)
            finally:
                # Nobody needs an answer that comes later.
                call.future.cancel()
        # If the call as a whole was refused, nothing was written into the question.
        [decided] = call.future.result(0)
        question.refused = question.refused or decided.refused

    @property
    def _lanes(self) -> Iterator[Lane[Any]]:
        yield from (self._advice, self._access)
        yield from self._waiters

    def close(self) -> None:
        """Refuse all questions from now on, and those that nobody has begun with. All others are still answered."""
        for lane in self._lanes:
            lane.close()

    def join(self, *, seconds: float) -> bool:
        """Wait until all threads have ended. Call it after `close`. Return whether they have."""
        return all(lane.join(seconds=seconds) for lane in self._lanes)

    # --- One portion ---------------------------------------------------------------------------------------------

    def _work(self, calls: list[Call]) -> None:
        with _portion():
            self._decide(calls)

    def _decide(self, calls: list[Call]) -> None:
        new = [call for call in calls if not call.opened]
        try:
            questions, used = self._authenticated([call for call in new if not isinstance(call, CallWithoutToken)])
        except (DatabaseError, InterfaceError) as error:
            for call in calls:
                call.refuse(error)
            return
        questions += _opened([call for call in new if isinstance(call, CallWithoutToken)])
        questions += [each for call in calls for each in call.opened]
        for group in _apart(each for each in questions if not each.asked.is_access):
            _tried(group, _advise, _advice_failed)
        for group in _apart(each for each in questions if each.asked.is_access):
            self._hand_over(_tried(group, self._record_now, _access_failed))
        _note_use(used)
        if any(each.is_access for call in calls for each in call.asked):
            # Not after advice, which never waits for the disk.
            FORGETTING.forget()

    def _authenticated(self, calls: list[Call]) -> tuple[list[OpenQuestion], dict[UUID, datetime]]:
        """Return the questions of the callers who may ask, and the tokens whose use is to be stored."""
        hashes = sorted({call.asked[0].token_hash for call in calls})
        callers = _callers(hashes) if hashes else {}
        questions: list[OpenQuestion] = []
        used: dict[UUID, datetime] = {}
        for call in calls:
            caller = callers.get(call.asked[0].token_hash)
            if isinstance(caller, Exception):
                call.refuse(caller)
                continue
            if caller is None or not caller.is_live:
                call.refuse(TokenRefused())
                continue
            if caller.used_at is None or caller.at - caller.used_at >= limits.TOKEN_USE_GRAIN:
                used[caller.token.pk] = caller.at
            try:
                questions += self._admitted(call, caller)
            except Exception as error:
                # A bug, or a statement that failed. It is the fault of this call alone.
                _log.exception("call_failed")
                call.refuse(error)
        return questions, used

    def _admitted(self, call: Call, caller: Caller) -> Iterator[OpenQuestion]:
        """Yield the questions that the caller may ask. All others are answered here."""
        first, account = call.asked[0], caller.token.account
        actor = copied(caller.actor, request_id=first.request_id, ip=first.ip)
        left: QuotaLeft | None = None
        places, take = sum(each.places for each in call.asked), first.take or self._take
        try:
            if places and (left := take(account.pk, 1)).is_over:
                call.refuse(None, actor=actor, quota=left)
                return
            if actor.machine is None and policy.needs_second_factor(actor) and not account.has_second_factor:
                raise SecondFactorRequired
            policy.require_scope(actor, Scope.EVALUATE)
            if places > 1 and (left := take(account.pk, places - 1)).is_over:
                call.refuse(None, actor=actor, quota=left)
                return
        except DomainError as refused:
            call.refuse(refused, actor=actor, quota=left)
            return
        for place, asked in enumerate(call.asked):
            if asked.question is None:
                call.decide(place, Decided(actor=actor, quota=left))
                continue
            try:
                query = _query(asked, actor)
            except DomainError as refused:
                call.decide(place, Decided(refused=refused, actor=actor, quota=left))
            except Exception as error:
                _log.exception("question_failed")
                call.decide(place, Decided(refused=error, actor=actor, quota=left))
            else:
                yield OpenQuestion(call=call, place=place, actor=actor, quota=left, query=query)

    def _record_now(self, group: list[OpenQuestion]) -> Blocked:
        """Record answers. Wait a moment for heads: another process may be committing, and handing over costs more.

        A head that is held for longer delays one portion, and then nobody for some time.
        """
        if monotonic() >= self._waits_from:
            try:
                return _record_within(MOMENT, group)
            except OperationalError as error:
                if not was_locked(error):
                    raise
                # Nothing of this transaction was stored.
                self._waits_from = monotonic() + NO_MOMENT
        return _record(group, waits=False)

    # --- Logs that others have locked ----------------------------------------------------------------------------

    def _hand_over(self, blocked: Blocked) -> None:
        """Give the questions to a thread that waits for their log. Those for one log gather until it is free."""
        for tenant_id, questions in blocked.items():
            with self._lock:
                busy = self._busy.setdefault(tenant_id, BusyLog(tenant_id))
                is_first = busy.add(questions)
            if is_first:
                self._let_wait(busy)

    def _let_wait(self, busy: BusyLog) -> None:
        try:
            min(self._waiters, key=lambda lane: lane.load).submit(busy)
        except LaneFull as error:
            busy.fail(error)

    def _wait(self, logs: list[BusyLog]) -> None:
        """Answer one portion of each log. What is left, or has gathered meanwhile, waits behind the other logs."""
        with _portion():
            for busy in logs:
                for group in _apart(busy.take(MOST)):
                    blocked = _tried(group, partial(_record_soon, busy.tenant_id), _access_failed)
                    left = [each for some in blocked.values() for each in some]
                    busy.take_back([each for each in left if each.waited < PATIENCE])
                    for each in left:
                        if each.waited >= PATIENCE:
                            each.refuse(Busy(TOO_BUSY))
                with self._lock:
                    is_over = busy.is_empty
                    if is_over and self._busy.get(busy.tenant_id) is busy:
                        del self._busy[busy.tenant_id]
                if not is_over:
                    self._let_wait(busy)


def recorded(question: Question, *, actor: Actor) -> Verdict:
    """Answer one question about an access in this thread, and record the answer. Raise the refusal."""
    asked = Asked(token_hash="", question=question, is_access=True)
    query = _query(asked, actor)
    each = OpenQuestion(call=Call([asked]), place=0, actor=actor, quota=None, query=query)
    _tried([each], partial(_record, waits=True), _access_failed)
    if each.refused is not None:
        raise each.refused
    assert each.verdict is not None
    return each.verdict


def _log_of(question: Question) -> tuple[str, str, str]:
    """Return a key for the log that the question needs. Only the database knows the log itself.

    But the same question always needs the same log, so the threads that wait are counted under this.
    """
    return "evaluation", question.service, question.tenant or question.resource


@contextmanager
def _portion() -> Iterator[None]:
    """Set the limits of these threads, and open the file of SQLite again if it was moved, removed or restored.

    On PostgreSQL, the connection stays: it has the plans of the statements.
    """
    with bounds.within(_limits()):
        if connection.vendor == "sqlite":
            connection.close_if_unusable_or_obsolete()
        yield


def _limits() -> bounds.Bounds:
    """Return the limits of these threads. Each statement has the limit of an act, because others wait behind it.

    No request holds this connection between two portions, so a broken one is replaced.
    """
    now = bounds.current()
    return replace(now, threads=0, reconnects=True, read=now.act, read_on_server=now.act_on_server)


def _opened(calls: list[CallWithoutToken]) -> list[OpenQuestion]:
    """Return the questions of calls of several kinds."""
    kinds = {type(call) for call in calls}
    return [each for kind in kinds for each in _opened_by(kind, [call for call in calls if type(call) is kind])]


def _opened_by(kind: type[CallWithoutToken], calls: list[CallWithoutToken]) -> list[OpenQuestion]:
    """Open the calls together. If that fails, try each half of them, until the one that fails is alone."""
    try:
        return _again_if_lost(partial(kind.open_all, calls))
    except Exception as error:
        is_of_all = isinstance(error, DatabaseError | InterfaceError) and (
            connection.in_atomic_block or _is_final(error)
        )
        if is_of_all or len(calls) == 1:
            for call in calls:
                call.refuse(error)
            return []
    middle = len(calls) // 2
    return _opened_by(kind, calls[:middle]) + _opened_by(kind, calls[middle:])


def _callers(hashes: list[str]) -> dict[str, Caller | Exception]:
    """Read the callers. If that fails, read each half of them, until the one that fails is alone with its error.

    If the server has ended the idle connection of this thread, connect again once.
    """

    def is_final(error: Exception) -> bool:
        return _is_final(error) or (isinstance(error, DatabaseError | InterfaceError) and connection.in_atomic_block)

    def read(some: list[str]) -> dict[str, Caller | Exception]:
        return {**_again_if_lost(partial(find_callers, some))}

    def failed(error: Exception, some: list[str]) -> dict[str, Caller | Exception]:
        if is_final(error):
            raise error
        return dict.fromkeys(some, error)

    found: dict[str, Caller | Exception] = {}
    for part in halved(hashes, read, failed=failed, is_final=is_final):
        found |= part
    return found


def _again_if_lost(read: Callable[[], T]) -> T:
    try:
        return read()
    except (DatabaseError, InterfaceError):
        if connection.in_atomic_block or not _is_lost():
            raise
        return read()


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
        count(refused)
        raise


def _note_refusal(actor: Actor, refused: DomainError) -> None:
    """Write what every act writes that was refused before its tenant was known."""
    who = str(actor.person_id)
    # This thread works for many calls, so the line must name its own.
    with bound_contextvars(request_id=actor.request_id, ip=actor.ip):
        if refused.is_evidence:
            security_log.warning("act.refused", action=ALLOW_ACCESS.name, code=refused.code, person=who)
        else:
            security_log.info("act.failed", action=ALLOW_ACCESS.name, code=refused.code, person=who)


def _apart(questions: Iterable[OpenQuestion]) -> list[list[OpenQuestion]]:
    """Return the questions of staff and those of customers. Row-level security bounds these."""
    staff: list[OpenQuestion] = []
    customers: list[OpenQuestion] = []
    for each in questions:
        (staff if each.query.within is None else customers).append(each)
    return [group for group in (staff, customers) if group]


def _tried(
    group: list[OpenQuestion],
    do: Callable[[list[OpenQuestion]], Blocked],
    failed: Callable[[Exception, OpenQuestion], Exception],
) -> Blocked:
    """Answer the questions together. If that fails, try each half, until the one that fails is alone."""

    def refused(error: Exception, some: list[OpenQuestion]) -> Blocked:
        is_of_store = isinstance(error, DatabaseError | InterfaceError)
        for each in some:
            each.refuse(failed(error, each) if is_of_store else error)
        return {}

    blocked: Blocked = {}
    for part in halved(group, do, failed=refused, is_final=_is_final):
        for tenant_id, questions in part.items():
            blocked.setdefault(tenant_id, []).extend(questions)
    return blocked


def _is_final(error: Exception) -> bool:
    """Return whether it would be wrong, or would take too long, to try again.

    What has waited in vain would wait as long again, and everybody else with it. Only a deadlock ends at once.
    """
    if not isinstance(error, DatabaseError | InterfaceError):
        return False
    if _is_lost() or isinstance(error, CommitUnknown):
        return True
    is_deadlock = state_of(error) == _DEADLOCK
    return isinstance(error, OperationalError | InterfaceError) and gave_up_waiting(error) and not is_deadlock


def _is_lost() -> bool:
    """Return whether the connection has ended. Then nothing else can be asked now."""
    return connection.connection is None or bool(getattr(connection.connection, "closed", False))


def _advice_failed(error: Exception, _: OpenQuestion) -> Exception:
    return error


def _access_failed(error: Exception, each: OpenQuestion) -> Exception:
    return outcome.failed(error, *each.about, has_begun=True)


# --- Answers -------------------------------------------------------------------------------------------------


def _advise(group: list[OpenQuestion]) -> Blocked:
    for each, found in zip(group, read_all([each.query for each in group]), strict=True):
        each.refused = None
        try:
            each.verdict, _window = each.judged(found)
        except DomainError as refused:
            each.refused = refused
    with together():
        for each in group:
            each.answer()
    return {}


@dataclass(kw_only=True, slots=True)
class _Written:
    """What one transaction writes."""

    entries: list[tuple[recorder.Witnessed, datetime]] = field(default_factory=list)
    accesses: list[ContentAccess] = field(default_factory=list)
    heads: dict[UUID, Any] = field(default_factory=dict)


def _record(group: list[OpenQuestion], *, waits: bool) -> Blocked:
    """Answer questions about accesses. All entries are committed before the first answer is given."""
    blocked: Blocked = {}
    with as_before(), transaction.atomic(durable=True):
        done, written = [], _Written()
        repeats = Repeats(group)
        facts = read_all([each.query for each in group], hold=True, waits=waits)
        for each, found in zip(group, facts, strict=True):
            each.verdict, each.refused, each.entry, each.earlier, each.about = None, None, None, None, ("", "")
            if found.blocked_log is not None:
                blocked.setdefault(found.blocked_log, []).append(each)
                continue
            done.append(each)
            try:
                _draft(each, found, written, repeats)
            except DomainError as refused:
                _note_refusal(each.actor, refused)
                each.refused = refused
        rows = recorder.record_in(written.entries, heads=written.heads, beside=written.accesses)
        for each in done:
            number = each.earlier if each.entry is None else rows[each.entry].seq
            if each.verdict is not None:
                each.verdict = copied(each.verdict, entry=number)
        repeats.keep()
    with together():
        for each in done:
            each.answer()
    return blocked


def _record_within(seconds: float, group: list[OpenQuestion]) -> Blocked:
    with bounds.within(replace(bounds.current(), lock_on_server=seconds)):
        return _record(group, waits=True)


def _record_soon(tenant_id: UUID, group: list[OpenQuestion]) -> Blocked:
    """Wait for the log of these questions, as long as they have waited already. If it is not free, nothing is done."""
    longest = bounds.current().lock_on_server or bounds.ACT_SECONDS_OF_SERVER
    try:
        return _record_within(min(longest, max(SHORTLY, *(each.waited for each in group))), group)
    except OperationalError as error:
        if not was_locked(error):
            raise
        # The transaction has ended. Nothing of it was stored.
        return {tenant_id: group}


def _draft(each: OpenQuestion, found: Found, written: _Written, repeats: Repeats) -> None:
    """Judge one question, and prepare its entry."""
    each.verdict, window = each.judged(found)
    if each.verdict.decision:
        each.about = "grant", str(each.verdict.grant_id)
    elif found.facts.resource_id is not None:
        each.about = "resource", str(found.facts.resource_id)
    if repeats.knows(each):
        return
    entry, access = each.drafted(found, each.verdict, window)
    if entry is None:
        return
    if found.head is not None:
        written.heads.setdefault(entry.tenant_id, found.head)
    each.entry = len(written.entries)
    written.entries.append((entry, found.facts.at))
    if access is not None:
        written.accesses.append(access)
    repeats.note(each)


def _note_use(used: dict[UUID, datetime]) -> None:
    """Store when the tokens were used. If the database is busy, the next call stores it."""
    if not used:
        return
    try:
        with bounds.within(replace(bounds.current(), write=USE_SECONDS)), transaction.atomic(savepoint=False):
            rows = Token.objects.filter(pk__in=list(used))
            if connection.features.has_select_for_update_skip_locked:
                # An act that holds a token may wait for its log. Nobody here waits for the act.
                free = rows.select_for_update(skip_locked=True, no_key=True).values("pk")
                rows = Token.objects.filter(pk__in=free)
            rows.update(last_used_at=max(used.values()))
    except (DatabaseError, InterfaceError) as error:
        _log.warning("token_use_not_stored", error=type(error).__name__)
