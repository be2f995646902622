"""If a lock is never released, calls that wait for it still leave threads free for other calls.

If the lock is released, no call is refused.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction

from audit_app import recorder
from requests_app import operations
from requests_app.domain.actors import Once
from requests_app.domain.acts.declaration import Act, Noun
from requests_app.domain.deciding import Asked
from requests_app.domain.errors import Busy, OutcomeUnknown, SentAlready, StoreUnavailable
from requests_app.domain.evaluation import Question
from requests_app.models import AccessRequest, Plan, Token
from requests_app.operations._change import act, lock_access
from requests_app.platform.database import bounds
from requests_app.platform.database.sqlite.turn import Line, line_at
from requests_app.platform.database.turns import TURNS, TurnRefused
from tests.caller import service_of
from tests.cast import Cast
from tests.database.test_bounds import held
from tests.operations.test_evaluation import Unlimited
from tests.stopwatch import in_time, takes

pytestmark = [pytest.mark.dialect, pytest.mark.django_db(transaction=True)]
postgres = pytest.mark.postgres
only_sqlite = pytest.mark.sqlite

TEST = Act("test", noun=Noun.INSTALLATION)

THREADS = 16
#: How many seconds other calls may take: one second, and one more because this machine also runs the other calls.
SOON = 2


@pytest.fixture
def pool(as_web: None) -> Iterator[ThreadPoolExecutor]:
    """Return threads as in a web server. Each already has a database connection, as after its first call."""
    barrier = threading.Barrier(THREADS)

    def connect() -> None:
        connection.ensure_connection()
        barrier.wait(120)

    def leave() -> None:
        connection.close()
        barrier.wait(120)

    with ThreadPoolExecutor(THREADS) as made:
        for done in [made.submit(connect) for _ in range(THREADS)]:
            done.result(timeout=120)
        yield made
        for done in [made.submit(leave) for _ in range(THREADS)]:
            done.result(timeout=120)


def take_turn(tenant: UUID, *, takes: float = 0.0) -> None:
    """Lock a tenant's log as every act does, and hold the lock for `takes` seconds."""
    with act(TEST, actor=Cast.system()) as current:
        current.take_turn(tenant)
        time.sleep(takes)


def outcome(call: Callable[[], Any]) -> tuple[str, float]:
    """Make the call. Return whether it was done or refused, and the time at which it ended."""
    try:
        call()
    except StoreUnavailable as refusal:
        return type(refusal.__cause__).__name__, time.monotonic()
    return "done", time.monotonic()


def sent(pool: ThreadPoolExecutor, call: Callable[[], Any]) -> tuple[float, Future[tuple[str, float]]]:
    return time.monotonic(), pool.submit(outcome, call)


def _all_done(calls: list[tuple[float, Future[tuple[str, float]]]]) -> None:
    """Assert that every call was done.

    On a slow machine, calls can be refused. So a refusal raises WrongTime, after which the test is repeated.
    """
    outcomes = Counter(done.result(timeout=120)[0] for _, done in calls)
    assert outcomes.keys() <= {"done", "TurnRefused"}
    in_time(outcomes["TurnRefused"] == 0, outcomes)


@pytest.mark.timed
@postgres
def test_a_log_that_is_not_given_back_does_not_delay_other_tenants(cast: Cast, pool: ThreadPoolExecutor) -> None:
    take_turn(cast.contoso.pk)
    with held(cast.contoso.pk):
        stuck, others = [], []
        for number in range(200):
            stuck.append(sent(pool, lambda: take_turn(cast.contoso.pk)))
            if number % 20 == 10:
                others.append(sent(pool, lambda: take_turn(cast.fabrikam.pk)))
        ended = [(began, *done.result(timeout=120)) for began, done in others]
        refused = Counter(done.result(timeout=120)[0] for _, done in stuck)
    assert {what for _, what, _ in ended} == {"done"}
    in_time(max(at - began for began, _, at in ended) < SOON, ended)
    assert refused["done"] == 0
    in_time(refused["TurnRefused"] >= 180, refused)
    # The lock is free again, and no call is refused.
    assert sent(pool, lambda: take_turn(cast.contoso.pk))[1].result(timeout=120)[0] == "done"


@pytest.mark.timed
@postgres
def test_a_burst_of_calls_for_one_tenant_is_not_refused(cast: Cast, pool: ThreadPoolExecutor) -> None:
    calls = [sent(pool, lambda: take_turn(cast.contoso.pk, takes=0.02)) for _ in range(40)]
    _all_done(calls)


