"""The lane with its real threads: busy logs, races with the end of a window, and a process that is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from audit_app import recorder
from audit_app.models import AuditEntry, ChainHead, ClosedShard
from audit_app.verify import verify
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.deciding import Asked, Decided, TokenRefused
from requests_app.domain.errors import Busy, NotAllowed, OutcomeUnknown
from requests_app.domain.evaluation import Question, Verdict
from requests_app.models import ContentAccess, Grant, Token
from requests_app.operations import _decision_lane
from requests_app.operations._decision_lane import WAITERS, DecisionLane
from tests.audit import care
from tests.caller import service_of
from tests.cast import Cast
from tests.concurrency.test_races import at_once, wait_for_somebody_who_waits
from tests.operations.test_decision_lane import Quota, access
from tests.operations.test_evaluation import ask
from tests.wire import AtCommit, Wire, through

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 30


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    return cast


@pytest.fixture
def lane(world: Cast, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecisionLane]:
    # A slow machine may hold a log for longer than callers wait.
    monkeypatch.setattr(_decision_lane, "PATIENCE", SECONDS)
    made = DecisionLane(Quota(100_000))
    yield made
    _end(made)


def _end(lane: DecisionLane) -> None:
    lane.close()
    assert lane.join(seconds=SECONDS)


def _foreign(world: Cast, **fields: Any) -> Question:
    return ask(world, resource=str(world.resource("fabrikam").pk), **fields)


def _verdict(future: Future[list[Decided]]) -> Verdict:
    [decided] = future.result(SECONDS)
    if decided.refused is not None:
        raise decided.refused
    assert decided.verdict is not None
    return decided.verdict


def test_many_threads_have_each_their_entry(world: Cast, lane: DecisionLane) -> None:
    grant = world.opened()
    world.opened("fabrikam")
    staff = service_of(world)
    asked = [access(ask(world), staff)] * 10 + [access(_foreign(world), staff)] * 10
    verdicts = at_once(*[lambda one=one: _verdict(lane.submit([one])) for one in asked])
    assert [each.decision for each in verdicts] == [True] * 20
    for verdicts_of, tenant in ((verdicts[:10], world.contoso), (verdicts[10:], world.fabrikam)):
        numbers = {each.entry for each in verdicts_of}
        assert len(numbers) == 10
        assert AuditEntry.objects.filter(tenant_id=tenant.pk, event="content.access_allowed").count() == 10
        assert verify(tenant.pk).is_good
    assert ContentAccess.objects.filter(grant=grant).count() == 10


def test_an_answer_is_given_only_after_the_commit(world: Cast, lane: DecisionLane) -> None:
    world.opened()
    in_transaction = list[bool]()
    future = lane.submit([access(ask(world), service_of(world))])
    # The thread of the lane calls this with its own connection, unless the answer is here already.
    future.add_done_callback(lambda _: in_transaction.append(connection.in_atomic_block))
    assert _verdict(future).decision
    _end(lane)
    assert in_transaction == [False]


def test_no_yes_comes_after_the_close(world: Cast, lane: DecisionLane) -> None:
    grant, staff, ada = world.opened(), service_of(world), world.as_("ada")
    asked = access(ask(world), staff)
    found = at_once(
        *[lambda: [_verdict(lane.submit([asked])) for _ in range(5)] for _ in range(6)],
        lambda: operations.revoke(grant.access_request_id, actor=ada),
    )
    verdicts = [verdict for each in found[:-1] for verdict in each]
    allowed = [each.entry or 0 for each in verdicts if each.decision]
    refused = [each.entry or 0 for each in verdicts if not each.decision]
    revoked = AuditEntry.objects.get(correlation_id=grant.access_request_id, event="grant.revoked").seq
    assert max(allowed, default=0) < revoked < min(refused, default=revoked + 1)
    assert ContentAccess.objects.filter(grant=grant).count() == len(allowed)
    assert verify(world.contoso.pk).is_good


def test_a_tombstone_meanwhile_takes_its_place_between_the_entries(world: Cast, lane: DecisionLane) -> None:
    world.opened()
    asked = access(ask(world), service_of(world))
    found = at_once(
        *[lambda: [_verdict(lane.submit([asked])) for _ in range(5)] for _ in range(6)],
        lambda: care.tombstone(world.contoso.pk, at=clock.now()),
    )
    assert isinstance(found[-1], dict), found[-1]
    numbers = [verdict.entry for verdicts in found[:-1] for verdict in verdicts]
    entries = AuditEntry.objects.filter(tenant_id=world.contoso.pk).order_by("seq")
    assert len(set(numbers)) == 30
    assert [entry.seq for entry in entries] == list(range(ChainHead.objects.get(pk=world.contoso.pk).size))
    closed = ClosedShard.objects.get(tenant_id=world.contoso.pk)
    assert entries.get(event="log.tombstoned").seq == closed.end_seq


def test_a_token_that_is_revoked_meanwhile_asks_nothing_more(world: Cast, lane: DecisionLane) -> None:
    world.opened()
    staff = service_of(world)
    asked = access(ask(world), staff)
    assert _verdict(lane.submit([asked])).decision
    Token.objects.filter(pk=staff.token_id).update(revoked_at=clock.now())
    with pytest.raises(TokenRefused):
        _verdict(lane.submit([asked]))


# --- Busy logs -----------------------------------------------------------------------------------------------


class Holder:
    """Another session holds the head of a log, and perhaps a token, until `go` is set.

    `last` is what it does before it commits.
    """

    def __init__(self, tenant_id: UUID, last: Any = None, *, token: UUID | None = None) -> None:
        self._tenant_id, self._last, self._token = tenant_id, last, token
        self.holds, self.go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold)

    def __enter__(self) -> Holder:
        self._thread.start()
        assert self.holds.wait(SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._thread.join(SECONDS)

    def _hold(self) -> None:
        try:
            with transaction.atomic():
                recorder.lock(self._tenant_id)
                list(Token.objects.filter(pk=self._token).select_for_update(no_key=True))
                self.holds.set()
                self.go.wait(SECONDS)
                if self._last is not None:
                    self._last()
        finally:
            connection.close()


@pytest.mark.postgres
def test_a_busy_log_stops_no_other(world: Cast, lane: DecisionLane) -> None:
    world.opened()
    world.opened("fabrikam")
    staff = service_of(world)
    with Holder(world.contoso.pk):
        blocked = [lane.submit([access(ask(world), staff)]) for _ in range(3)]
        mixed = lane.submit([access(ask(world), staff), access(_foreign(world), staff)])
        for _ in range(3):
            assert _verdict(lane.submit([access(_foreign(world), staff)])).decision
        assert not any(future.done() for future in [*blocked, mixed])
    assert all(_verdict(future).decision for future in blocked)
    assert [each.verdict.decision for each in mixed.result(SECONDS) if each.verdict] == [True, True]
    assert verify(world.contoso.pk).is_good


@pytest.mark.postgres
def test_a_log_that_is_busy_for_a_moment_is_waited_for(
    world: Cast, lane: DecisionLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes often need the same log at once. To hand the question over would take a second transaction."""
    world.opened()
    staff, handed_over = service_of(world), list[Any]()
    plain = lane._hand_over

    def hand_over(blocked: Any) -> None:
        handed_over.extend(blocked)
        plain(blocked)

    monkeypatch.setattr(lane, "_hand_over", hand_over)
    for moment, wanted in ((SECONDS, []), (0.01, [world.contoso.pk])):
        monkeypatch.setattr(_decision_lane, "MOMENT", moment)
        with Holder(world.contoso.pk):
            future = lane.submit([access(ask(world), staff)])
            wait_for_somebody_who_waits()
            time.sleep(0.1)
        assert _verdict(future).decision
        assert handed_over == wanted


