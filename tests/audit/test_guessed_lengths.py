"""On PostgreSQL, an entry that is appended alone needs one statement if the process knows the length of its log.

If the length is wrong, the entry is appended as if the process knew nothing.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from audit_app import recorder
from audit_app.models import AuditEntry, ChainHead
from audit_app.verify import verify
from requests_app.models.row_security import only_tenants
from tests.audit.test_log import AT, an_entry
from tests.cast import Cast

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]
real_transactions = pytest.mark.django_db(transaction=True)
LATER = AT + dt.timedelta(seconds=1)
THREADS, EACH = 8, 15


def append(tenant: UUID, at: dt.datetime = AT, **fields: Any) -> AuditEntry:
    with transaction.atomic():
        [row] = recorder.record([an_entry(tenant, **fields)], at=at)
    return row


def guess(tenant: UUID, size: int) -> None:
    recorder._LENGTHS[tenant] = size, True


def statements(call: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        call()
    texts = [each["sql"].split() for each in captured.captured_queries]
    return [words[0] for words in texts if words[0] in ("SELECT", "WITH", "INSERT", "UPDATE")]


def require_whole(tenant: UUID, size: int) -> None:
    assert [*AuditEntry.objects.filter(tenant_id=tenant).values_list("seq", flat=True)] == [*range(size)]
    assert ChainHead.objects.get(pk=tenant).size == size
    assert verify(tenant).is_good


def test_an_entry_after_two_others_of_this_process_is_one_statement() -> None:
    tenant = uuid4()
    append(tenant)
    assert statements(lambda: append(tenant, LATER)) == ["WITH"]
    row = append(tenant, LATER, text="x")
    stored = AuditEntry.objects.get(tenant_id=tenant, seq=2)
    assert {**vars(stored), "id": None, "_state": None} == {**vars(row), "_state": None}
    head = ChainHead.objects.get(pk=tenant)
    assert (head.last_at, head.unsigned_since) == (LATER, AT)
    require_whole(tenant, 3)


def test_the_next_entry_after_one_of_another_process_is_not_guessed() -> None:
    """Two processes that append in turns would guess wrong each time."""
    tenant = uuid4()
    append(tenant)
    append(tenant)
    mine = recorder._LENGTHS.pop(tenant)
    append(tenant)
    recorder._LENGTHS[tenant] = mine
    assert statements(lambda: append(tenant)) == ["WITH", "SELECT", "WITH"]
    assert statements(lambda: append(tenant)) == ["SELECT", "WITH"]
    assert statements(lambda: append(tenant)) == ["WITH"]
    require_whole(tenant, 6)


@pytest.mark.parametrize("size", [0, 1, 3, 99])
def test_a_wrong_length_changes_nothing_and_the_entry_is_appended_once(size: int) -> None:
    tenant = uuid4()
    append(tenant)
    append(tenant)
    guess(tenant, size)
    assert append(tenant).seq == 2
    require_whole(tenant, 3)


def test_a_length_of_a_transaction_that_was_rolled_back_is_harmless() -> None:
    tenant = uuid4()
    append(tenant)
    append(tenant)
    with transaction.atomic():
        recorder.record([an_entry(tenant)], at=AT)
        transaction.set_rollback(True)
    assert append(tenant).seq == 2
    require_whole(tenant, 3)


def test_a_log_that_has_no_head_is_appended_to_from_the_beginning() -> None:
    tenant = uuid4()
    guess(tenant, 5)
    assert append(tenant).seq == 0
    require_whole(tenant, 1)


def test_an_entry_is_not_older_than_the_one_before_it_if_the_clock_was_set_back() -> None:
    tenant = uuid4()
    append(tenant, LATER)
    guess(tenant, 1)
    assert append(tenant, AT).at == LATER
    require_whole(tenant, 2)


def test_the_first_entry_after_a_checkpoint_sets_since_when_entries_wait() -> None:
    tenant = uuid4()
    append(tenant)
    ChainHead.objects.filter(pk=tenant).update(unsigned_since=None)
    guess(tenant, 1)
    append(tenant, LATER)
    assert ChainHead.objects.get(pk=tenant).unsigned_since == LATER


def test_a_process_remembers_the_lengths_of_a_few_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_KNOWN", 3)
    for _ in range(10):
        append(uuid4())
        assert len(recorder._LENGTHS) <= 3


def test_a_right_length_of_a_hidden_log_writes_nothing(cast: Cast) -> None:
    tenant = cast.fabrikam.pk
    append(tenant)
    size = ChainHead.objects.get(pk=tenant).size
    guess(tenant, size)
    with only_tenants([cast.contoso.pk]), pytest.raises(DatabaseError), transaction.atomic():
        recorder.record([an_entry(tenant)], at=AT)
    assert ChainHead.objects.get(pk=tenant).size == size
    assert not AuditEntry.objects.filter(tenant_id=tenant, seq__gte=size).exists()


def test_the_one_statement_waits_in_the_same_queue_as_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise all threads could wait for one busy log."""
    tenant, queues = uuid4(), list[tuple[Hashable, ...]]()
    append(tenant)

    @contextmanager
    def noted(_self: Any, *lock: Hashable, is_holding: bool = False) -> Iterator[None]:
        queues.append(lock)
        yield

    monkeypatch.setattr("requests_app.platform.database.postgresql.base.DatabaseWrapper.awaiting", noted)
    guess(tenant, 1)
    append(tenant)
    assert queues == [(ChainHead._meta.db_table, tenant)]