@pytest.mark.timed
@postgres
def test_the_decision_point_leaves_threads_to_other_tenants(cast: Cast, pool: ThreadPoolExecutor) -> None:
    cast.opened()
    cast.opened(tenant="fabrikam")
    secret_hash = Token.objects.get(pk=service_of(cast).token_id).secret_hash
    lane = operations.DecisionLane(lambda *_: Unlimited())

    def ask(tenant: str) -> None:
        resource = cast.resource(tenant)
        question = Question(
            subject_type="engineer", subject="priya@provider.example", action="read", service="exchange-online",
            resource=str(resource.pk), tenant=tenant,
        )  # fmt: skip
        asked = Asked(token_hash=secret_hash, question=question, is_access=True)
        [decided] = lane.decide([asked])
        if decided.refused is not None:
            raise decided.refused

    def refused_or_done(tenant: str) -> None:
        try:
            ask(tenant)
        except (Busy, OutcomeUnknown) as error:
            raise StoreUnavailable from error

    assert sent(pool, lambda: ask("contoso"))[1].result(timeout=120)[0] == "done"
    with held(cast.contoso.pk):
        stuck = [sent(pool, lambda: refused_or_done("contoso")) for _ in range(60)]
        others = [sent(pool, lambda: ask("fabrikam")) for _ in range(5)]
        ended = [(began, *done.result(timeout=120)) for began, done in others]
        refused = Counter(done.result(timeout=120)[0] for _, done in stuck)
    assert {what for _, what, _ in ended} == {"done"}
    in_time(max(at - began for began, _, at in ended) < SOON, ended)
    in_time(refused["Busy"] + refused["OutcomeUnknown"] >= 40, refused)
    lane.close()
    assert lane.join(seconds=120)


@pytest.mark.timed
@postgres
def test_a_row_that_is_not_given_back_does_not_take_every_thread(cast: Cast, pool: ThreadPoolExecutor) -> None:
    row, other = cast.confirmed(), cast.confirmed(tenant="fabrikam")
    ada, frida = cast.as_("ada"), cast.as_("frida")
    with held(row.pk, table="requests_app_accessrequest", key="id"):
        for _ in range(60):
            sent(pool, lambda: operations.deny_as_customer(row.pk, actor=ada, note="No."))
        began, done = sent(pool, lambda: operations.deny_as_customer(other.pk, actor=frida, note="No."))
        what, at = done.result(timeout=120)
    assert what == "done"
    in_time(at - began < SOON, at - began)


@pytest.mark.timed
@postgres
@pytest.mark.parametrize("first", ["contoso", "fabrikam"])
def test_acts_on_several_logs_leave_threads_and_logs_to_other_tenants(
    cast: Cast, pool: ThreadPoolExecutor, first: str
) -> None:
    """Acts lock logs in the order of their keys.

    So if the second log is stuck, they already hold the first while they wait.
    """
    stuck_log, other_log = sorted([cast.contoso.pk, cast.fabrikam.pk], reverse=first == "contoso")
    take_turn(stuck_log)
    take_turn(other_log)

    def lock_both() -> None:
        with act(TEST, actor=Cast.system()):
            recorder.lock(stuck_log, other_log)

    with held(stuck_log):
        stuck, others = [], []
        for number in range(100):
            stuck.append(sent(pool, lock_both))
            if number % 20 == 10:
                others.append(sent(pool, lambda: take_turn(other_log)))
        ended = [(began, *done.result(timeout=120)) for began, done in others]
        refused = Counter(done.result(timeout=120)[0] for _, done in stuck)
    assert {what for _, what, _ in ended} == {"done"}
    in_time(max(at - began for began, _, at in ended) < SOON, ended)
    assert refused["done"] == 0
    in_time(refused["TurnRefused"] >= 60, refused)


@pytest.mark.timed
@postgres
def test_a_burst_of_acts_on_several_logs_is_not_refused(cast: Cast, pool: ThreadPoolExecutor) -> None:
    def lock_both() -> None:
        with act(TEST, actor=Cast.system()):
            recorder.lock(cast.contoso.pk, cast.fabrikam.pk)
            time.sleep(0.02)

    _all_done([sent(pool, lock_both) for _ in range(40)])


