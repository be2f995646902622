"""The beat queues each due task once, and continues after any outage."""

import datetime as dt
import threading
from collections import Counter
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task

from lockbox_site import readiness
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import AccessRequest, Heartbeat, OutboxMessage
from requests_app.platform import bell
from requests_app.platform.database.compiled import Asked, CompiledQuery
from requests_app.work import beat, heartbeats, pending, schedules
from tests.conftest import Traveller

pytestmark = pytest.mark.django_db(transaction=True)

#: All scheduled tasks. IN_BETWEEN are those that are also enqueued between their scheduled minutes.
EACH = [
    *(
        "check_logs",
        "check_resources",
        "checkpoint",
        "closing_soon",
        "cosign",
        "deliver_webhooks",
        "drain_outbox",
        "forget_calls",
        "index_logs",
    ),
    *("prune_logs", "refresh_sign_ons", "remind", "run_imports", "silent_guards", "sweep", "tidy_webhooks"),
]
SELDOM = ("check_resources", "forget_calls", "index_logs", "prune_logs", "refresh_sign_ons", "tidy_webhooks")
#: A query that always finds something.
ALWAYS: Asked = (CompiledQuery(lambda: Schedule.objects.values_list("pk")), {})
IN_BETWEEN = [name for name in EACH if name not in SELDOM]


def queued() -> list[str]:
    return sorted(row.func().rpartition(".")[2] for row in OrmQ.objects.all())


def test_a_tick_enqueues_what_is_due_and_shows_itself_alive(travel: Traveller) -> None:
    travel.freeze()
    beat.tick()  # the rows are new, and due at this very instant
    assert queued() == EACH
    assert {"beat", "pulse:look"} <= set(Heartbeat.objects.values_list("name", flat=True))


def test_between_the_minutes_a_task_with_work_is_enqueued_and_never_twice(
    travel: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "PENDING", {task: lambda _at: [ALWAYS] for task in pending.PENDING})
    travel.freeze()
    beat.tick()
    OrmQ.objects.all().delete()
    Schedule.objects.update(next_run=clock.now())
    travel.by(seconds=1)
    beat.tick()
    OrmQ.objects.all().delete()
    for _ in range(35):
        travel.by(seconds=1)
        beat.tick()
    # Three rounds have passed. Each task still waits, so no task was enqueued twice.
    assert queued() == IN_BETWEEN


def test_at_rest_a_tick_reads_a_little_and_writes_nothing(travel: Traveller) -> None:
    travel.freeze()
    beat.tick()
    OrmQ.objects.all().delete()
    travel.by(seconds=1)
    with CaptureQueriesContext(connection) as ticked:
        beat.tick()
    kinds = [query["sql"].split()[0] for query in ticked.captured_queries]
    assert set(kinds) == {"SELECT"}
    assert len(kinds) <= 4, "the schedule, the turns, the webhooks, and on PostgreSQL the time"
    travel.by(seconds=20)
    beat.tick()
    assert queued() == [], "between two minutes, an idle task wakes no worker"


def at_rest(travel: Traveller) -> None:
    """Begin a minute in which every task has succeeded before, and nothing is left to do."""
    travel.freeze()
    beat.tick()
    OrmQ.objects.all().delete()
    heartbeats.touch(*EACH, at=clock.now())
    # Tasks that have a longer interval.
    Schedule.objects.filter(minutes__gt=1).update(next_run=clock.now() + dt.timedelta(minutes=15))


def test_at_a_full_minute_only_tasks_with_work_are_enqueued(travel: Traveller) -> None:
    at_rest(travel)
    found = Counter[str]()
    for _minute in range(schedules.EVERY_MINUTES):
        travel.by(minutes=1)
        beat.tick()
        found.update(queued())
        OrmQ.objects.all().delete()
        assert Heartbeat.objects.get(name="sweep").at == clock.now(), "the beat has found that nothing is left to do"
    # Each of the others once, in case that work was overlooked.
    assert found == {**dict.fromkeys(set(IN_BETWEEN) | {"check_resources"}, 1), "checkpoint": 10}


@pytest.mark.dialect
def test_a_full_minute_at_rest_writes_all_idle_tasks_at_once(travel: Traveller) -> None:
    at_rest(travel)
    Schedule.objects.filter(func=bell.CHECKPOINT).update(next_run=clock.now() + dt.timedelta(minutes=2))
    Schedule.objects.exclude(func=bell.CHECKPOINT).update(next_run=clock.now() + dt.timedelta(minutes=1))
    travel.to(clock.now().replace(second=0) + dt.timedelta(minutes=2))
    idle = pending.idle(clock.now())
    Schedule.objects.filter(func__in=idle).update(next_run=clock.now())
    with CaptureQueriesContext(connection) as ticked:
        in_turn = schedules.enqueue_due(clock.now(), idle)
    kinds = [query["sql"].split()[0] for query in ticked.captured_queries]
    together = [each.name for each in schedules.PERIODIC if each.func in idle and each.name not in in_turn]
    assert len(together) > 3, "whatever the minute is, few of them have their turn"
    assert kinds.count("UPDATE") == 1 + len(in_turn), "one for all idle tasks, and not one for each"


