"""Stores accesses durably on this machine's disk, and reports them to Lockbox in order.

The queue is an SQLite database, which all processes of the application share. SQLite's write-ahead log has a checksum
for each write: a write that was not complete when the machine stopped is left out, and nobody relied on it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import threading
import uuid
from pathlib import Path
from typing import Any

from lockbox_guard.feed import clock
from lockbox_guard.lockbox import VERSION, Lockbox, Refused, Unreachable

log = logging.getLogger(__name__)
BATCH_MAX, BATCH_BYTES_MAX = 1000, 900_000
#: Seconds: between signs of life, between two looks at the queue, and that a write waits for another process.
SIGN_EVERY, LOOK_EVERY, WAIT_FOR_LOCK = 30.0, 0.5, 5.0
#: AUTOINCREMENT: a number is never given twice, and none is left out. `base` is the last number of an earlier guard id.
TABLES = """
PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS accesses (number INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS guard (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, base INTEGER NOT NULL);
INSERT OR IGNORE INTO guard VALUES (1, '{name}', 0);
COMMIT;
"""


class _Write:
    """A record on its way to the disk. `code` is why it is not there."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.text, self.is_access = json.dumps(record, separators=(",", ":")), record["kind"] == "access"
        self.is_done, self.code = False, "queue_unavailable"


class Queue:
    """This process's connection to the queue. One of the processes reports, and another one when that one has ended."""

    def __init__(self, directory: Path, lockbox: Lockbox, limit: int) -> None:
        self._directory, self._lockbox, self._limit = directory, lockbox, limit
        self._database: sqlite3.Connection | None = None
        self._gathering, self._writing, self.ends = threading.Lock(), threading.Lock(), threading.Event()
        self._waiting: list[_Write] = []
        self._leading = -1
        self.thread = threading.Thread(target=self._report, name="lockbox-reports", daemon=True)
        self.thread.start()

    def append(self, record: dict[str, Any]) -> None:
        """Store a record. It is on the disk when this returns. Raise Refused if it is not."""
        write = _Write(record)
        with self._gathering:
            self._waiting.append(write)
        with self._writing:  # the thread that enters first writes for all that wait: they share one fsync
            if not write.is_done:
                with self._gathering:
                    writes, self._waiting = self._waiting, []
                self._write(writes)
        if write.code:
            raise Refused(write.code)

    def _write(self, writes: list[_Write]) -> None:
        try:
            database = self._open()
            database.execute("BEGIN IMMEDIATE")
            backlog = database.execute("SELECT ifnull(max(number) - min(number) + 1, 0) FROM accesses").fetchone()[0]
            fitting = [write for at, write in enumerate(writes, backlog) if at < self._limit or not write.is_access]
            database.executemany("INSERT INTO accesses (record) VALUES (?)", [(write.text,) for write in fitting])
            database.execute("COMMIT")
        except BaseException as error:
            self._close()
            if not isinstance(error, (sqlite3.Error, OSError)):
                raise
            log.critical("The queue of accesses can't be written: %r", error)
        else:
            for write in writes:
                write.code = "queue_full"
            for write in fitting:
                write.code = ""
        finally:
            for write in writes:
                write.is_done = True

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / "accesses.sqlite3"
            database = sqlite3.connect(path, timeout=WAIT_FOR_LOCK, isolation_level=None, check_same_thread=False)
            try:
                database.executescript(TABLES.format(name=uuid.uuid4()))
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()  # rolls back

    def _run(self, statement: str, *values: object) -> list[Any]:
        with self._writing:
            return self._open().execute(statement, values).fetchall()

    def name(self) -> str:
        """Return the guard id, which the first process made."""
        return str(self._run("SELECT id FROM guard")[0][0])

    def _leads(self) -> bool:
        """Return whether this process reports. The lock ends with the process, and no fork inherits it."""
        if self._leading < 0:
            descriptor = os.open(self._directory / "reporter.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._leading = descriptor
            except OSError:
                os.close(descriptor)
        return self._leading >= 0

    def _report(self) -> None:
        signed, wait = float("-inf"), 0.0
        while not self.ends.wait(wait):
            try:
                self.name()
                if self._leads() and self._send(is_sign_due=clock() - signed >= SIGN_EVERY):
                    signed = clock()
                wait = LOOK_EVERY
            except Exception as error:  # this thread must not end
                log.warning("Accesses can't be reported now: %r", error)
                wait = min(max(wait, LOOK_EVERY) * 2, SIGN_EVERY)

    def _send(self, is_sign_due: bool) -> bool:
        """Report what waits. A report without accesses is a sign of life, and asks how far Lockbox is."""
        while True:
            base, name = self._run("SELECT base, id FROM guard")[0]
            last = self._run("SELECT ifnull(max(seq), 0) FROM sqlite_sequence")[0][0]
            rows = self._run("SELECT number, record FROM accesses ORDER BY number LIMIT ?", BATCH_MAX)
            if not rows and not is_sign_due:
                return False
            if not rows:
                self._run("PRAGMA incremental_vacuum")
                self._run("PRAGMA wal_checkpoint(TRUNCATE)")
            first, texts, size = rows[0][0] if rows else last + 1, list[str](), 0
            for _, text in rows:
                size += len(text) + 1
                texts += [text] if size <= BATCH_BYTES_MAX else []
            head = json.dumps({"guard": name, "version": VERSION, "first": first - base, "backlog": last + 1 - first})
            body = f'{head[:-1]}, "accesses": [{",".join(texts)}]}}'
            status, answer = self._lockbox.post("/api/v1/guard/accesses", body.encode())
            if status not in (200, 409):
                raise Unreachable(f"/api/v1/guard/accesses: {status} {answer.get('code', '')}")
            reached = base + int(answer["acknowledged"] if status == 200 else answer["expected"] - 1)
            if not first - 1 <= reached <= last:
                log.error("Lockbox has %s reports of guard %s: a backup or a copy is in use", reached - base, name)
                self._run("UPDATE guard SET id = ?, base = ?", str(uuid.uuid4()), first - 1)
            elif reached >= first:
                self._run("DELETE FROM accesses WHERE number <= ?", reached)
            elif rows:
                raise Unreachable("/api/v1/guard/accesses: nothing was acknowledged")
            if len(rows) < BATCH_MAX:
                return True
            is_sign_due = False
