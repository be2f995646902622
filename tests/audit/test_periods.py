"""A time is found in a log by the numbers of its entries: without an index of times, and without reading the log."""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import product
from uuid import UUID

import pytest
from django.db import connection, transaction

from audit_app import periods, queries, recorder
from audit_app.models import AuditEntry, ChainHead
from tests.audit.test_checkpoints import AT, TENANT, append, meddle, uuid_sql

pytestmark = [pytest.mark.dialect, pytest.mark.django_db]

OTHER = UUID(int=9)
HOUR = dt.timedelta(hours=1)
#: How many entries were added in each hour. In the hours without one, nothing happened.
HOURS = (3, 0, 1, 5, 0, 0, 2, 1, 4)
#: The first of these were removed by retention, the others are missing in the middle.
MISSING = (0, 1, 6, 7, 12)


@pytest.fixture
def log(db: None) -> None:
    for hour, count in enumerate(HOURS):
        append(count, at=AT + hour * HOUR)
        append(1, tenant=OTHER, at=AT + hour * HOUR)


def remove(*numbers: int) -> None:
    for number in numbers:
        meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq = %s", uuid_sql(TENANT), number)


def change(column: str, value: object, seq: int) -> None:
    meddle(
        f"UPDATE audit_app_auditentry SET {column} = %s WHERE tenant_id = %s AND seq = %s", value, uuid_sql(TENANT), seq
    )


def entries() -> list[tuple[int, dt.datetime]]:
    return list(AuditEntry.objects.filter(tenant_id=TENANT).order_by("seq").values_list("seq", "at"))


def instants() -> Iterator[dt.datetime]:
    """Yield each time of an entry, and the times just before and just after it."""
    for hour in range(-1, len(HOURS) + 1):
        for shift in (-1, 0, 1):
            yield AT + hour * HOUR + dt.timedelta(microseconds=shift)


def first_by_reading(rows: Sequence[tuple[int, dt.datetime]], at: dt.datetime, first: int, end: int) -> int:
    return next((seq for seq, when in rows if first <= seq < end and when >= at), max(first, end))


@pytest.mark.parametrize("missing", [(), MISSING, range(sum(HOURS) - 1), range(sum(HOURS))])
def test_each_time_is_found_between_any_two_numbers(log: None, missing: Sequence[int]) -> None:
    remove(*missing)
    rows, size = entries(), sum(HOURS)
    for at in instants():
        assert periods.first_since(TENANT, at) == first_by_reading(rows, at, 0, size), at
    for at, first, end in product(list(instants())[::4], range(0, size + 1, 3), range(0, size + 3, 5)):
        wanted = first_by_reading(rows, at, first, min(end, size))
        assert periods.first_since(TENANT, at, first=first, end=end) == wanted, (at, first, end)


@pytest.mark.parametrize("missing", [(), MISSING, range(sum(HOURS))])
def test_the_last_older_entry_is_one_that_is_there(log: None, missing: Sequence[int]) -> None:
    remove(*missing)
    for at, first in product(instants(), (0, 4, 8)):
        wanted = max((seq for seq, when in entries() if seq >= first and when < at), default=None)
        assert periods.last_before(TENANT, at, first=first) == wanted, (at, first)


@pytest.mark.parametrize("missing", [(), MISSING])
def test_a_period_has_the_entries_of_its_times_and_no_others(log: None, missing: Sequence[int]) -> None:
    remove(*missing)
    rows = entries()
    for since, until in product([None, *instants()], repeat=2):
        wanted = [seq for seq, at in rows if (not since or at >= since) and (not until or at < until)]
        found = queries.matching(TENANT, queries.Filter(since=since, until=until))
        assert [entry.seq for entry in found] == wanted[::-1], (since, until)


def test_an_entry_that_is_added_meanwhile_does_not_belong_to_an_earlier_or_later_period(log: None) -> None:
    entries = AuditEntry.objects.filter(tenant_id=TENANT)
    later = periods.within(entries, TENANT, since=AT + 50 * HOUR, until=None)
    earlier = periods.within(entries, TENANT, since=AT + 8 * HOUR, until=AT + 20 * HOUR)
    newest = periods.within(entries, TENANT, since=AT + 8 * HOUR, until=None)
    before = [entry.seq for entry in earlier.all()]
    append(2, at=AT + 20 * HOUR)
    assert list(later) == []
    assert [entry.seq for entry in earlier.all()] == before
    assert len(newest) == len(before) + 2


