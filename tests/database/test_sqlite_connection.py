"""A thread of the web server keeps its connection to SQLite, unless the next request would see something else with it.

To open a connection, SQLite reads its whole schema. This takes longer than most requests.
"""

from __future__ import annotations

import gc
import resource
import sqlite3
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections
from django.db.backends.sqlite3 import base

from requests_app.platform.database.sqlite import base as ours
from requests_app.platform.database.sqlite import copying
from requests_app.platform.database.sqlite.base import DatabaseWrapper

# These tests use a database of their own, but pytest-django wants the mark for every connection.
pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return _made(tmp_path / "one.sqlite3", "first")


@pytest.fixture
def wrapper(file: Path) -> Iterator[DatabaseWrapper]:
    """Return a connection with the settings of a production server on SQLite."""
    made = {**connections["default"].settings_dict, "ENGINE": "", "NAME": str(file), "CONN_MAX_AGE": 60}
    options = {"init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE"}
    found = DatabaseWrapper({**made, "OPTIONS": options, "CONN_HEALTH_CHECKS": False}, "default")
    yield found
    found.close()


def _made(path: Path, text: str) -> Path:
    with sqlite3.connect(path) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE note (text)")
        made.execute("INSERT INTO note VALUES (?)", [text])
    made.close()
    return path


def _texts(wrapper: DatabaseWrapper) -> list[Any]:
    with wrapper.cursor() as cursor:
        return [text for (text,) in cursor.execute("SELECT text FROM note").fetchall()]


def test_the_settings_keep_connections() -> None:
    assert settings.DATABASES["default"]["CONN_MAX_AGE"] == (60 if connection.vendor == "sqlite" else 600)


def test_a_connection_serves_the_next_request(wrapper: DatabaseWrapper) -> None:
    assert _texts(wrapper) == ["first"]
    before = wrapper.connection
    for _ in range(3):
        wrapper.close_if_unusable_or_obsolete()
        assert _texts(wrapper) == ["first"]
    assert wrapper.connection is before


def test_the_next_request_sees_what_others_have_written(wrapper: DatabaseWrapper, file: Path) -> None:
    """A cursor that was left in the middle of its rows keeps its connection at the state of the database then."""
    with sqlite3.connect(file) as other:
        other.executemany("INSERT INTO note VALUES (?)", [["x"]] * 500)
        other.commit()
        left = wrapper.cursor()
        left.execute("SELECT text FROM note").fetchone()
        other.execute("DELETE FROM note")
        other.execute("INSERT INTO note VALUES ('new')")
        other.commit()
        assert "new" not in _texts(wrapper)
        wrapper.close_if_unusable_or_obsolete()
        assert _texts(wrapper) == ["new"]
    other.close()


def test_a_database_that_was_restored_is_opened_anew(wrapper: DatabaseWrapper, file: Path, tmp_path: Path) -> None:
    assert _texts(wrapper) == ["first"]
    for each in tmp_path.glob("one.sqlite3-*"):
        each.unlink()
    _made(tmp_path / "two.sqlite3", "restored").rename(file)
    wrapper.close_if_unusable_or_obsolete()
    assert _texts(wrapper) == ["restored"]
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT text FROM note").fetchall() == [("restored",)]
    other.close()


def test_a_database_that_is_gone_is_not_answered_from(wrapper: DatabaseWrapper, file: Path) -> None:
    assert _texts(wrapper) == ["first"]
    file.rename(file.with_name("elsewhere"))
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is None


def test_a_connection_is_closed_after_an_error(wrapper: DatabaseWrapper) -> None:
    with pytest.raises(OperationalError), wrapper.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is None
    assert _texts(wrapper) == ["first"]


def test_a_transaction_of_the_caller_keeps_its_connection(wrapper: DatabaseWrapper) -> None:
    """A test's transaction must survive the end of a request."""
    assert _texts(wrapper) == ["first"]
    wrapper.in_atomic_block = True
    before, left = wrapper.connection, wrapper.cursor()
    left.execute("SELECT text FROM note")
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is before
    wrapper.in_atomic_block = False