@pytest.mark.postgres
def test_logs_that_stay_busy_delay_no_question_for_another_busy_log(world: Cast, lane: DecisionLane) -> None:
    """As many logs as there are threads are never free. The third one is free soon after its question came."""
    assert WAITERS == 2
    tenants = ("contoso", "fabrikam", "northwind")
    for tenant in tenants:
        world.opened(tenant)
    staff = service_of(world)
    never, soon = [Holder(getattr(world, tenant).pk) for tenant in tenants[:2]], Holder(world.northwind.pk)
    questions = [ask(world, resource=str(world.resource(tenant).pk)) for tenant in tenants]
    with never[0], never[1]:
        with soon:
            futures = [lane.submit([access(question, staff)]) for question in questions]
            wait_for_somebody_who_waits()
        assert _verdict(futures[2]).decision
        assert not any(future.done() for future in futures[:2])
    assert [_verdict(future).decision for future in futures[:2]] == [True, True]


@pytest.mark.postgres
def test_each_question_for_a_busy_log_has_its_own_patience(
    world: Cast, lane: DecisionLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.opened()
    staff = service_of(world)
    with Holder(world.contoso.pk):
        first = lane.submit([access(ask(world), staff)])
        wait_for_somebody_who_waits()
        monkeypatch.setattr(_decision_lane, "PATIENCE", 1.0)
        with pytest.raises(Busy):
            _verdict(first)
        monkeypatch.setattr(_decision_lane, "PATIENCE", SECONDS)
        second = lane.submit([access(ask(world), staff)])
        wait_for_somebody_who_waits()
    assert _verdict(second).decision
    assert ContentAccess.objects.count() == 1


@pytest.mark.postgres
def test_a_lane_that_closes_answers_what_it_has_begun_and_refuses_the_rest(world: Cast, lane: DecisionLane) -> None:
    world.opened()
    staff = service_of(world)
    begun, go = threading.Event(), threading.Event()
    plain = lane._access._work

    def work(calls: Any) -> None:
        begun.set()
        assert go.wait(SECONDS)
        plain(calls)

    lane._access._work = work
    first = lane.submit([access(ask(world), staff)])
    assert begun.wait(SECONDS)
    rest = [lane.submit([access(ask(world), staff)]) for _ in range(3)]
    lane.close()
    late = lane.submit([access(ask(world), staff)])
    go.set()
    assert _verdict(first).decision
    for each in [*rest, late]:
        with pytest.raises(Busy):
            _verdict(each)
    assert lane.join(seconds=SECONDS)
    assert ContentAccess.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["window closed", "token revoked"])
