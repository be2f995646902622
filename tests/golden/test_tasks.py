"""Tasks that an earlier version has queued or scheduled still run.

The rows of these tasks contain names of functions, so the names must not change.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils.module_loading import import_string
from django_q.conf import Conf
from django_q.models import Failure, OrmQ, Schedule
from django_q.signing import SignedPackage
from django_q.tasks import _sync

from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.work import schedules
from tests.golden.recorded import DATA, IS_REMADE, lines_of

KEY = "the golden key of queued tasks"


@pytest.fixture(autouse=True)
def _the_key_of_before(monkeypatch: Any) -> None:
    monkeypatch.setattr(Conf, "SECRET_KEY", KEY)


def _named() -> list[str]:
    return [line.split()[1] for line in lines_of("names.txt") if line.startswith("task ")]


def _remade() -> None:
    """Write the file of queued tasks again, with each task as django-q2 stores it."""
    at = dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC)
    payloads = []
    for number, name in enumerate(_named()):
        task = {"id": f"{number:032x}", "name": f"golden-{number}", "func": name, "args": (), "kwargs": {}}
        payloads.append(SignedPackage.dumps({**task, "started": at, "sync": True}))
    (DATA / "queue.txt").write_text("".join(f"{each}\n" for each in payloads), encoding="utf-8")


@pytest.mark.django_db(transaction=True)
def test_each_queued_task_of_before_still_runs(settings: Any) -> None:
    if IS_REMADE:
        _remade()
    for payload in lines_of("queue.txt"):
        OrmQ.objects.create(key=Conf.CLUSTER_NAME, payload=payload, lock=clock.now())
    rows = list(OrmQ.objects.order_by("pk"))
    assert [row.func() for row in rows] == _named()
    for row in rows:
        assert getattr(import_string(row.func()), "is_guarded", False), row.func()
        _sync(row.payload)
    assert list(Failure.objects.values_list("func", "result")) == []
    ended = set(Heartbeat.objects.values_list("name", flat=True))
    assert {row.func().rpartition(".")[2] for row in rows} - ended == set()


@pytest.mark.django_db(transaction=True)
def test_each_schedule_of_before_still_puts_its_task_into_the_queue() -> None:
    """The row that the earlier version wrote is correct, so it does not change.

    Its task is queued under the same name.
    """
    at = clock.now()
    rows = [line.split()[1:] for line in lines_of("names.txt") if line.startswith("schedule ")]
    for name, func, minutes, _in_turn in rows:
        Schedule.objects.create(name=name, func=func, minutes=int(minutes), schedule_type="I", repeats=-1, next_run=at)
    assert schedules.sync(at) == []
    schedules.enqueue_due(at)
    assert sorted(row.func() for row in OrmQ.objects.all()) == sorted(func for _name, func, *_ in rows)
