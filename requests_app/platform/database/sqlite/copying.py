"""Copies committed pages from SQLite's write-ahead log to its file, beside those who write.

SQLite itself would copy them within a commit, each time the log has 1,000 pages. That takes longer than the commit, and
everybody who writes waits for it. Here, a process copies after its turn to write, and less often. So a page that was
written several times is copied once. Until then, a committed page is in the log, and SQLite reads it there.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import replace
from typing import Any

from django.db import DatabaseError, connection

from requests_app.platform.database import bounds
from requests_app.platform.lanes import Lane, LaneFull

#: From this number of pages on (64 MB), SQLite itself copies within each commit. So the log has an end although nobody
#: else copies.
LIMIT = 16_000
#: A process copies each time it has changed so many rows. Most rows change five pages. With a quarter of it, the log's
#: file is smaller, but the decision point answers a sixth fewer accesses.
EACH = 1_000
#: A sweep copies less often, because its batches change the same pages of indexes. The log then has less than 100 MB.
#: When the sweep ends, it copies if this process has changed at least the second number of rows.
EACH_IN_SWEEP, AFTER_SWEEP = 8_000, 500
#: The log begins again from its start only if all of its pages are copied while nobody writes. If it has fewer pages
#: than this, nobody waits for that.
LONG = 4_000
#: When the log begins again, its file is cut to so many bytes. Below that, the file does not have to grow again.
FILE_SIZE = 32 * 1024 * 1024
#: For how many seconds the turn to write is waited for.
TURN_SECONDS = 1.0


class _Round:
    """One time that pages are copied."""

    size = 1

    def begin(self) -> bool:
        return True

    def fail(self, error: Exception) -> None:
        # A later round copies these pages.
        pass


class _Process:
    """What this process has changed since it last copied, and the thread that copies, if it has one."""

    rows = 0
    lane: Lane[_Round] | None = None


def in_thread() -> None:
    """Copy in a thread of this process, which is started when there is something to copy."""
    _Process.lane = Lane("pages", _copy_in_thread, most=1, crowd=1, patience=float("inf"))


def changed(rows: int, wrapper: Any, *, each: int = EACH) -> None:
    """Note that the connection has committed so many changed rows. Call it when it has given its turn back.

    Copy if this process has changed `each` rows since it last copied.
    """
    # Two threads may both read the same number. Then the process copies a little later.
    _Process.rows += rows
    if _Process.rows < each:
        return
    _Process.rows = 0
    if _Process.lane is None:
        copy(wrapper)
        return
    # Either a round waits already, or the process can't start one more thread. The commit must not fail, because the
    # rows are committed.
    with suppress(LaneFull, RuntimeError):
        _Process.lane.submit(_Round())


def copy(wrapper: Any) -> None:
    """Copy all pages. Only for the last few, those who want to write wait, and only if the log is long.

    What was written is committed, even if this fails.
    """
    with suppress(sqlite3.Error, DatabaseError):
        pages, done = _copied(wrapper)
        if done == pages:
            return
        # What was committed meanwhile.
        pages, done_then = _copied(wrapper)
        # If there is no more, somebody still reads what was there before those pages, and the turn would not help.
        if done_then in (pages, done) or pages < LONG:
            return
        limits = replace(bounds.current(), threads=0, write=TURN_SECONDS)
        with bounds.within(limits), wrapper.turn_of_one_statement():
            _copied(wrapper)


def _copied(wrapper: Any) -> tuple[int, int]:
    """Copy the pages that are committed now. Return how many the log has, and how many of them are copied.

    Nobody waits for this.
    """
    _is_busy, pages, done = wrapper.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages), int(done)


def _copy_in_thread(_rounds: list[_Round]) -> None:
    connection.close_if_unusable_or_obsolete()
    connection.ensure_connection()
    copy(connection)