@pytest.mark.timed
@postgres
@pytest.mark.parametrize("table", ["requests_app_accessrequest", "requests_app_grant"])
def test_acts_that_wait_for_a_held_row_do_not_take_every_thread(
    cast: Cast, pool: ThreadPoolExecutor, table: str
) -> None:
    row, other = cast.opened().access_request, cast.confirmed(tenant="fabrikam")
    frida, key = cast.as_("frida"), "id" if table.endswith("request") else "access_request_id"

    def end() -> None:
        with act(TEST, actor=Cast.system()):
            lock_access(AccessRequest.objects.filter(pk=row.pk))

    with held(row.pk, table=table, key=key):
        stuck = [sent(pool, end) for _ in range(60)]
        began, done = sent(pool, lambda: operations.deny_as_customer(other.pk, actor=frida, note="No."))
        what, at = done.result(timeout=120)
        refused = Counter(done.result(timeout=120)[0] for _, done in stuck)
    assert what == "done"
    in_time(at - began < SOON, at - began)
    in_time(refused["TurnRefused"] >= 40, refused)


@pytest.mark.timed
@postgres
def test_a_form_that_is_sent_again_and_again_while_the_first_is_slow_leaves_threads(
    cast: Cast, pool: ThreadPoolExecutor
) -> None:
    may_end, has_begun = threading.Event(), threading.Event()

    def send() -> None:
        once = Once(claim=uuid4(), account_id=cast.ada.pk, key="the form's", asked="asked")
        with act(TEST, actor=replace(Cast.system(), once=once)) as current:
            has_begun.set()
            may_end.wait(120)
            current.take_turn(cast.contoso.pk)

    first = pool.submit(send)
    assert has_begun.wait(120)
    again = [pool.submit(send) for _ in range(40)]
    began, done = sent(pool, lambda: take_turn(cast.fabrikam.pk))
    what, at = done.result(timeout=120)
    assert what == "done"
    in_time(at - began < SOON, at - began)
    # The result of the first call with this key is not known yet.
    assert {type(each.exception(timeout=60)) for each in again} == {OutcomeUnknown}
    may_end.set()
    assert first.exception(timeout=60) is None
    assert type(pool.submit(send).exception(timeout=60)) is SentAlready


def test_stuck_locks_hold_at_most_half_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("requests_app.platform.database.turns.monotonic", lambda: now[0])
    for lock in range(3):
        for _ in range(4):
            now[0] += 0.001
            TURNS.enter(("test", lock), threads=THREADS).since = now[0]
    now[0] += 1
    try:
        turns = [turn for lock in range(3) for turn in TURNS._queues[("test", lock)].waiting]
        for turn in turns[:8]:
            turn.require_place()
        for turn in turns[8:]:
            with pytest.raises(TurnRefused):
                turn.require_place()
        # If nobody waits for a lock, a call can wait for it.
        TURNS.enter(("test", "free"), threads=THREADS).leave(is_taken=True)
    finally:
        for lock in range(3):
            del TURNS._queues[("test", lock)]


# --- SQLite ----------------------------------------------------------------------------------------------

_WRITE = """
import sqlite3, sys, time
path, seconds, rest = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
c = sqlite3.connect(path, isolation_level=None, timeout=60)
print("ready", flush=True)
until = time.monotonic() + seconds
if rest < 0:
    c.execute("BEGIN IMMEDIATE"); print("held", flush=True); time.sleep(seconds); c.execute("ROLLBACK")
while rest >= 0 and time.monotonic() < until:
    c.execute("BEGIN IMMEDIATE"); time.sleep(0.01); c.execute("COMMIT"); time.sleep(rest)
"""


_BE_NEXT = """
import fcntl, sys, time
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("next", flush=True)
time.sleep(60)
"""


class another_process:
    """A process that writes to the same SQLite file for so many seconds, with or without pauses."""

    def __init__(self, seconds: float, rest: float) -> None:
        path = str(connection.settings_dict["NAME"])
        command = [sys.executable, "-c", _WRITE, path, str(seconds), str(rest)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=settings.BASE_DIR)
        self.lines = 2 if rest < 0 else 1

    def __enter__(self) -> None:
        for _ in range(self.lines):
            assert self.process.stdout is not None
            assert self.process.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.timed
@only_sqlite
def test_a_writer_gives_up_in_time_and_a_reader_does_not_wait(as_web: None) -> None:
    Plan.objects.create(name="There")

    def write() -> None:
        with transaction.atomic():
            Plan.objects.create(name="Late")

    with another_process(30, -1):
        with takes(most=2):
            assert Plan.objects.count() == 1
        with takes(least=4.5, most=8), pytest.raises(OperationalError):
            write()
        with takes(least=4.5, most=8), pytest.raises(OperationalError):
            Plan.objects.create(name="Late, too")
    write()
    assert set(Plan.objects.values_list("name", flat=True)) == {"There", "Late"}