def test_a_task_with_work_is_enqueued_at_each_full_minute_and_its_sign_grows_old(
    travel: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_rest(travel)
    began = clock.now()
    monkeypatch.setitem(pending.PENDING, bell.SWEEP, lambda _at: [ALWAYS])
    for _minute in range(3):
        travel.by(minutes=1)
        beat.tick()
        assert "sweep" in queued()
        OrmQ.objects.all().delete()
    assert Heartbeat.objects.get(name="sweep").at == began


def fits(*names: str) -> dict[str, bool]:
    return {name: check["ok"] for name, check in readiness.states(names).items()}


def ticks(travel: Traveller, minutes: int) -> None:
    for _ in range(minutes):
        travel.by(minutes=1)
        beat.tick()


def test_readiness_notices_a_dead_cluster_though_nothing_is_to_be_swept(travel: Traveller) -> None:
    at_rest(travel)
    heartbeats.touch(heartbeats.of_cluster("here"), at=clock.now())
    assert fits("worker", "beat", "sweep") == {"worker": True, "beat": True, "sweep": True}
    ticks(travel, 10)
    # No worker has run anything.
    assert fits("worker", "beat", "sweep") == {"worker": False, "beat": True, "sweep": True}


def test_readiness_notices_a_dead_beat(travel: Traveller) -> None:
    at_rest(travel)
    travel.by(seconds=settings.SWEEP_MAX_AGE_SECONDS + 1)
    heartbeats.touch(heartbeats.of_cluster("here"), at=clock.now())
    assert fits("worker", "beat", "sweep") == {"worker": True, "beat": False, "sweep": False}


def test_readiness_notices_a_sweep_that_does_not_end(travel: Traveller) -> None:
    from tests.cast import gather

    cast = gather()
    at_rest(travel)
    AccessRequest.objects.filter(pk=cast.submitted().pk).update(decide_by=clock.now() - dt.timedelta(seconds=1))
    ticks(travel, 4)
    assert fits("beat", "sweep") == {"beat": True, "sweep": True}
    ticks(travel, 2)
    assert fits("beat", "sweep") == {"beat": True, "sweep": False}
    operations.sweeps.expire_overdue(actor=cast.system("sweep"), limit=10)
    ticks(travel, 1)
    assert fits("beat", "sweep") == {"beat": True, "sweep": True}


def test_a_second_attempt_at_a_webhook_is_enqueued_as_soon_as_it_is_due(travel: Traveller) -> None:
    from tests.cast import gather

    cast = gather()
    issued = operations.add_webhook(
        cast.contoso.pk, url="https://hooks.contoso.example/", events=["*"], actor=cast.as_("ines")
    )
    travel.freeze()
    beat.tick()
    Schedule.objects.update(next_run=clock.now() + dt.timedelta(minutes=1))
    operations.send_webhook_test(issued.webhook.pk, actor=cast.as_("ines"))
    OutboxMessage.objects.filter(lane="webhook").update(
        attempts=1, next_attempt_at=clock.now() + dt.timedelta(seconds=5)
    )
    OrmQ.objects.all().delete()
    travel.by(seconds=4)
    assert beat.tick() == 1.0, "the next tick is when the attempt is due"
    assert queued() == []
    travel.by(seconds=1)
    beat.tick()
    assert queued() == ["deliver_webhooks"]
    assert beat.tick() == beat.TICK_SECONDS, "the attempt waits for a worker, and the beat does not ask again and again"
    OutboxMessage.objects.update(next_attempt_at=clock.now() + dt.timedelta(milliseconds=5))
    assert beat.tick() == beat.SHORTEST_SECONDS, "a drain makes many such attempts, and the beat does not follow each"


def test_with_a_stuck_courier_the_beat_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last pause may have been short. It must not write thousands of lines until the watchdog ends it."""
    monkeypatch.setattr(beat.Courier, "is_stuck", True)
    ours = beat.Beat()
    ours.tick_or_back_off()
    assert ours._pause == beat.RETRY_SECONDS


def test_at_rest_the_beat_ticks_twelve_times_in_a_minute(travel: Traveller, settings: Any) -> None:
    at_rest(travel)
    travel.by(seconds=1)
    assert 60 / beat.tick() == 12
    settings.SWEEP_SECONDS = 3.0
    assert beat.tick() == 3.0, "it looks for work as often as the operator wants"
    settings.HEARTBEAT_SECONDS = 1.0
    assert beat.tick() == 0.5, "otherwise its heartbeat would be late"


def test_the_two_heartbeats_of_a_beat_are_written_at_once_and_not_at_each_tick(travel: Traveller) -> None:
    at_rest(travel)
    writes = []
    for _ in range(12):
        travel.by(seconds=5)
        with CaptureQueriesContext(connection) as ticked:
            beat.tick()
        kinds = [query["sql"] for query in ticked.captured_queries if query["sql"].startswith(("INSERT", "UPDATE"))]
        writes += [sql for sql in kinds if '"requests_app_heartbeat"' in sql and sql.startswith("INSERT")]
    # And one at the full minute, for the tasks that have nothing to do.
    assert len(writes) == 6 + 1


def test_with_nobody_working_the_queue_stays_short(travel: Traveller) -> None:
    travel.freeze()
    for _ in range(100):
        travel.by(minutes=1)
        beat.tick()
    assert beat.MOST_WAITING <= OrmQ.objects.count() <= beat.MOST_WAITING + len(schedules.PERIODIC)


def test_a_row_that_cannot_be_parsed_goes_and_the_others_run() -> None:
    Schedule.objects.create(name="foreign", func="os.system", args="((", next_run=clock.now())
    beat.tick()
    beat.tick()
    assert not Schedule.objects.filter(name="foreign").exists()
    assert queued() == EACH


@pytest.mark.parametrize(
    "columns", [{"func": "os.system"}, {"func": bell.SWEEP, "args": "1,"}, {"func": bell.SWEEP, "kwargs": "{'a': 1}"}]
)
def test_a_row_that_slips_in_behind_the_check_is_not_signed(
    columns: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "sync", lambda at, rows: [])
    monkeypatch.setattr(bell, "ring", lambda *tasks: None)
    Schedule.objects.create(name="foreign", schedule_type="I", next_run=clock.now(), **columns)
    beat.tick()
    assert queued() == []
    async_task("os.getpid")  # the check stops only the beat, not the rest of the process
    assert queued() == ["getpid"]


def test_an_outage_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    outages: list[Exception] = [OperationalError("gone"), OperationalError("gone"), ValueError("odd")]
    closed: list[int] = []

    def tick() -> float:
        if outages:
            raise outages.pop()
        return 4.0

    monkeypatch.setattr(beat, "tick", tick)
    monkeypatch.setattr(beat.connections, "close_all", lambda: closed.append(1))
    ours = beat.Beat()
    pauses = []
    for _ in range(4):
        ours.tick_or_back_off()
        pauses.append(ours._pause)
    assert pauses == [beat.RETRY_SECONDS] * 3 + [4.0]
    assert len(closed) == 3


def test_stop_ends_the_loop_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[int] = []

    def tick() -> float:
        ticks.append(1)
        return 5.0

    monkeypatch.setattr(beat, "tick", tick)
    ours = beat.Beat()
    thread = threading.Thread(target=ours.run)
    thread.start()
    ours.stop()
    thread.join(timeout=120)
    assert not thread.is_alive()


def test_rows_of_clusters_long_gone_are_forgotten(travel: Traveller) -> None:
    travel.freeze()
    Heartbeat.objects.create(name="worker:gone", at=clock.now(), pid=1)
    travel.by(days=6)
    beat.tick()
    assert Heartbeat.objects.workers().exists()
    travel.by(days=2)
    beat.tick()
    assert not Heartbeat.objects.workers().exists()


def run_at_once(count: int, call: Any) -> None:
    barrier = threading.Barrier(count)

    def one() -> None:
        barrier.wait(timeout=120)
        try:
            call()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)


@pytest.mark.parametrize("attempt", range(5))
def test_two_beats_do_not_double_the_work(attempt: int) -> None:
    schedules.sync(clock.now())
    run_at_once(2, lambda: schedules.enqueue_due(clock.now()))
    assert queued() == EACH


@pytest.mark.slow
def test_of_many_who_claim_a_turn_one_gets_it(travel: Traveller) -> None:
    got: list[bool] = []
    minute = beat.dt.timedelta(minutes=1)

    def claim() -> None:
        got.append(heartbeats.claim("turn", every=minute, at=clock.now()))

    run_at_once(4, claim)
    assert sorted(got) == [False, False, False, True]
    travel.by(minutes=2)
    run_at_once(4, claim)
    assert sorted(got[4:]) == [False, False, False, True]
    travel.by(hours=-3)
    claim()
    assert got[-1], "a clock that was set back must not stop the work for hours"


@pytest.mark.dialect
def test_the_queue_is_read_by_an_index() -> None:
    schedules.sync(clock.now())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET enable_seqscan = off")
            explain = "EXPLAIN "
        else:
            explain = "EXPLAIN QUERY PLAN "
        for table, where, index in (
            ("django_q_ormq", "key = 'lockbox' AND lock < '2030-01-01'", "lockbox_ormq_key_lock"),
            ("django_q_schedule", "next_run < '2030-01-01'", "lockbox_schedule_next_run"),
        ):
            cursor.execute(f"{explain} SELECT * FROM {table} WHERE {where}")
            assert index in str(cursor.fetchall())
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_seqscan")
