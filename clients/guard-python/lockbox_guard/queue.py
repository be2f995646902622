"""Stores accesses durably on this machine's disk, and reports them to Lockbox in order.

The queue is an SQLite database, which all processes of the application share. SQLite's write-ahead log has a checksum
for each write: a write that was not complete when the machine stopped is left out, and nobody relied on it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lockbox_guard.feed import clock
from lockbox_guard.lockbox import VERSION, Lockbox, Refused

log = logging.getLogger(__name__)
REPORTS, BATCH_MAX, LIVES_MAX, NOT_TAKEN = "/api/v1/guard/accesses", 1000, 50, (400, 413, 422)
#: Answers (409) that say that this guard id is used for another queue too.
ANOTHER_REPORTS = ("guard_copied", "reports_gap")
#: Seconds between signs of life, and between two looks at the queue.
SIGN_EVERY, LOOK_EVERY = 30.0, 0.5
#: Seconds that an access waits for its turn to be written. A disk that hangs must not hold all requests.
WRITE_WITHIN = 5.0
#: AUTOINCREMENT: a number is never given twice, and none is left out. `base` is the last number of an earlier guard id.
#: `sent` is the last number that was sent, and `life` says by whom, and who has claimed the id since then: they are
#: stored before the report is sent.
TABLES = """
PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;
CREATE TABLE IF NOT EXISTS accesses (number INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS not_taken (number INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reporter
    (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT, base INTEGER, sent INTEGER, life TEXT);
INSERT OR IGNORE INTO reporter VALUES (1, '{name}', 0, 0, '');
"""
#: Replaces an access that Lockbox does not take in. It names no window, so Lockbox rejects it and goes on.
SKIPPED = json.dumps({
    **dict.fromkeys(("grant_id", "resource", "engineer"), str(uuid.UUID(int=0))), "action": "list",
    "item": "OTHER /not-taken-in", "at": "2000-01-01T00:00:00Z", "kind": "refused", "code": "not_taken_in",
})  # fmt: skip


class Queue:
    """This process's connection to the queue. One of the processes reports, and another one when that one has ended."""

    def __init__(self, directory: Path, lockbox: Lockbox, limit: int) -> None:
        self._directory, self._lockbox, self._limit, self._batch = directory, lockbox, limit, BATCH_MAX
        self._database: sqlite3.Connection | None = None
        self._locks, self._life, self._claimed = list[IO[bytes]](), "", ""
        self._lock, self.ends = threading.RLock(), threading.Event()
        self._waiting = deque[dict[str, str]]()
        threading.Thread(target=self._report, name="lockbox-reports", daemon=True).start()

    def append(self, record: dict[str, Any]) -> None:
        """Store a record. It is on the disk when this returns. Raise Refused if it is not."""
        write = {"text": json.dumps(record, separators=(",", ":")), "kind": record["kind"], "why": "queue_unavailable"}
        self._waiting.append(write)
        # A cut has happened already, so it waits for the disk however long that takes.
        if not self._lock.acquire(timeout=-1 if record["kind"] == "cut" else WRITE_WITHIN):
            with suppress(
                ValueError, IndexError
            ):  # else it is being written just now, and the log has an access too many
                self._waiting.remove(write)
            raise Refused("queue_unavailable")
        try:  # the thread that enters first writes for all that wait: they share one fsync
            self._write([self._waiting.popleft() for _ in range(len(self._waiting))])
        finally:
            self._lock.release()
        if write["why"]:
            raise Refused(write["why"])

    def _write(self, writes: list[dict[str, str]]) -> None:
        if not writes:
            return
        try:
            with self._turn() as database:
                database.execute("BEGIN IMMEDIATE")
                [(at,)] = database.execute("SELECT ifnull(max(number) - min(number) + 1, 0) FROM accesses")
                fitting = [write for number, write in enumerate(writes, at)
                           if number < self._limit or write["kind"] != "access"]  # fmt: skip
                database.executemany("INSERT INTO accesses (record) VALUES (:text)", fitting)
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            log.critical("The queue of accesses can't be written: %r", error)
            return
        for write in writes:
            write["why"] = "queue_full"
        for write in fitting:
            write["why"] = ""

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        """Wait until it is this process's turn. One process is in the room, and one at the door comes in next."""
        with self._lock:
            try:
                is_new = self._database is None
                database = self._database = self._database or self._open()
                door, room, _ = self._locks
                fcntl.flock(door, fcntl.LOCK_EX)
                fcntl.flock(room, fcntl.LOCK_EX)
                fcntl.flock(door, fcntl.LOCK_UN)
                if is_new:
                    database.executescript(TABLES.format(name=uuid.uuid4()))
                yield database
                fcntl.flock(room, fcntl.LOCK_UN)
            except BaseException:
                self._close()
                raise

    def _open(self) -> sqlite3.Connection:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._life, self._claimed = str(uuid.uuid4()), ""  # the lock of the reporter is a new one too
        self._locks = [(self._directory / f"{name}.lock").open("ab") for name in ("door", "room", "reporter")]
        return sqlite3.connect(self._directory / "accesses.sqlite3", isolation_level=None, check_same_thread=False)

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()  # rolls back
        self.leave()

    def leave(self) -> None:
        """Close the locks. A forked child does this too, because it shares its parent's."""
        for lock in self._locks:
            lock.close()

    def _run(self, statement: str, *values: object) -> list[Any]:
        with self._turn() as database:
            return database.execute(statement, values).fetchall()

    def name(self) -> str:
        """Return the guard id, which the first process made."""
        return str(self._run("SELECT id FROM reporter")[0][0])

    def _report(self) -> None:
        signed, wait = float("-inf"), 0.0
        while not self.ends.wait(wait):
            try:
                self.name()  # opens the file
                fcntl.flock(self._locks[2], fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_sent, wait = self._send(is_sign_due=clock() - signed >= SIGN_EVERY), LOOK_EVERY
                if is_sent:
                    signed, wait = clock(), 0.0
            except BlockingIOError:
                wait = LOOK_EVERY  # another process reports
            except Exception as error:  # this thread must not end
                log.warning("Accesses can't be reported now: %r", error)
                wait = min(max(wait, LOOK_EVERY) * 2, SIGN_EVERY)
        with self._lock:
            self._close()  # another process can report now

    def _send(self, is_sign_due: bool) -> bool:
        """Send one report, if there is one. Without accesses it is a sign of life, and asks how far Lockbox is.

        The first report of each life of a reporter is such a sign. It claims the guard id: from then on, Lockbox takes
        in nothing from an earlier life, which can be another machine with a copy of the queue.
        """
        with self._turn() as database:  # in one turn, so that no new access comes in between
            [(base, name, sent, former)] = database.execute("SELECT base, id, sent, life FROM reporter")
            [(last,)] = database.execute("SELECT ifnull(max(seq), 0) FROM sqlite_sequence")
            rows = database.execute("SELECT * FROM accesses ORDER BY number LIMIT ?", [self._batch]).fetchall()
            first = rows[0][0] if rows else last + 1
            if self._claimed != name:
                rows, is_sign_due = [], True
                former = former if self._life in former else f"{former[-LIVES_MAX * 37 :]} {self._life}"
            elif rows and rows[-1][0] > sent:
                sent, former = rows[-1][0], self._life
            # Without a change, this writes nothing to the disk.
            database.execute("UPDATE reporter SET sent = ?1, life = ?2 WHERE (sent, life) <> (?1, ?2)", [sent, former])
        if not rows and not is_sign_due:
            return False
        head: dict[str, Any] = {"guard": name, "life": self._life, "version": VERSION, "first": first - base}
        if not rows and sent >= first:
            # They may have sent the accesses, or have claimed the id. If a copy has claimed it since, Lockbox refuses.
            head["former"] = former.split()
        head["backlog"] = last + 1 - first
        body = f'{json.dumps(head)[:-1]}, "accesses": [{",".join(text for _, text in rows)}]}}'
        status, answer = self._lockbox.post(REPORTS, body)
        if status in NOT_TAKEN and rows and rows[0][1] != SKIPPED:
            self._split(rows, answer)
            return True
        is_others = status == 409 and answer.get("code") in ANOTHER_REPORTS
        if status != 200 and not is_others:
            raise ConnectionError(f"{REPORTS}: {status} {answer.get('code', '')}")
        reached = -1 if is_others else base + int(answer["acknowledged"])
        self._batch = BATCH_MAX
        if not first - 1 <= reached <= sent:
            log.error("Guard %s reports from a backup or a copy too: the guard takes a new id. %s", name, answer)
            self._run("UPDATE reporter SET id = ?, base = ?, sent = ?", str(uuid.uuid4()), first - 1, first - 1)
            return True
        self._claimed = name
        if reached >= first:
            self._run("DELETE FROM accesses WHERE number <= ?", reached)
        elif rows:
            raise ConnectionError(f"{REPORTS}: nothing was acknowledged")
        elif first > last:
            self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        return True

    def _split(self, rows: list[tuple[int, str]], answer: dict[str, Any]) -> None:
        """Send half of the accesses next. If it is only one, move it away, so that it does not hold up the others."""
        self._batch = len(rows) // 2 or BATCH_MAX
        if len(rows) == 1:
            log.critical("Lockbox does not take in an access: %s. The table not_taken has it: %s", answer, rows[0][1])
            self._run("INSERT INTO not_taken VALUES (?, ?)", *rows[0])
            self._run("UPDATE accesses SET record = ? WHERE number = ?", SKIPPED, rows[0][0])
