"""A sweep ends hundreds of access requests together, each exactly as a single act would end it."""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
import structlog
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from psycopg.errors import LockNotAvailable

from audit_app import beside, recorder
from audit_app.models import AuditEntry, ChainHead
from audit_app.verify import verify
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.states import State
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, Decision, Grant, OutboxMessage
from requests_app.operations import _batches, _change, sweeps
from requests_app.operations._change import Move
from requests_app.platform.database.sqlite import base
from tests import practice
from tests.cast import Cast, events_of, outbox_topics
from tests.conftest import Traveller
from tests.database.test_bounds import held

pytestmark = pytest.mark.django_db

SWEEPS: dict[str, Callable[..., int]] = {"close": sweeps.close_elapsed, "expire": sweeps.expire_overdue}
#: The tables that the end of an access request changes.
_CHANGED = (AccessRequest, Grant, AuditEntry, ChainHead, OutboxMessage)


def _ripe(cast: Cast, travel: Traveller, act: str, count: int = 2) -> list[AccessRequest]:
    """Return access requests of two tenants whose time is over, with the one that has waited longest first."""
    rows = []
    for tenant, customer in (("contoso", "mia"), ("fabrikam", "fred")):
        ticket = cast.ticket(tenant, customer)
        for _ in range(count):
            travel.by(seconds=1)
            if act == "close":
                rows.append(cast.opened(tenant, ticket=ticket, window_for=3600).access_request)
            else:
                rows.append(cast.submitted(tenant, ticket=ticket))
    travel.by(hours=40)
    return rows


def _stored() -> dict[str, list[dict[str, Any]]]:
    """Return all columns of all rows that an end can change, except the random ids of new rows."""
    found = {}
    for model in _CHANGED:
        random = {"id"} if model in (AuditEntry, OutboxMessage) else set()
        names = [field.attname for field in model._meta.concrete_fields if field.attname not in random]
        rows = [{name: _plain(row[name]) for name in names} for row in model._default_manager.values(*names)]
        found[model.__name__] = sorted(rows, key=str)
    return found


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value


def _undone(run: Callable[[], object]) -> dict[str, list[dict[str, Any]]]:
    """Run this, roll it back, and return what was stored meanwhile."""
    here = transaction.savepoint()
    run()
    stored = _stored()
    transaction.savepoint_rollback(here)
    return stored


@pytest.mark.dialect
@pytest.mark.parametrize("arrays_from", [1, beside.ARRAYS_FROM])
@pytest.mark.parametrize("stage", ["provider", "customer", "practice", "window", "practice window"])
def test_a_batch_stores_what_the_single_acts_store(
    cast: Cast, travel: Traveller, monkeypatch: pytest.MonkeyPatch, stage: str, arrays_from: int
) -> None:
    """Every column of every row is compared: states, entries with their hashes, heads of the logs, messages.

    PostgreSQL gets many rows in another form than a few.
    """
    monkeypatch.setattr(beside, "ARRAYS_FROM", arrays_from)
    travel.freeze()
    if stage == "customer":
        rows = [cast.confirmed(), cast.confirmed("fabrikam")]
    elif stage == "practice":
        rows = [practice.submitted(cast)]
    elif stage == "practice window":
        rows = [practice.opened(cast).access_request]
    else:
        rows = _ripe(cast, travel, "close" if stage == "window" else "expire")
    travel.by(hours=40)
    act, system = "close" if "window" in stage else "expire", cast.system("sweep")
    before = _stored()
    one_by_one = _undone(lambda: [getattr(operations, act)(row.pk, actor=system) for row in rows])
    together = _undone(lambda: SWEEPS[act](actor=system, limit=10))
    assert together == one_by_one
    assert len(together["AuditEntry"]) == len(before["AuditEntry"]) + len(rows)
    assert len(together["OutboxMessage"]) == len(before["OutboxMessage"]) + len(rows)


@pytest.mark.dialect
@pytest.mark.parametrize("act", SWEEPS)
def test_a_batch_stores_it_alike_if_the_clock_was_set_back_for_one_log(cast: Cast, travel: Traveller, act: str) -> None:
    travel.freeze()
    rows, system = _ripe(cast, travel, act), cast.system("sweep")
    ChainHead.objects.filter(pk=cast.fabrikam.pk).update(last_at=clock.now().replace(year=2031))
    one_by_one = _undone(lambda: [getattr(operations, act)(row.pk, actor=system) for row in rows])
    assert _undone(lambda: SWEEPS[act](actor=system, limit=10)) == one_by_one
    years = {
        row["state_changed_at"].year for row in one_by_one["AccessRequest"] if row["tenant_id"] == cast.fabrikam.pk
    }
    assert years == {2031}


