"""The workers make the search index of the logs: woken by a full segment, one at a time, and without work at rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from audit_app import checkpoints, recorder, search_index
from audit_app.models import IndexedSegment
from requests_app import tasks
from requests_app.domain import clock
from requests_app.platform import turns

pytestmark = pytest.mark.django_db(transaction=True)

LOG = UUID(int=77)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", 16)


def append(count: int, log: UUID = LOG) -> None:
    actor = {"kind": "system", "id": None, "name": "test", "side": "system", "email": ""}
    entry = recorder.Witnessed(
        tenant_id=log, event="ticket.opened", door="task", actor=actor, subject_type="ticket", subject_id="1", text="x"
    )
    with transaction.atomic():
        recorder.record([entry] * count, at=clock.now())


def queued() -> list[str]:
    return [row.func().rpartition(".")[2] for row in OrmQ.objects.all()]


def test_a_full_segment_is_indexed_when_the_signer_runs_next() -> None:
    append(15)
    tasks.checkpoint()
    assert queued() == []
    append(1)
    tasks.checkpoint()
    assert queued() == ["index_logs"]
    assert tasks.index_logs() == 1
    append(1)
    OrmQ.objects.all().delete()
    tasks.checkpoint()
    assert queued() == []


def test_a_host_that_cannot_sign_queues_the_work_too(settings: Any, tmp_path: Path) -> None:
    settings.LOG_KEY_FILE = tmp_path / "absent"
    append(16)
    tasks.checkpoint()
    assert queued() == ["index_logs"]


def test_a_segment_that_the_signer_passed_by_is_found_by_the_schedule() -> None:
    append(40)
    checkpoints.sign(LOG, at=clock.now())
    assert not search_index.has_new_work()
    assert tasks.index_logs() == 2


def test_work_that_takes_longer_continues_in_another_task(monkeypatch: pytest.MonkeyPatch) -> None:
    append(48)
    monkeypatch.setattr(tasks, "LONGEST_SECONDS", -1.0)
    assert tasks.index_logs() == 0
    assert queued() == ["index_logs"]
    monkeypatch.undo()


def test_only_one_worker_works() -> None:
    append(16)
    with turns.taken("index_logs", seconds=30):
        assert tasks.index_logs() == 0
    assert not IndexedSegment.objects.exists()
    assert tasks.index_logs() == 1


def test_at_rest_the_question_is_one_short_read() -> None:
    for _ in range(3):
        append(16, uuid4())
    search_index.work(lambda: False)
    with CaptureQueriesContext(connection) as captured:
        assert not search_index.has_new_work()
    assert len(captured) == 1
