"""The bell wakes a worker after the commit, once for all waiting messages. If it fails, nothing else fails."""

import datetime as dt
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from requests_app import tasks
from requests_app.domain import clock
from requests_app.models import AccessRequest
from requests_app.platform import bell
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def queued() -> list[str]:
    return [row.func() for row in OrmQ.objects.order_by("pk")]


def test_the_bell_rings_immediately_outside_a_transaction() -> None:
    bell.ring()
    assert queued() == [bell.DRAIN_OUTBOX]


def test_the_bell_waits_for_the_commit() -> None:
    with transaction.atomic():
        bell.ring(bell.SWEEP, bell.DRAIN_OUTBOX)
        assert queued() == []
    assert queued() == [bell.SWEEP, bell.DRAIN_OUTBOX]


def test_a_rollback_does_not_ring_the_bell() -> None:
    with transaction.atomic():
        bell.ring()
        transaction.set_rollback(True)
    assert queued() == []


def test_a_task_that_still_waits_is_enough_for_everybody() -> None:
    for _ in range(50):
        bell.ring()
    assert queued() == [bell.DRAIN_OUTBOX]
    bell.ring(bell.SWEEP)
    assert queued() == [bell.DRAIN_OUTBOX, bell.SWEEP]


@pytest.mark.dialect
def test_a_task_that_waits_is_unpacked_once_for_all_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked, loads = list[str](), SignedPackage.loads

    def noted(payload: str) -> Any:
        unpacked.append(payload)
        return loads(payload)

    monkeypatch.setattr(SignedPackage, "loads", noted)
    for _ in range(5):
        bell.ring()
    assert unpacked == [OrmQ.objects.get().payload]


@pytest.mark.dialect
def test_a_task_that_was_taken_may_have_run_already() -> None:
    bell.ring()
    OrmQ.objects.update(lock=clock.now() + dt.timedelta(minutes=2))
    bell.ring()
    assert queued() == [bell.DRAIN_OUTBOX] * 2


def test_a_task_is_shared_by_two_workers_and_not_by_more() -> None:
    bell.ring(bell.SWEEP)
    OrmQ.objects.update(lock=clock.now() + dt.timedelta(minutes=2))
    for _ in range(3):
        bell.share(bell.SWEEP)
        assert queued() == [bell.SWEEP] * 2
    bell.share(bell.DRAIN_OUTBOX)
    assert queued()[2:] == [bell.DRAIN_OUTBOX]


@pytest.mark.postgres
def test_a_sweep_with_more_than_a_batch_is_shared_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker sweeps with the first, and another one with the second. A sweep of few rows stays alone."""
    for batch, expected in ((3, []), (2, [bell.SWEEP])):
        monkeypatch.setattr(tasks, "BATCH", batch)
        OrmQ.objects.all().delete()
        rows = [cast.submitted() for _ in range(2)]
        AccessRequest.objects.filter(pk__in=[row.pk for row in rows]).update(decide_by=clock.now())
        OrmQ.objects.all().delete()
        assert tasks.sweep() == len(rows)
        assert [name for name in queued() if name == bell.SWEEP] == expected


def test_a_queue_that_fails_is_no_failure_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(task: str) -> None:
        raise OperationalError("no queue")

    monkeypatch.setattr(bell, "async_task", broken)
    bell.share(bell.SWEEP)


@pytest.mark.parametrize("error", [OSError, OperationalError])
def test_a_queue_that_fails_is_no_failure_of_the_change(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    """A database that is busy is one line of the log. Other failures are faults, and their traceback is needed."""

    def broken(task: str) -> None:
        raise error("no queue")

    monkeypatch.setattr(bell, "async_task", broken)
    with transaction.atomic():
        bell.ring()
    bell.ring()
    assert caplog.text.count("no queue") >= 2, "it is logged"
    assert ("Traceback" in caplog.text) is (error is OSError)