def test_a_question_that_waits_for_its_log_is_answered_from_what_is_so_then(
    world: Cast, lane: DecisionLane, how: str
) -> None:
    grant, staff = world.opened(), service_of(world)

    def last() -> None:
        if how == "window closed":
            Grant.objects.filter(pk=grant.pk).update(closed_at=clock.now(), close_reason="revoked")
        else:
            Token.objects.filter(pk=staff.token_id).update(revoked_at=clock.now())

    with Holder(world.contoso.pk, last):
        future = lane.submit([access(ask(world), staff)])
        time.sleep(0.3)
        assert not future.done()
    if how == "window closed":
        assert _verdict(future).reason == "window_not_open"
    else:
        with pytest.raises(NotAllowed):
            _verdict(future)
    assert ContentAccess.objects.count() == 0


@pytest.mark.postgres
def test_a_resource_that_gets_another_locator_meanwhile_is_not_the_one_of_the_question(
    world: Cast, lane: DecisionLane
) -> None:
    world.opened()
    staff, resource = service_of(world), world.resource()
    asked = access(ask(world, resource=resource.locator, tenant="contoso"), staff)
    assert _verdict(lane.submit([asked])).decision

    def last() -> None:
        type(resource).objects.filter(pk=resource.pk).update(locator="contoso/elsewhere")

    with Holder(world.contoso.pk, last):
        future = lane.submit([asked])
        time.sleep(0.3)
        assert not future.done()
    found = _verdict(future)
    assert (found.decision, found.reason, found.entry) == (False, "not_found", None)
    assert ContentAccess.objects.count() == 1


# --- Lost commits and a killed process -----------------------------------------------------------------------