@only_sqlite
def test_writers_of_one_process_take_turns_in_the_order_in_which_they_came(as_web: None) -> None:
    # The limit is long, so that no writer gives up on a slow machine.
    bounds.of_process(replace(bounds.current(), write=120.0))
    order: list[int] = []
    may_end = threading.Event()

    def write(number: int) -> None:
        with transaction.atomic():
            order.append(number)
            if number == 0:
                may_end.wait(120)
        connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    line = line_at(str(connection.settings_dict["NAME"]))
    places = []
    for number, thread in enumerate(threads):
        thread.start()
        until = time.monotonic() + 60
        while not (len(line._waiting) == number and order) and time.monotonic() < until:
            time.sleep(0.005)
        places.append(line._waiting[-1] if number else None)
    # Each checks meanwhile whether the writer in front is stuck, and keeps its place.
    time.sleep(0.6)
    assert list(line._waiting) == places[1:]
    may_end.set()
    for thread in threads:
        thread.join(timeout=120)
    assert order == list(range(8))


def test_a_waiter_that_gives_up_at_its_turn_passes_it_on() -> None:
    line = Line("nowhere")
    assert line.take(time.monotonic())

    def called_and_refused() -> None:
        line.give()
        raise TurnRefused

    with pytest.raises(TurnRefused):
        line.take(time.monotonic() + 30, every=0.01, meanwhile=called_and_refused)
    assert line.take(time.monotonic())


@pytest.mark.timed
@only_sqlite
def test_no_writer_starves_while_threads_and_another_process_write(pool: ThreadPoolExecutor) -> None:
    Plan.objects.create(name="Counted")
    waits: list[float] = []

    def write() -> None:
        for _ in range(10):
            began = time.monotonic()
            with transaction.atomic():
                waits.append(time.monotonic() - began)
                time.sleep(0.005)

    def write_alone() -> None:
        for _ in range(10):
            began = time.monotonic()
            Plan.objects.update(name="Counted again")
            waits.append(time.monotonic() - began)

    with another_process(30, 0.01):
        for done in [pool.submit(work) for work in (write, write_alone) for _ in range(THREADS // 2)]:
            done.result(timeout=120)
    assert len(waits) == 160
    # Without the queue, the longest wait was 17 seconds.
    in_time(max(waits) < 5, max(waits))


@pytest.mark.timed
@only_sqlite
def test_half_of_the_threads_stay_free_while_the_turn_at_writing_does_not_move(pool: ThreadPoolExecutor) -> None:
    def write() -> None:
        with transaction.atomic():
            Plan.objects.create(name="Late")

    def outcome_of() -> str:
        try:
            write()
        except DatabaseError as error:
            return type(error).__name__
        return "done"

    with another_process(30, -1):
        calls = [pool.submit(outcome_of) for _ in range(60)]
        time.sleep(2)
        with takes(most=2):
            assert pool.submit(Plan.objects.count).result(timeout=120) == 0
        counts = Counter(done.result(timeout=120) for done in calls)
    assert counts["done"] == 0
    in_time(counts["TurnRefused"] >= 40, counts)


@pytest.mark.timed
@only_sqlite
def test_a_process_that_is_next_and_frozen_is_passed_by() -> None:
    bounds.of_process(bounds.COMMAND)
    connection.ensure_connection()
    path = str(connection.settings_dict["NAME"])
    line = line_at(path)
    with line.next_in_line(time.monotonic() + 1):
        pass
    process = subprocess.Popen([sys.executable, "-c", _BE_NEXT, f"{path}-turn"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        with takes(least=0.8, most=5), transaction.atomic():
            Plan.objects.create(name="Written")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@only_sqlite
def test_who_writes_again_and_again_rests_until_no_other_process_waits() -> None:
    """Otherwise it would have every second turn, however many others wait. It never rests for ever."""
    bounds.of_process(bounds.COMMAND)
    connection.ensure_connection()
    path = str(connection.settings_dict["NAME"])
    line = line_at(path)
    with line.next_in_line(time.monotonic() + 1):
        pass
    with takes(least=0, most=0.5):
        line.rest(time.monotonic() + 30)
    process = subprocess.Popen([sys.executable, "-c", _BE_NEXT, f"{path}-turn"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        with takes(least=0.8, most=5):
            line.rest(time.monotonic() + 0.8)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@only_sqlite
def test_a_rest_ends_when_no_thread_waits_any_more() -> None:
    path = str(connection.settings_dict["NAME"])
    line = line_at(path)
    assert line.take(time.monotonic())
    threading.Timer(0.5, line.give).start()
    with takes(least=0.4, most=5):
        line.rest(time.monotonic() + 30)
    # The turn is free again.
    assert line.take(time.monotonic())
    line.give()