# --- Several writers -------------------------------------------------------------------------------------


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as threads:
        yield threads
        barrier = threading.Barrier(THREADS)

        def close() -> None:
            barrier.wait(60)
            connection.close()

        for each in [threads.submit(close) for _ in range(THREADS)]:
            each.result(60)


def waits_for_a_lock() -> None:
    until = monotonic() + 60
    while monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        sleep(0.01)
    pytest.fail("Nobody waits for a lock.")


@real_transactions
@pytest.mark.parametrize("is_committed", [True, False])
def test_an_entry_waits_for_another_writer_and_comes_after_its_entry(
    transactional_db: None, pool: ThreadPoolExecutor, is_committed: bool
) -> None:
    """The length is right when the statement begins. When the wait ends, the other writer may have changed it."""
    tenant = uuid4()
    append(tenant)
    with transaction.atomic():
        recorder.record([an_entry(tenant, subject_id="first")], at=AT)
        guess(tenant, 1)
        second: Future[AuditEntry] = pool.submit(append, tenant, subject_id="second")
        waits_for_a_lock()
        transaction.set_rollback(not is_committed)
    expected = ["first", "second"] if is_committed else ["second"]
    assert second.result(60).seq == len(expected)
    found = AuditEntry.objects.filter(tenant_id=tenant, seq__gte=1).order_by("seq")
    assert [*found.values_list("subject_id", flat=True)] == expected
    require_whole(tenant, 1 + len(expected))


@real_transactions
def test_many_writers_that_always_guess_leave_no_gap_and_no_fork(
    transactional_db: None, pool: ThreadPoolExecutor
) -> None:
    tenant = uuid4()
    append(tenant)

    def write(number: int) -> None:
        for count in range(EACH):
            known = ChainHead.objects.get(pk=tenant).size
            guess(tenant, known)
            with transaction.atomic():
                recorder.record([an_entry(tenant, subject_id=f"{number} {count}")], at=AT)
                transaction.set_rollback(count % 5 == 4)

    for each in [pool.submit(write, number) for number in range(THREADS)]:
        each.result(300)
    left = {f"{number} {count}" for number in range(THREADS) for count in range(EACH) if count % 5 != 4}
    found = [*AuditEntry.objects.filter(tenant_id=tenant, seq__gte=1).values_list("subject_id", flat=True)]
    assert sorted(found) == sorted(left)
    require_whole(tenant, 1 + len(left))
