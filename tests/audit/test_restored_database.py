"""If the database was restored from an old backup, the next start raises an alarm before any entry is added."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.backends.signals import connection_created

from audit_app import checkpoints, heads, restored_database
from audit_app.models import AuditEntry, ChainHead, LogAlarm, SignedHead
from lockbox_site import readiness, starting
from requests_app.domain import clock
from requests_app.management import _fitness
from tests.audit import care
from tests.audit.test_checkpoints import AT, TENANT, append, cut_to, meddle, uuid_sql

pytestmark = pytest.mark.django_db

OTHER = UUID(int=5)


@pytest.fixture(autouse=True)
def _not_yet_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restored_database, "made", restored_database.Comparison())


def signed(*counts: int, tenant: UUID = TENANT) -> None:
    for count in counts:
        append(count, tenant=tenant)
        checkpoints.sign(tenant, at=AT)


def alarm() -> tuple[str, int]:
    row = LogAlarm.objects.get()
    assert row.pk == TENANT
    return row.code, row.detail["signed"]


def test_logs_that_are_what_was_signed_give_no_alarm() -> None:
    signed(10, 300)
    signed(3, tenant=OTHER)
    append(4)
    assert restored_database.compare(AT) == []
    assert not LogAlarm.objects.exists()


@pytest.mark.parametrize("rest", [0, 5])
def test_a_log_that_was_set_back_is_alarmed_before_an_entry_is_added(rest: int) -> None:
    """With `rest`, the restored backup also has entries that are newer than its last checkpoint."""
    signed(10)
    append(rest)
    signed(300 - rest)
    signed(3, tenant=OTHER)
    cut_to(10 + rest, signed=10)
    entries = AuditEntry.objects.count()
    assert entries == 13 + rest
    assert restored_database.compare(AT) == [TENANT]
    assert alarm() == ("shorter", 310)
    assert AuditEntry.objects.count() == entries
    assert readiness.STATES["heads"](AT)["set_back"] == 1


def test_a_log_that_grew_again_after_a_restore_is_another_one() -> None:
    signed(10, 20)
    cut_to(10)
    append(40, what="y")
    assert restored_database.compare(AT) == [TENANT]
    assert alarm() == ("different", 30)


def test_a_head_stored_before_a_crash_lost_its_checkpoint_is_no_alarm() -> None:
    signed(10, 300)
    meddle("DELETE FROM audit_app_checkpoint WHERE size = 310")
    assert restored_database.compare(AT) == []
    SignedHead.objects.update(size=10)
    assert restored_database.compare(AT) == [], "nor where the tiles end earlier: the entries tell"
    meddle("DELETE FROM audit_app_tile")
    assert restored_database.compare(AT) == [TENANT]
    assert LogAlarm.objects.get().code == "tile"


def test_a_restore_from_before_a_tombstone_is_seen_and_not_signed() -> None:
    signed(10)
    care.tombstone(TENANT, at=AT)
    signed(5)
    tenant = uuid_sql(TENANT)
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq >= 10", tenant)
    meddle("UPDATE audit_app_chainhead SET size = 10, shard = 0, first_seq = 0 WHERE tenant_id = %s", tenant)
    meddle("UPDATE audit_app_signedhead SET size = 10, shard = 0 WHERE tenant_id = %s", tenant)
    meddle("DELETE FROM audit_app_checkpoint WHERE shard = 1")
    meddle("DELETE FROM audit_app_tile WHERE shard = 1")
    meddle("DELETE FROM audit_app_closedshard")
    assert restored_database.compare(AT) == [TENANT]
    assert alarm() == ("shorter", 6)
    with pytest.raises(checkpoints.Refusal):
        checkpoints.sign(TENANT, at=AT)
    care.tombstone(TENANT, at=AT)
    assert ChainHead.objects.get().first_seq == 16, "no number stands for two entries"


def test_a_log_that_was_cut_below_the_checkpoints_that_it_has_is_alarmed() -> None:
    signed(10, 20)
    meddle("DELETE FROM audit_app_auditentry WHERE seq >= 29")
    meddle("UPDATE audit_app_chainhead SET size = 29")
    assert restored_database.compare(AT) == [TENANT]
    assert alarm() == ("shorter", 30)


def test_a_later_shard_that_was_set_back_is_alarmed_with_its_own_length() -> None:
    signed(10)
    care.tombstone(TENANT, at=AT)
    signed(5)
    meddle("DELETE FROM audit_app_auditentry WHERE seq >= 13")
    meddle("UPDATE audit_app_chainhead SET size = 13")
    meddle("DELETE FROM audit_app_checkpoint WHERE shard = 1")
    assert restored_database.compare(AT) == [TENANT]
    assert alarm() == ("shorter", 6)
    assert LogAlarm.objects.get().detail["found"] == 3


def test_a_machine_that_never_signed_compares_nothing(settings: Any, tmp_path: Path) -> None:
    signed(10)
    settings.LOG_HEADS_FILE = tmp_path / "none"
    assert restored_database.compare(AT) == []
    assert not LogAlarm.objects.exists()
    assert not settings.LOG_HEADS_FILE.exists()


def test_a_shard_that_a_tombstone_closed_is_no_alarm() -> None:
    signed(10)
    cut_to(4)
    with pytest.raises(checkpoints.Refusal):
        checkpoints.sign(TENANT, at=AT)
    care.tombstone(TENANT, at=AT)
    assert restored_database.compare(AT) == []


def test_a_log_that_the_backup_does_not_know_is_alarmed_and_can_be_closed() -> None:
    signed(10)
    tenant = uuid_sql(TENANT)
    for table in ("auditentry", "chainhead", "signedhead", "checkpoint", "tile"):
        meddle(f"DELETE FROM audit_app_{table} WHERE tenant_id = %s", tenant)
    assert restored_database.compare(AT) == [TENANT]
    assert alarm() == ("shorter", 10)
    call_command("tombstone", str(TENANT), "--because", "Restored the backup of Monday.")
    assert not LogAlarm.objects.exists()
    assert restored_database.compare(clock.now()) == []
    assert AuditEntry.objects.get(tenant_id=TENANT).seq == 10


def test_heads_of_another_installation_say_nothing_of_this_ones_logs() -> None:
    signed(10)
    stored = heads.every()[0]
    other = checkpoints.Head(f"other.example/log/{OTHER}", stored.head.size, stored.head.root)
    heads.put(other, stored.frontier, stored.note, after=None)
    assert restored_database.compare(AT) == []


def test_a_damaged_file_is_reported_and_stops_no_start() -> None:
    signed(10)
    Path(settings.LOG_HEADS_FILE).write_bytes(b"no database" * 100)
    assert restored_database.compare_once(AT).problem
    found = readiness.STATES["heads"](AT)
    assert (found["ok"], found["set_back"]) == (False, 0)
    assert str(settings.LOG_HEADS_FILE) not in found["detail"]


def test_a_file_that_was_mended_is_compared_without_a_new_start() -> None:
    signed(10)
    file = Path(settings.LOG_HEADS_FILE)
    intact = file.read_bytes()
    file.write_bytes(b"no database" * 100)
    assert not readiness.STATES["heads"](AT)["ok"]
    file.write_bytes(intact)
    assert readiness.STATES["heads"](AT) == {"ok": True, "set_back": 0}


def test_a_database_that_was_replaced_meanwhile_is_compared_without_a_new_start() -> None:
    signed(10)
    assert readiness.STATES["heads"](AT)["ok"]
    signed(20)
    assert readiness.STATES["heads"](AT)["ok"]
    cut_to(10)
    assert readiness.STATES["heads"](AT) == {"ok": False, "set_back": 1}
    assert alarm() == ("shorter", 30)


@contextmanager
def without_database(failure: type[Exception]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restored_database, "compare", Mock(side_effect=failure("away")))
        patch.setattr(starting, "_compare_when_possible", lambda: None)
        yield


@pytest.fixture
def _forgets() -> Iterator[None]:
    yield
    connection_created.disconnect(dispatch_uid="setback")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_forgets")
@pytest.mark.parametrize("start", [_fitness.compare_heads, starting.compare_heads])
@pytest.mark.parametrize("failure", [OperationalError, InterfaceError])
def test_a_part_that_started_without_its_database_compares_before_its_first_entry(
    start: Callable[[], object], failure: type[Exception]
) -> None:
    signed(10)
    signed(5)
    with transaction.atomic():
        cut_to(10)
    with without_database(failure):
        start()
        connection.close()
        # The database fails again as somebody connects.
        connection.ensure_connection()
    connection.close()
    assert connection.connection is None
    with transaction.atomic():
        assert alarm() == ("shorter", 15)
    # The comparison does not run a second time.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restored_database, "compare_once", Mock(side_effect=AssertionError))
        connection.close()
        connection.ensure_connection()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_forgets")
def test_others_wait_for_the_first_that_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end, order = threading.Event(), threading.Event(), list[str]()

    def slow(at: dt.datetime) -> None:
        begun.set()
        assert may_end.wait(120)
        order.append("compared")

    def write() -> None:
        connection.ensure_connection()
        order.append("connected")
        connection.close()

    with without_database(OperationalError):
        _fitness.compare_heads()
    monkeypatch.setattr(restored_database, "compare", slow)
    threads = [threading.Thread(target=write) for _ in range(4)]
    threads[0].start()
    assert begun.wait(120)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)
    assert order == []
    may_end.set()
    for thread in threads:
        thread.join(timeout=120)
    assert order == ["compared", *["connected"] * 4]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_forgets")
def test_a_damaged_file_holds_back_no_connection() -> None:
    signed(10)
    with without_database(OperationalError):
        _fitness.compare_heads()
    Path(settings.LOG_HEADS_FILE).write_bytes(b"no database" * 100)
    connection.close()
    connection.ensure_connection()
    assert restored_database.made.problem
    append(1)


def test_a_process_compares_once_and_again_only_where_the_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[dt.datetime] = []
    monkeypatch.setattr(restored_database, "compare", ran.append)
    restored_database.compare_once(AT)
    restored_database.compare_once(AT)
    assert len(ran) == 1

    def away(at: dt.datetime) -> None:
        raise OperationalError

    monkeypatch.setattr(restored_database, "made", restored_database.Comparison())
    with monkeypatch.context() as patch:
        patch.setattr(restored_database, "compare", away)
        with pytest.raises(DatabaseError):
            restored_database.compare_once(AT)
    restored_database.compare_once(AT)
    assert len(ran) == 2


def test_many_logs_take_few_statements(django_assert_max_num_queries) -> None:
    for number in range(1, 40):
        signed(2, tenant=UUID(int=number))
    with django_assert_max_num_queries(5):
        assert restored_database.compare(AT) == []
