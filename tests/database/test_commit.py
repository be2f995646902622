"""If a commit breaks and may have been saved, the outcome is reported as unknown. Otherwise it is an ordinary error."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from requests_app.models import Plan
from requests_app.platform.database.errors import CommitUnknown
from tests.database.conftest import OwnServer
from tests.wire import AtCommit, Wire

pytestmark = [pytest.mark.dialect, pytest.mark.django_db(transaction=True)]
postgres = pytest.mark.postgres


def names() -> list[str]:
    return list(Plan.objects.order_by("name").values_list("name", flat=True))


def end_session(pid: int) -> None:
    """End a session from another session, as an administrator of the database does."""
    parts = connection.settings_dict
    with psycopg.connect(
        host=parts["HOST"], port=parts["PORT"] or 5432, user=parts["USER"], dbname=parts["NAME"], autocommit=True
    ) as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@postgres
@pytest.mark.parametrize(("fate", "saved"), [(AtCommit.LOSE_REQUEST, []), (AtCommit.LOSE_ANSWER, ["Kept"])])
def test_a_connection_that_breaks_at_the_commit_leaves_the_outcome_unknown(
    wire: Wire, fate: AtCommit, saved: list[str]
) -> None:
    def act() -> None:
        with transaction.atomic():
            Plan.objects.create(name="Kept")
            wire.next_commit = fate

    with pytest.raises(CommitUnknown):
        act()
    assert names() == saved


@postgres
def test_a_database_that_is_gone_after_the_commit_does_not_hide_that_it_is_unknown(wire: Wire) -> None:
    """The end of the transaction must not open a new connection.

    The error of that connection would hide the unknown outcome.
    """

    def act() -> None:
        with transaction.atomic():
            Plan.objects.create(name="Kept")
            wire.next_commit = AtCommit.LOSE_ANSWER
            wire.refuse()

    with pytest.raises(CommitUnknown):
        act()
    assert connection.connection is None


@postgres
def test_a_session_that_was_ended_before_the_commit_was_sent_saved_nothing(wire: Wire) -> None:
    def act() -> None:
        with transaction.atomic():
            Plan.objects.create(name="Lost")
            end_session(backend())

    with pytest.raises(OperationalError) as caught:
        act()
    assert not isinstance(caught.value, CommitUnknown)
    assert wire.commits == 0
    assert names() == []


@postgres
def test_a_session_that_is_ended_during_the_commit_leaves_the_outcome_unknown() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE FUNCTION pg_temp.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                       " PERFORM pg_sleep(30); RETURN NULL; END $$")  # fmt: skip
        cursor.execute("CREATE TEMP TABLE slowly (n int)")
        cursor.execute("CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON slowly DEFERRABLE INITIALLY DEFERRED"
                       " FOR EACH ROW EXECUTE FUNCTION pg_temp.slow()")  # fmt: skip
    ending = threading.Timer(0.5, end_session, [backend()])

    def act() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO slowly VALUES (1)")
            ending.start()

    with pytest.raises(CommitUnknown):
        act()
    ending.join(timeout=120)


@postgres
def test_a_transaction_that_a_constraint_refuses_at_the_commit_is_refused() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE once (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")

    def act() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO once VALUES (1), (1)")

    with pytest.raises(IntegrityError):
        act()
    connection.close()


@postgres
def test_a_session_that_ends_before_its_cursor_is_closed_counts_as_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign-in reads people with such a cursor. The session ends after the last row and before the cursor's end."""
    Plan.objects.create(name="Kept")
    pid, fetch = backend(), psycopg.ServerCursor.fetchmany

    def fetched(cursor: Any, size: int = 0) -> list[Any]:
        rows = fetch(cursor, size)
        if not rows:
            end_session(pid)
        return rows

    monkeypatch.setattr(psycopg.ServerCursor, "fetchmany", fetched)
    try:
        with pytest.raises(OperationalError):
            list(Plan.objects.values_list("name", flat=True).iterator(chunk_size=1))
    finally:
        connection.close()
    monkeypatch.undo()
    assert names() == ["Kept"]


@postgres
def test_a_session_that_was_idle_for_too_long_saved_nothing() -> None:
    def act() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            Plan.objects.create(name="Lost")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 100")
            cursor.execute("SELECT 1")
            threading.Event().wait(0.5)

    with pytest.raises(OperationalError) as caught:
        act()
    assert not isinstance(caught.value, CommitUnknown)
    assert names() == []


@postgres
def test_a_commit_that_no_standby_confirms_is_unknown(own_server: OwnServer) -> None:
    """PostgreSQL commits the transaction on the primary, and reports the missing standby only as a warning."""
    own_server.run("CREATE TABLE kept (n int)")
    with own_server.as_default():
        giving_up = threading.Timer(0.5, own_server.run, [f"SELECT pg_cancel_backend({backend()})"])

        def act() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL synchronous_commit = on")
                cursor.execute("INSERT INTO kept VALUES (1)")
                giving_up.start()

        with pytest.raises(CommitUnknown, match="standby"):
            act()
        giving_up.join(timeout=120)
        with connection.cursor() as cursor:
            cursor.execute("SELECT n FROM kept")
            assert cursor.fetchall() == [(1,)]


@postgres
def test_an_error_that_was_swallowed_does_not_pass_for_a_commit() -> None:
    """After a failed statement, PostgreSQL answers COMMIT with ROLLBACK, and raises no error."""

    def act() -> None:
        with transaction.atomic():
            Plan.objects.create(name="Lost")
            with pytest.raises(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT 1/0")

    with pytest.raises(DatabaseError) as caught:
        act()
    assert not isinstance(caught.value, CommitUnknown)
    assert names() == []


class Failing:
    """A connection to SQLite on which each commit fails with this error code."""

    def __init__(self, inner: Any, code: int) -> None:
        self.inner, self.code = inner, code

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("inner", "code"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.inner, name, value)

    def commit(self) -> None:
        error = sqlite3.OperationalError("it failed")
        error.sqlite_errorcode = self.code
        raise error


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("code", "is_unknown"),
    [
        (sqlite3.SQLITE_BUSY, False),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, False),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_IOERR_FSYNC, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
    ],
)
def test_on_sqlite_a_full_or_busy_database_saved_nothing_and_a_failing_disk_may_have(
    code: int, is_unknown: bool
) -> None:
    connection.ensure_connection()
    inner = connection.connection
    try:

        def act() -> None:
            with transaction.atomic():
                Plan.objects.create(name="Perhaps")
                connection.connection = Failing(inner, code)

        with pytest.raises(OperationalError) as caught:
            act()
    finally:
        connection.connection = inner
    assert isinstance(caught.value, CommitUnknown) is is_unknown
    assert names() == []