def test_rows_that_are_made_after_each_other_are_beside_each_other_in_the_indexes_of_their_ids(
    cast: Cast, travel: Traveller
) -> None:
    """A batch then changes few pages of these indexes: PostgreSQL adds an entry to each index of a row that changes."""
    travel.freeze()
    grants = []
    for _ in range(4):
        travel.by(seconds=1)
        grants.append(cast.opened("contoso", window_for=3600))
    assert [row.pk for row in grants] == sorted(row.pk for row in grants)
    requests = [row.access_request_id for row in grants]
    assert requests == sorted(requests)
    decisions = list(Decision.objects.filter(stage="customer").order_by("at").values_list("pk", flat=True))
    assert decisions == sorted(decisions)
    assert len(decisions) == 4


def test_a_message_that_was_posted_before_stops_no_batch(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    rows = _ripe(cast, travel, "expire")
    sent = OutboxMessage.objects.filter(about=rows[0].pk).order_by("created_at")[0]
    OutboxMessage.objects.filter(pk=sent.pk).update(key=f"{Topic.ACCESS_REQUEST_ENDED}:{rows[0].pk}")
    before = OutboxMessage.objects.count()
    assert sweeps.expire_overdue(actor=cast.system("sweep"), limit=10) == len(rows)
    assert OutboxMessage.objects.count() == before + len(rows) - 1
    assert {events_of(row)[-1] for row in rows} == {"access_request.expired"}


# --- What a sweep plans ------------------------------------------------------------------------------------------


def test_a_plan_has_all_rows_of_a_tenant_beside_each_other_and_cuts_no_tenant_that_fits() -> None:
    one, two, three = UUID(int=1), UUID(int=2), UUID(int=3)
    plan = sweeps.Plan()
    # The one that has waited longest comes first.
    found = [(two, UUID(int=10)), (one, UUID(int=11)), (two, UUID(int=12)), (one, UUID(int=13)), (three, UUID(int=14))]
    plan.fill(found)
    assert plan.take(3, but=()) == [found[0], found[2]]
    assert plan.take(3, but={UUID(int=13)}) == [found[1], found[4]]
    assert plan.take(3, but=()) == []
    plan.fill(found)
    assert [len(plan.take(1, but=())) for _ in range(6)] == [1, 1, 1, 1, 1, 0]


@pytest.mark.dialect
def test_batches_of_a_plan_take_the_logs_one_after_the_other_and_look_once(cast: Cast, travel: Traveller) -> None:
    """With rows of all tenants in each batch, each one would lock and change the heads of all logs."""
    travel.freeze()
    rows, system, plan = _ripe(cast, travel, "expire", 3), cast.system("sweep"), sweeps.Plan()
    # Each tenant has waited as long as the other one, in turns.
    for number, row in enumerate([rows[0], rows[3], rows[1], rows[4], rows[2], rows[5]]):
        AccessRequest.objects.filter(pk=row.pk).update(decide_by=row.decide_by.replace(year=2025, second=number))
    ended: list[set[UUID]] = []
    for _ in range(2):
        before = _ended("expire")
        sent = _statements(lambda: sweeps.expire_overdue(actor=system, limit=4, plan=plan))
        ended.append(_ended("expire") - before)
    assert ended == [{row.pk for row in rows[:3]}, {row.pk for row in rows[3:]}]
    assert not [sql for sql in sent if "decide_by" in sql and "ORDER BY" in sql], "the plan is there already"
    assert sweeps.expire_overdue(actor=system, limit=4, plan=plan) == 0


@pytest.mark.dialect
@pytest.mark.parametrize("act", SWEEPS)
def test_what_another_sweep_has_ended_meanwhile_is_left_out(cast: Cast, travel: Traveller, act: str) -> None:
    travel.freeze()
    rows, system, plan = _ripe(cast, travel, act), cast.system("sweep"), sweeps.Plan()
    assert SWEEPS[act](actor=system, limit=1, plan=plan) == 1
    assert SWEEPS[act](actor=system, limit=10) == 3
    later = _later(cast, travel, act)
    assert SWEEPS[act](actor=system, limit=10, plan=plan) == 1, "the plan is made again"
    ending = "grant.closed" if act == "close" else "access_request.expired"
    assert [events_of(row).count(ending) for row in (*rows, later)] == [1] * 5


def _later(cast: Cast, travel: Traveller, act: str) -> AccessRequest:
    """Return one more access request whose time is over."""
    ticket = cast.ticket()
    found = (
        cast.opened(ticket=ticket, window_for=3600).access_request if act == "close" else cast.submitted(ticket=ticket)
    )
    travel.by(hours=40)
    return found


# --- How many statements a batch takes ---------------------------------------------------------------------------


def _statements(run: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        run()
    sent = [query["sql"].strip() for query in captured.captured_queries]
    return [sql for sql in sent if sql.split()[0] not in ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")]


#: A search for the first one, the logs, the access requests with their windows, and one statement that writes
#: everything: the new states, the ends of the windows, the entries, the heads of their logs, and the messages. On
#: SQLite, one statement writes one table.
_OF_BATCH = {("postgresql", "expire"): 4, ("postgresql", "close"): 4, ("sqlite", "expire"): 7, ("sqlite", "close"): 8}


@pytest.mark.dialect
@pytest.mark.parametrize("act", SWEEPS)
def test_a_batch_of_any_size_takes_the_same_statements(cast: Cast, travel: Traveller, act: str) -> None:
    """It runs in the database role of the documents, which row-level security limits."""
    travel.freeze()
    system, found = cast.system("sweep"), []
    for count in (1, 4):
        rows = _ripe(cast, travel, act, count)
        found.append(_statements(lambda: SWEEPS[act](actor=system, limit=100)))
        assert {events_of(row)[-1] for row in rows} == {"grant.closed" if act == "close" else "access_request.expired"}
    few, many = map(len, found)
    assert (few, many) == (many, _OF_BATCH[connection.vendor, act]), [sql[:150] for sql in found[-1]]
    read = [sql for sql in found[-1] if sql.startswith("SELECT")]
    # Long texts of the access request, and a column of the window that its end does not need.
    assert [sql for sql in read if "justification" in sql or "level" in sql] == []


@pytest.mark.postgres
def test_these_statements_are_those_of_a_role_that_row_level_security_limits() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND NOT (relrowsecurity AND relforcerowsecurity)",
            [[model._meta.db_table for model in _CHANGED]],
        )
        assert cursor.fetchall() == []


@pytest.mark.dialect
@pytest.mark.parametrize("act", SWEEPS)
def test_a_sweep_that_finds_nothing_takes_one_read_and_no_transaction(cast: Cast, act: str) -> None:
    cast.opened(window_for=3600)
    cast.submitted()
    with CaptureQueriesContext(connection) as captured:
        assert SWEEPS[act](actor=cast.system("sweep"), limit=500) == 0
    assert [query["sql"].split()[0] for query in captured.captured_queries] == ["SELECT"]


#: The indexes by which each statement finds its rows.
_BY_INDEX = {
    "close": [["grant_unclosed"], ["requests_app_accessrequest_", "requests_app_grant_"]],
    "expire": [["access_request_overdue"], ["requests_app_accessrequest_"]],
}


@pytest.mark.dialect
@pytest.mark.parametrize("act", SWEEPS)
def test_a_sweep_finds_its_rows_by_an_index(cast: Cast, travel: Traveller, act: str) -> None:
    travel.freeze()
    rows = _ripe(cast, travel, act)
    _crowd(rows[0])
    reads: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        if sql.startswith(('SELECT "requests_app_', "SELECT k.place")):
            reads.append((sql, values))
        return execute(sql, values, many, context)

    with connection.execute_wrapper(note):
        assert SWEEPS[act](actor=cast.system("sweep"), limit=500) == len(rows)
    plans = [_plan(*read) for read in reads]
    assert len(plans) == len(_BY_INDEX[act])
    # With this condition, PostgreSQL reads all access requests that are open, if there are many.
    assert all(State.OPEN not in (values or ()) for _sql, values in reads)
    for names, plan in zip(_BY_INDEX[act], plans, strict=True):
        assert all(name in plan for name in names), plan
    # Nothing is sorted: with ten thousand open windows, each batch would read them all.
    lines = [line.strip() for plan in plans for line in plan.splitlines()]
    assert not [
        line
        for line in lines
        if "Seq Scan" in line
        or (line.startswith("SCAN") and "json_each" not in line)
        or re.search("sort|b-tree", line, re.I)
    ]


def _crowd(row: AccessRequest, count: int = 3_000) -> None:
    """Add windows that ended long ago, and a few that are open. The databases then plan as for a real table."""
    is_postgres = connection.vendor == "postgresql"
    new_id = "gen_random_uuid()" if is_postgres else "lower(hex(randomblob(16)))"
    numbers = f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count})"
    state = "CASE WHEN n / 150 = 1 THEN 'OPEN' ELSE 'CLOSED' END"
    new = {"id": new_id, "reference": "'X' || n", "state": state}
    names = [str(field.column) for field in AccessRequest._meta.concrete_fields]
    columns = ", ".join(new.get(name, f"old.{name}") for name in names)
    later = clock.now() + dt.timedelta(hours=1)
    grants = "id, tenant_id, access_request_id, engineer_id, level, opens_at, closes_at, closed_at, close_reason"
    instant = "%s::timestamptz" if is_postgres else "%s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"{numbers} INSERT INTO requests_app_accessrequest ({', '.join(names)})"
            f" SELECT {columns} FROM requests_app_accessrequest AS old, s WHERE old.reference = %s".replace(
                "% 2", "%% 2"
            ),
            [row.reference],
        )
        cursor.execute(
            f"INSERT INTO requests_app_grant ({grants}) SELECT {new_id}, tenant_id, id, requested_by_id, level,"
            f" submitted_at, {instant}, CASE WHEN state = 'CLOSED' THEN {instant} END,"
            " CASE WHEN state = 'CLOSED' THEN 'elapsed' ELSE '' END"
            " FROM requests_app_accessrequest WHERE reference LIKE 'X%%'",
            [later, later],
        )
        cursor.execute("ANALYZE")


