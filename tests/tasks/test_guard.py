"""An attempt of a task is counted before it begins. After too many attempts, the task is parked."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django_q.exceptions import TimeoutException
from django_q.signals import post_execute_in_worker, pre_execute

from requests_app import tasks
from requests_app.domain import clock
from requests_app.models import Heartbeat, TaskAttempt
from requests_app.platform.database import bounds
from requests_app.work import guard
from requests_app.work.guard import guarded
from tests.conftest import Traveller

pytestmark = pytest.mark.django_db(transaction=True)

seen: list[Any] = []


@guarded
def look() -> int:
    """A task. It records how many attempts the database has counted, and whether a transaction is open."""
    seen.append((TaskAttempt.objects.get().attempts, connection.in_atomic_block))
    return 7


@guarded
def stumble(word: str = "", *, error: type[BaseException] = ValueError) -> None:
    seen.append(word)
    raise error("no luck")


@guarded
def moody(word: str) -> None:
    if not seen:
        raise ValueError(word)


@contextmanager
def delivered(task_id: str) -> Iterator[None]:
    """Send the signals that a worker of django-q2 sends before and after a task."""
    task = {"id": task_id}
    pre_execute.send(sender="django_q", func=None, task=task)
    try:
        yield
    finally:
        post_execute_in_worker.send(sender="django_q", func=None, task=task)


def fails_with(error: type[BaseException], call: Callable[[], Any]) -> None:
    with pytest.raises(error):
        call()


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


def test_the_attempt_is_committed_before_the_task_runs_and_forgotten_when_it_succeeds() -> None:
    with delivered("a" * 32):
        assert look() == 7
    assert seen == [(1, False)]
    assert not TaskAttempt.objects.exists()
    assert Heartbeat.objects.get(name="look").at <= clock.now()


def test_attempts_of_one_delivery_add_up_until_it_is_parked() -> None:
    for _ in range(3):
        with delivered("b" * 32):
            fails_with(ValueError, lambda: stumble("again"))
    with delivered("b" * 32):
        assert stumble("again") is None, "a parked task raises nothing, so that the queue lets go of it"
    assert seen == ["again"] * 3
    row = TaskAttempt.objects.parked().get()
    assert (row.key, row.attempts, row.last_error) == (f"task:{'b' * 32}", 3, "ValueError: no luck")
    assert row.name == "tests.tasks.test_guard.stumble('again')"
    with delivered("b" * 32):
        stumble("again")
    assert TaskAttempt.objects.get().parked_at == row.parked_at, "the alarm keeps its first instant"


def test_two_deliveries_of_the_same_work_are_no_retry_of_each_other() -> None:
    """Two workers can run the same sweep at the same time."""
    for number in range(10):
        with delivered(f"{number:032}"):
            fails_with(ValueError, lambda: stumble("same"))
    assert len(seen) == 10
    assert list(TaskAttempt.objects.values_list("attempts", flat=True)) == [1] * 10


@override_settings(TASK_ATTEMPTS=1)
def test_success_of_the_same_work_ends_its_alarm_but_no_other() -> None:
    for word in ("mine", "theirs"):
        with delivered(word.ljust(32, "0")):
            fails_with(ValueError, lambda: moody(word))  # noqa: B023 - called at once
        with delivered(word.ljust(32, "0")):
            moody(word)
    assert TaskAttempt.objects.parked().count() == 2
    seen.append("in a good mood")
    with delivered("c" * 32):
        moody("mine")
    assert [row.name for row in TaskAttempt.objects.all()] == ["tests.tasks.test_guard.moody('theirs')"]


def test_a_timeout_is_noted_although_it_is_no_exception() -> None:
    with delivered("d" * 32):
        fails_with(TimeoutException, lambda: stumble(error=TimeoutException))
    assert TaskAttempt.objects.get().last_error.startswith("TimeoutException")


def test_by_hand_the_work_itself_is_the_key() -> None:
    for _ in range(2):
        fails_with(ValueError, lambda: stumble("by hand"))
    row = TaskAttempt.objects.get()
    assert row.key.startswith("call:")
    assert row.attempts == 2


def test_an_open_transaction_is_refused() -> None:
    """A rollback would undo the count together with the work, so the task would be retried without end."""
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        look()
    assert seen == []


def test_a_task_that_vanished_from_the_queue_is_forgotten_after_a_day(travel: Traveller) -> None:
    travel.freeze()
    with delivered("e" * 32):
        fails_with(ValueError, lambda: stumble("vanished"))
    travel.by(hours=23)
    look_once("f" * 32)
    assert TaskAttempt.objects.filter(key=f"task:{'e' * 32}").exists()
    travel.by(hours=2)
    look_once("0" * 32)
    assert not TaskAttempt.objects.exists()


def look_once(task_id: str) -> None:
    with delivered(task_id):
        guarded(lambda: None)()


@pytest.mark.parametrize("name", ["sweep", "drain_outbox", "closing_soon", "remind", "heartbeat"])
def test_every_task_is_guarded_and_runs_on_an_empty_site(name: str) -> None:
    task = getattr(tasks, name)
    assert task.is_guarded
    assert not task()
    assert Heartbeat.objects.filter(name=name, at__gt=clock.now() - dt.timedelta(seconds=5)).exists()
    assert not TaskAttempt.objects.exists()


@pytest.mark.dialect
def test_a_heartbeat_counts_no_attempts_and_takes_one_statement() -> None:
    with CaptureQueriesContext(connection) as captured:
        tasks.heartbeat()
    asked = [query["sql"].split()[0] for query in captured.captured_queries]
    assert [word for word in asked if word in ("SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN")] == ["INSERT"]


def test_a_long_work_hands_over_to_a_new_task(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []
    monkeypatch.setattr(tasks.bell, "ring", rung.append)
    monkeypatch.setattr(tasks, "LONGEST_SECONDS", -1.0)
    assert tasks._until_done("some.task", lambda: 5) == 5
    assert rung == ["some.task"]
    monkeypatch.setattr(tasks, "LONGEST_SECONDS", 60.0)
    rest = [5, 3, 0, 9]
    assert tasks._until_done("some.task", lambda: rest.pop(0)) == 8
    assert (rung, rest) == (["some.task"], [9])


def test_a_task_waits_for_the_database_as_a_worker_and_a_command_as_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float | None] = []

    @guarded
    def task() -> None:
        found.append(bounds.current().act)

    task()
    monkeypatch.setitem(guard._delivered, "id", "7")
    task()
    assert found == [bounds.COMMAND.act, settings.WORKER_WAIT_SECONDS]