def test_the_places_of_values_are_found_once_for_each_text(
    wrapper: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "SELECT text, '100%%' FROM note WHERE text = %s"
    with wrapper.cursor() as cursor:
        assert cursor.execute(text, ["first"]).fetchall() == [("first", "100%")]
        monkeypatch.setattr(base, "FORMAT_QMARK_REGEX", None)
        assert cursor.execute(text, ["second"]).fetchall() == []
        assert cursor.execute("SELECT '100%'").fetchall() == [("100%",)]


@pytest.mark.parametrize("text", ["INSERT INTO note VALUES ('new')", "\n    insert INTO note\n    VALUES ('new')\n"])
def test_a_statement_that_writes_takes_its_turn_also_if_it_begins_with_an_empty_line(
    wrapper: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    turns, turn = list[bool](), wrapper.turn_of_one_statement

    def counted() -> AbstractContextManager[None]:
        turns.append(True)
        return turn()

    monkeypatch.setattr(wrapper, "turn_of_one_statement", counted)
    with wrapper.cursor() as cursor:
        cursor.execute(text)
        cursor.execute("\n SELECT text FROM note")
    assert turns == [True]


def test_waiting_for_another_program_that_writes_leaves_nothing_for_the_garbage_collector(
    wrapper: DatabaseWrapper, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each error of a try would stay in memory with its traceback and its cursors, twenty times a second and more."""
    wrapper.ensure_connection()
    other, errors = sqlite3.connect(file, isolation_level=None), list[weakref.ref[Exception]]()
    other.execute("BEGIN IMMEDIATE")

    def rest(_seconds: float) -> None:
        failure = sys.exception()
        assert isinstance(failure, OperationalError)
        errors.append(weakref.ref(failure))
        if len(errors) == 3:
            other.execute("ROLLBACK")

    monkeypatch.setattr(ours, "sleep", rest)
    gc.disable()
    try:
        wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
        wrapper.rollback()
        assert [error() for error in errors] == [None] * 3
    finally:
        gc.enable()
        other.close()


def test_a_large_transaction_has_room_for_its_pages_and_gives_it_back(wrapper: DatabaseWrapper) -> None:
    """Without it, a transaction that changes more pages than fit writes them to the file before its commit."""
    usual, sizes = _room(wrapper), []
    for with_room in (True, False):
        with wrapper.with_room() if with_room else nullcontext():
            wrapper.connection.execute("BEGIN IMMEDIATE")
            wrapper.connection.execute(
                "CREATE TABLE page AS WITH n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n"
                " WHERE x < 4000) SELECT x, zeroblob(4000) AS filler FROM n"
            )
            sizes.append(Path(f"{wrapper.settings_dict['NAME']}-wal").stat().st_size)
            wrapper.connection.execute("ROLLBACK")
        assert _room(wrapper) == usual
    assert sizes[0] < 100_000
    assert sizes[1] > 4_000_000


def _write(wrapper: DatabaseWrapper, rows: int) -> None:
    """Write so many pages in one transaction."""
    wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    assert wrapper._line is not None
    wrapper.connection.executemany("INSERT INTO page VALUES (zeroblob(3000))", [()] * rows)
    wrapper.commit()
    wrapper.set_autocommit(True)


@pytest.fixture
def copies(wrapper: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return whether the connection had its turn, for each time that pages were copied."""
    had_turn = list[bool]()
    wrapper.ensure_connection()
    wrapper.connection.execute("CREATE TABLE page (filler)")
    lines = list[object]()
    take, give = ours.Line.take, ours.Line.give

    def taken(line: ours.Line, *args: Any, **kwargs: Any) -> bool:
        found = take(line, *args, **kwargs)
        lines.append(line)
        return found

    def given(line: ours.Line) -> None:
        lines.pop()
        give(line)

    monkeypatch.setattr(ours.Line, "take", taken)
    monkeypatch.setattr(ours.Line, "give", given)
    monkeypatch.setattr(copying._Process, "rows", 0)
    wrapper.connection.set_trace_callback(
        lambda sql: had_turn.append(bool(lines)) if "wal_checkpoint(" in sql else None
    )
    return had_turn


def test_pages_are_copied_after_the_turn_and_not_in_the_commit(wrapper: DatabaseWrapper, copies: list[bool]) -> None:
    """SQLite itself would copy within each commit from 1,000 pages on, and everybody who writes would wait."""
    file = Path(wrapper.settings_dict["NAME"])
    [limit] = wrapper.connection.execute("PRAGMA wal_autocheckpoint").fetchone()
    assert limit == copying.LIMIT
    _write(wrapper, copying.EACH - 1)
    assert copies == []
    _write(wrapper, copying.EACH // 2)
    assert copies == [False]
    assert file.stat().st_size > copying.EACH * 3_000
    _write(wrapper, copying.EACH // 2)
    assert copies == [False], "not after each commit"


def test_with_room_pages_are_copied_less_often(
    wrapper: DatabaseWrapper, copies: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batches of a sweep change the same pages of indexes, and each of them is copied once."""
    file = Path(wrapper.settings_dict["NAME"])
    monkeypatch.setattr(copying, "EACH_IN_SWEEP", 2_000)
    with wrapper.with_room():
        _write(wrapper, 1_500)
        assert copies == []
        assert file.stat().st_size < 100_000, "SQLite itself has not copied, either"
        _write(wrapper, 500)
        assert copies == [False]
        assert file.stat().st_size > 2_000 * 3_000
        _write(wrapper, copying.AFTER_SWEEP)
        assert copies == [False]
    assert copies == [False, False], "at its end, others need not copy the pages of a sweep"
    with wrapper.with_room():
        _write(wrapper, copying.AFTER_SWEEP - 1)
    assert copies == [False, False], "a small sweep waits for no copy"


@pytest.fixture
def others(wrapper: DatabaseWrapper, copies: list[bool], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While pages are copied without the turn, others commit a row, and others read what was there before it."""
    reads, writes = (sqlite3.connect(wrapper.settings_dict["NAME"], isolation_level=None) for _ in range(2))
    copied = copying._copied

    def meanwhile(found: DatabaseWrapper) -> tuple[int, int]:
        if reads.in_transaction:
            reads.execute("ROLLBACK")
        if not ours.line_at(str(found.settings_dict["NAME"]))._is_taken:
            _read(reads)
            writes.execute("INSERT INTO page VALUES (zeroblob(3000))")
        return copied(found)

    monkeypatch.setattr(copying, "_copied", meanwhile)
    yield
    reads.close()
    writes.close()


def _read(connection: sqlite3.Connection) -> None:
    """Begin a transaction that sees what is there now."""
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM page").fetchone()


def test_only_for_the_last_pages_of_a_long_log_others_wait(
    wrapper: DatabaseWrapper, copies: list[bool], others: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others write, some pages are always new. If all are copied, the log begins again from its start."""
    monkeypatch.setattr(copying, "LONG", 3 * copying.EACH)
    log, rounds = Path(f"{wrapper.settings_dict['NAME']}-wal"), [False] * 6 + [True]
    for _ in range(3):
        _write(wrapper, copying.EACH)
    assert copies == rounds
    long = log.stat().st_size
    for _ in range(3):
        _write(wrapper, copying.EACH)
    assert copies == 2 * rounds
    assert log.stat().st_size < 1.1 * long


def test_while_somebody_reads_what_was_there_before_nobody_waits(
    wrapper: DatabaseWrapper, copies: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log can't begin again until then. Afterwards it does, and its file is cut."""
    monkeypatch.setattr(copying, "LONG", copying.EACH)
    log, reads = Path(f"{wrapper.settings_dict['NAME']}-wal"), sqlite3.connect(wrapper.settings_dict["NAME"])
    _read(reads)
    while log.stat().st_size < 2 * copying.FILE_SIZE:
        _write(wrapper, copying.EACH)
    assert set(copies) == {False}
    reads.close()
    _write(wrapper, copying.EACH)
    _write(wrapper, 1)
    assert log.stat().st_size == copying.FILE_SIZE


def test_on_a_full_disk_what_is_committed_stays_in_the_log(wrapper: DatabaseWrapper, copies: list[bool]) -> None:
    """When there is room again, it is copied."""
    _write(wrapper, copying.EACH)
    file, usual = Path(wrapper.settings_dict["NAME"]), resource.getrlimit(resource.RLIMIT_FSIZE)
    before = file.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + 100_000, usual[1]))
    try:
        _write(wrapper, copying.EACH)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert file.stat().st_size < before + 200_000
    assert _pages(wrapper) == 2 * copying.EACH
    _write(wrapper, copying.EACH)
    assert file.stat().st_size > before + 2 * copying.EACH * 3_000
    assert _pages(wrapper) == 3 * copying.EACH


def _pages(wrapper: DatabaseWrapper) -> int:
    return int(wrapper.connection.execute("SELECT count(*) FROM page").fetchone()[0])


def test_pages_that_cannot_be_copied_do_not_fail_a_commit(wrapper: DatabaseWrapper, copies: list[bool]) -> None:
    wrapper.connection.set_authorizer(
        lambda action, name, *_: sqlite3.SQLITE_DENY if name == "wal_checkpoint" else sqlite3.SQLITE_OK
    )
    _write(wrapper, copying.EACH)
    wrapper.connection.set_authorizer(None)
    assert wrapper.connection.execute("SELECT count(*) FROM page").fetchone() == (copying.EACH,)


def test_a_web_server_copies_in_a_thread(
    wrapper: DatabaseWrapper, copies: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nobody whose answer is ready waits until the pages of all others are copied."""
    file, is_done, copy = Path(wrapper.settings_dict["NAME"]), threading.Event(), copying.copy
    other = DatabaseWrapper(wrapper.settings_dict, "default")
    other.inc_thread_sharing()

    def copied(connection: DatabaseWrapper) -> None:
        copy(connection)
        is_done.set()

    monkeypatch.setattr(copying, "connection", other)
    monkeypatch.setattr(copying, "copy", copied)
    monkeypatch.setattr(copying._Process, "lane", None)
    copying.in_thread()
    lane = copying._Process.lane
    assert lane is not None
    _write(wrapper, copying.EACH)
    assert is_done.wait(20)
    lane.close()
    assert lane.join(seconds=20)
    other.close()
    assert copies == []
    assert file.stat().st_size > copying.EACH * 3_000


def test_a_commit_does_not_fail_if_there_can_be_no_thread_now(
    wrapper: DatabaseWrapper, copies: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = list[threading.Thread]()

    def start(thread: threading.Thread) -> None:
        begun.append(thread)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(copying._Process, "lane", None)
    copying.in_thread()
    monkeypatch.setattr(threading.Thread, "start", start)
    for _ in range(2):
        _write(wrapper, copying.EACH)
    assert wrapper.connection.execute("SELECT count(*) FROM page").fetchone() == (2 * copying.EACH,)
    assert [thread.name for thread in begun] == ["pages", "pages"], "it is tried again"


def _room(wrapper: DatabaseWrapper) -> int:
    wrapper.ensure_connection()
    return int(wrapper.connection.execute("PRAGMA cache_size").fetchone()[0])