def _plan(sql: str, values: Any) -> str:
    with connection.cursor() as cursor:
        # With the parameters and not with the values in the text: SQLite plans these differently.
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{explain} {sql}", values)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


# --- Rows that fail, logs that are busy, and crashes -------------------------------------------------------------


def _break(monkeypatch: pytest.MonkeyPatch, fails: Callable[[Any], None]) -> None:
    plain = _change.begin

    def begin(actor: Any, row: AccessRequest, *rest: Any) -> Move:
        fails(row)
        return plain(actor, row, *rest)

    monkeypatch.setattr(_batches, "begin", begin)


def test_all_batches_of_a_sweep_have_room_for_their_pages(
    cast: Cast, travel: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a batch has read stays in memory for the next one, and no commit copies pages while others wait."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL has memory of its own")
    travel.freeze()
    rows = _ripe(cast, travel, "expire")
    usual, seen = _room(), list[list[int]]()
    monkeypatch.setattr(tasks, "BATCH", 2)
    _break(monkeypatch, lambda _row: seen.append(_room()))
    given = list[tuple[int, ...]]()
    plain = base.DatabaseWrapper._give_room

    def give(wrapper: base.DatabaseWrapper, *values: int) -> None:
        given.append(values)
        plain(wrapper, *values)

    monkeypatch.setattr(base.DatabaseWrapper, "_give_room", give)
    assert tasks.sweep() == len(rows) == len(seen)
    assert seen == [[-base._ROOM, 0]] * len(rows)
    assert given == [(-base._ROOM, 0), tuple(usual)], "once for all batches"
    assert _room() == usual