@pytest.mark.postgres
def test_an_answer_that_the_database_does_not_confirm_is_no_yes(
    world: Cast, lane: DecisionLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.opened()
    asked = access(ask(world), service_of(world))
    parts, record_in = connection.settings_dict, recorder.record_in
    with Wire(parts["HOST"] or "127.0.0.1", int(parts["PORT"] or 5432)) as wire, through(wire, connection):

        def write(*args: Any, **options: Any) -> Any:
            wire.next_commit = AtCommit.LOSE_ANSWER
            return record_in(*args, **options)

        monkeypatch.setattr(recorder, "record_in", write)
        [first] = lane.submit([asked]).result(SECONDS)
        assert isinstance(first.refused, OutcomeUnknown)
        assert first.verdict is None
        monkeypatch.undo()
        assert _verdict(lane.submit([asked])).decision, "the thread has a new connection"
    assert ContentAccess.objects.count() == 2, "the entry of the first one stands"


THREADS, HEARD = 6, 40


def test_each_yes_that_was_heard_has_its_entry_even_if_the_process_is_killed(world: Cast) -> None:
    world.opened()
    world.opened("fabrikam")
    staff = service_of(world)
    asked = {world.contoso.pk: access(ask(world), staff), world.fabrikam.pk: access(_foreign(world), staff)}
    heard = [line.split() for line in _heard(asked)]
    assert len(heard) >= HEARD
    for tenant_id in asked:
        numbers = {int(number) for tenant, number in heard if tenant == str(tenant_id)}
        found = AuditEntry.objects.filter(tenant_id=tenant_id, event="content.access_allowed")
        assert numbers
        assert numbers <= set(found.values_list("seq", flat=True))
        assert ContentAccess.objects.filter(tenant=tenant_id).count() == found.count()
        assert verify(tenant_id).is_good


def _heard(asked: dict[UUID, Asked]) -> Iterator[str]:
    """Yield what the callers of another process have heard, which is killed while it answers them."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        _ask_without_end(asked, writing)
    os.close(writing)
    try:
        with os.fdopen(reading) as lines:
            for number, line in enumerate(lines):
                if number == HEARD:
                    os.kill(child, signal.SIGKILL)
                if line.endswith("\n"):
                    yield line
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _ask_without_end(asked: dict[UUID, Asked], writing: int) -> None:
    """Run in a child. Its threads have connections of their own. It ends only when it is killed."""
    lane = DecisionLane(Quota(10**9))

    def caller(tenant_id: UUID, one: Asked) -> None:
        while True:
            verdict = _verdict(lane.submit([one]))
            if verdict.decision:
                os.write(writing, f"{tenant_id} {verdict.entry}\n".encode())

    threads = [threading.Thread(target=caller, args=each, daemon=True) for each in list(asked.items()) * (THREADS // 2)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    os._exit(1)


def test_a_caller_that_has_gone_is_not_answered(world: Cast, lane: DecisionLane) -> None:
    """Its question is dropped if it was not begun."""
    world.opened()
    asked = access(ask(world), service_of(world))
    begun, go = threading.Event(), threading.Event()
    plain = lane._access._work

    def work(calls: Any) -> None:
        begun.set()
        assert go.wait(SECONDS)
        plain(calls)

    lane._access._work = work
    first = lane.submit([asked])
    assert begun.wait(SECONDS)
    second = lane.submit([asked])
    assert second.cancel()
    go.set()
    assert _verdict(first).decision
    _end(lane)
    assert ContentAccess.objects.count() == 1


@pytest.mark.postgres
def test_nobody_waits_for_a_token_that_an_act_holds(world: Cast, lane: DecisionLane) -> None:
    """The act may wait for its log. The time of the token's use is stored by a later call."""
    world.opened()
    held, other = service_of(world), service_of(world, "contoso")
    Token.objects.update(last_used_at=None)
    with Holder(world.contoso.pk, token=held.token_id):
        for staff in (held, other, other):
            began = time.monotonic()
            assert _verdict(lane.submit([replace(access(ask(world), staff), is_access=False)])).decision
            assert time.monotonic() - began < 1.0
    _end(lane)
    assert Token.objects.get(pk=held.token_id).last_used_at is None
    assert Token.objects.get(pk=other.token_id).last_used_at is not None