@pytest.mark.parametrize("forged", [dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(9000, 1, 1, tzinfo=dt.UTC)])
def test_a_changed_column_misleads_no_search(log: None, forged: dt.datetime) -> None:
    expected = [periods.first_since(TENANT, at) for at in instants()]
    for seq, at in entries():
        change("at", forged, seq)
        assert [periods.first_since(TENANT, at) for at in instants()] == expected, seq
        change("at", at, seq)


def test_changed_bytes_mislead_a_search_at_most_to_the_entry_itself(log: None) -> None:
    """So evidence of the period has this entry, as its first or last one or beside them, and can't be verified."""
    at = AT + 3 * HOUR
    [true] = {periods.first_since(TENANT, at)}
    whole = {
        seq: bytes(body) for seq, body in AuditEntry.objects.filter(tenant_id=TENANT).values_list("seq", "canonical")
    }
    for seq, body in whole.items():
        for forged in (b"", b"\xff", body[:40], body.replace(b"2026-", b"1970-"), body.replace(b"2026-", b"9000-")):
            change("canonical", forged, seq)
            found = periods.first_since(TENANT, at)
            assert found == true or seq in (found - 1, found), (seq, forged)
        change("canonical", body, seq)
    if connection.vendor == "sqlite":  # A text in place of bytes.
        meddle("UPDATE audit_app_auditentry SET canonical = CAST(canonical AS TEXT)")
        assert periods.first_since(TENANT, at) == true


def test_the_time_is_found_in_the_bytes_although_a_text_has_the_same_letters(log: None) -> None:
    name = 'Zoé "at":"9999", {"at":"9999"}'
    first = ChainHead.objects.get(pk=TENANT).size
    entry = recorder.Witnessed(
        tenant_id=TENANT,
        event="ticket.commented",
        door="api",
        actor={
            "kind": "client",
            "id": str(OTHER),
            "name": name,
            "side": "customer",
            "email": "",
            "for": {"name": name},
        },
        subject_type="ticket",
        subject_id=name,
        detail={"at": name},
    )
    with transaction.atomic():
        recorder.record([entry], at=AT + 30 * HOUR)
    append(1, at=AT + 31 * HOUR)
    assert periods.first_since(TENANT, AT + 30 * HOUR) == first
    assert periods.first_since(TENANT, AT + 31 * HOUR) == first + 1


def test_a_log_without_entries_has_none_of_any_time(db: None) -> None:
    assert (periods.first_since(TENANT, AT), periods.last_before(TENANT, AT)) == (0, None)
    ChainHead.objects.create(tenant_id=TENANT)
    assert (periods.first_since(TENANT, AT), periods.last_before(TENANT, AT)) == (0, None)
    assert list(queries.matching(TENANT, queries.Filter(since=AT, until=AT + HOUR))) == []


def test_several_logs_are_searched_together(log: None) -> None:
    empty = UUID(int=10)
    ChainHead.objects.create(tenant_id=empty)
    found = periods.firsts_since([TENANT, OTHER, empty, UUID(int=11)], AT + 3 * HOUR)
    assert found == {TENANT: 4, OTHER: 3, empty: 0}
    assert periods.firsts_since([], AT) == {}


def test_an_entry_is_never_older_than_the_one_before_it_although_the_clock_is_set_back(log: None) -> None:
    append(2, at=AT - HOUR)
    times = [at for _seq, at in entries()]
    assert times == sorted(times)
    assert times[-1] == AT + 8 * HOUR


def test_a_search_follows_the_index_of_the_numbers_and_reads_one_entry_for_each_step(log: None) -> None:
    statement, values = periods.statement([TENANT], AT, 0, 10)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            steps = [row[3] for row in cursor.fetchall() if row[3].startswith(("SCAN", "SEARCH"))]
            assert "(tenant_id=? AND seq>? AND seq<?)" in next(step for step in steps if " entry " in step)
        else:
            # PostgreSQL reads and sorts a small table anyway.
            for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
            # Only with ANALYZE, the plan has the subquery.
            cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) {statement}", values)
            steps = [row[0] for row in cursor.fetchall()]
            at = next((place for place, step in enumerate(steps) if "audit_entry_dense" in step), 0)
            assert at, steps
            assert "Limit" in steps[at - 1]
            assert "seq >= " in steps[at + 1]
            assert "seq < " in steps[at + 1]
    assert statement.count("audit_app_auditentry") == 1