def _room() -> list[int]:
    with connection.cursor() as cursor:
        return [int(cursor.execute(f"PRAGMA {name}").fetchone()[0]) for name in base._OF_ROOM]


def test_one_row_that_fails_costs_a_few_transactions_and_not_one_for_each_row(
    cast: Cast, travel: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    travel.freeze()
    rows = _ripe(cast, travel, "expire", 8)
    broken, transactions, passed_over = rows[5].pk, list[object](), set[Any]()
    plain = _change.act

    def fails(row: AccessRequest) -> None:
        if row.pk == broken:
            raise ZeroDivisionError

    _break(monkeypatch, fails)

    def act(*args: Any, **kwargs: Any) -> Any:
        transactions.append(1)
        return plain(*args, **kwargs)

    monkeypatch.setattr(_batches, "act", act)
    assert sweeps.expire_overdue(actor=cast.system(), limit=100, passed_over=passed_over) == len(rows) - 1
    assert passed_over == {broken}
    # The whole batch, and then two halves four times.
    assert len(transactions) == 1 + 2 * 4
    assert AccessRequest.objects.get(pk=broken).state == State.PENDING_PROVIDER
    assert "access_request.expired" not in events_of(rows[5])


@pytest.mark.parametrize("act", SWEEPS)
def test_those_who_wait_for_entries_hear_of_a_batch(
    cast: Cast, travel: Traveller, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    travel.freeze()
    _ripe(cast, travel, act)
    called: list[bool] = []
    monkeypatch.setattr(recorder, "_listeners", [lambda: called.append(connection.in_atomic_block)])
    assert SWEEPS[act](actor=cast.system(), limit=100) == 4
    assert called == [True]
    assert SWEEPS[act](actor=cast.system(), limit=100) == 0
    assert called == [True]


class _Killed(BaseException):
    """The process ends here."""


def test_a_crash_between_two_batches_leaves_whole_ends_and_the_next_sweep_goes_on(
    cast: Cast, travel: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    travel.freeze()
    rows, seen = _ripe(cast, travel, "expire"), list[object]()

    def killed(row: AccessRequest) -> None:
        seen.append(row.pk)
        if len(seen) == 4:
            raise _Killed

    monkeypatch.setattr(tasks, "BATCH", 2)
    with monkeypatch.context() as patch:
        _break(patch, killed)
        with pytest.raises(_Killed):
            tasks.sweep()
    ended = [row for row in rows if AccessRequest.objects.get(pk=row.pk).state == State.EXPIRED]
    assert ended == rows[:2]
    for row in rows:
        is_ended = row in ended
        assert ("access_request.expired" in events_of(row)) == is_ended
        assert (Topic.ACCESS_REQUEST_ENDED in outbox_topics(row)) == is_ended
    assert tasks.sweep() == 2
    for row in rows:
        assert events_of(row).count("access_request.expired") == 1
        assert outbox_topics(row).count(Topic.ACCESS_REQUEST_ENDED) == 1
    assert verify(cast.contoso.pk).is_good
    assert verify(cast.fabrikam.pk).is_good


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", SWEEPS)
def test_a_busy_log_costs_others_no_wait_and_its_rows_come_next(cast: Cast, travel: Traveller, act: str) -> None:
    travel.freeze()
    rows, system = _ripe(cast, travel, act), cast.system("sweep")
    of_contoso, of_fabrikam = rows[:2], rows[2:]
    with held(cast.contoso.pk):
        sent = _statements(lambda: SWEEPS[act](actor=system, limit=10))
        assert {row.pk for row in of_fabrikam} == _ended(act)
    assert not [sql for sql in sent if "FOR UPDATE" in sql and "SKIP LOCKED" not in sql]
    assert SWEEPS[act](actor=system, limit=10) == len(of_contoso)
    assert {row.pk for row in rows} == _ended(act)
    assert OutboxMessage.objects.filter(topic__in=[Topic.ACCESS_REQUEST_ENDED, Topic.WINDOW_CLOSED]).count() == len(
        rows
    )


@pytest.mark.parametrize("act", SWEEPS)
def test_of_a_busy_log_those_are_waited_for_that_have_waited_longest(
    cast: Cast, travel: Traveller, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """A plan can have more rows of one tenant than a batch."""
    travel.freeze()
    rows, system, plan = _ripe(cast, travel, act, 3), cast.system("sweep"), sweeps.Plan()
    assert SWEEPS[act](actor=system, limit=10, passed_over={row.pk for row in rows[:3]}) == 3
    claim, busy = recorder.claim, iter([True])
    # Somebody has the log when the first batch of the plan asks for it. The second one does not ask.
    monkeypatch.setattr(recorder, "claim", lambda tenants: ({}, None) if next(busy, False) else claim(tenants))
    assert SWEEPS[act](actor=system, limit=2, plan=plan) == 2
    assert _ended(act) == {row.pk for row in (*rows[:2], *rows[3:])}
    assert SWEEPS[act](actor=system, limit=2, plan=plan) == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", SWEEPS)
def test_a_busy_log_with_more_rows_than_a_plan_keeps_no_other_tenant_waiting(
    cast: Cast, travel: Traveller, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """All rows of Contoso have waited longer than those of Fabrikam, and fill several plans."""
    travel.freeze()
    monkeypatch.setattr(_batches, "PLANNED", 2)
    monkeypatch.setattr(tasks, "BATCH", 1)
    rows = _ripe(cast, travel, act, 6)
    of_fabrikam, waits = {row.pk for row in rows[6:]}, list[object]()
    lock = recorder.lock

    def waited(*tenants: UUID, **how: Any) -> Any:
        waits.append(tenants)
        assert _ended(act) == of_fabrikam, "nobody waits while there is something else to do"
        return lock(*tenants, **how)

    monkeypatch.setattr(recorder, "lock", waited)
    with held(cast.contoso.pk), structlog.testing.capture_logs() as lines:
        assert tasks.sweep() == 6
    assert waits == [(cast.contoso.pk,)], "once for the log, and not once for each of its rows"
    assert [line["tenant"] for line in lines if line["event"] == "sweep.held"] == [str(cast.contoso.pk)]
    assert tasks.sweep() == 6
    assert _ended(act) == {row.pk for row in rows}


@pytest.mark.parametrize("act", SWEEPS)
def test_of_many_busy_logs_each_sweep_waits_for_others_and_all_that_stay_busy_are_logged(
    cast: Cast, travel: Traveller, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """If it always waited for the same ones, and these stay locked, it would never wait for the others."""
    travel.freeze()
    monkeypatch.setattr(_batches, "MOST_WAITS", 1)
    rows, waits = _ripe(cast, travel, act), list[UUID]()
    tenants = [cast.contoso.pk, cast.fabrikam.pk]

    def busy(*asked: UUID) -> None:
        waits.extend(asked)
        raise OperationalError from LockNotAvailable()

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "claim", lambda asked: ({}, None))
        patch.setattr(recorder, "lock", busy)
        for number in range(4):
            with structlog.testing.capture_logs() as lines:
                assert SWEEPS[act](actor=cast.system("sweep"), limit=10) == 0
            assert len(waits) == number + 1
            held_ones = [line["tenant"] for line in lines if line["event"] == "sweep.held"]
            assert sorted(held_ones) == sorted(map(str, tenants)), "also the one that it did not wait for"
            travel.by(seconds=0.001)
    assert set(waits[:2]) == set(waits[2:]) == set(tenants)
    assert SWEEPS[act](actor=cast.system("sweep"), limit=10) == len(rows)


def _ended(act: str) -> set[Any]:
    state = State.CLOSED if act == "close" else State.EXPIRED
    return set(AccessRequest.objects.filter(state=state).values_list("pk", flat=True))


@contextmanager
def _row_held(row: AccessRequest, act: str, *, seconds: float) -> Iterator[None]:
    """Somebody else locks the row for this long, as each attempt to open content locks the row of its window."""
    is_locked = threading.Event()

    def hold() -> None:
        with transaction.atomic():
            rows = (
                Grant.objects.filter(access_request=row) if act == "close" else AccessRequest.objects.filter(pk=row.pk)
            )
            list(rows.select_for_update(no_key=True))
            is_locked.set()
            time.sleep(seconds)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_locked.wait(20)
    yield
    thread.join(20)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", SWEEPS)
def test_nobody_keeps_a_row_from_its_end_by_locking_it_again_and_again(cast: Cast, travel: Traveller, act: str) -> None:
    travel.freeze()
    rows, system = _ripe(cast, travel, act, count=1), cast.system("sweep")
    with _row_held(rows[0], act, seconds=0.2):
        assert SWEEPS[act](actor=system, limit=10) == 1, "nobody waits for it while there is something else to do"
        assert _ended(act) == {rows[1].pk}
        assert SWEEPS[act](actor=system, limit=10) == 1
    assert _ended(act) == {row.pk for row in rows}
    passed_over = set[UUID]()
    last = _ripe(cast, travel, act, count=1)
    assert SWEEPS[act](actor=system, limit=1) == 1
    with _row_held(last[1], act, seconds=3 * _batches.LOCK_SECONDS), structlog.testing.capture_logs() as lines:
        # It is not waited for any longer. The next sweep tries again.
        assert SWEEPS[act](actor=system, limit=10, passed_over=passed_over) == 0
    assert passed_over == {last[1].pk}
    # The row has no fault, and often the other one is a sweep too. So nobody must look for a bug.
    assert [(line["event"], line["log_level"]) for line in lines if line["event"].startswith("sweep")] == [
        ("sweep.held", "info")
    ]
    assert SWEEPS[act](actor=system, limit=10) == 1
