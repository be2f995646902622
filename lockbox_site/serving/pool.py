"""Threads that run requests, and that take the next one only when they are free."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

import structlog

from requests_app.domain import clock

log = structlog.get_logger(__name__)


#: A request that no thread has begun with for so long is told to come again, in seconds: its client may have given up.
PATIENCE = 5.0


class Full(Exception):
    """As many wait for a thread as may, or this one has waited for too long. It has not begun, and never will."""


class Job:
    """Something to run, which can be taken back for as long as it has not begun. `future` gets its result."""

    __slots__ = ("_begun", "_lock", "_loop", "future", "may_wait", "since", "work")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work, self._loop = work, loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self._begun, self._lock = False, threading.Lock()
        self.since = clock.monotonic()
        #: Whether no thread may be free for it.
        self.may_wait = False

    def refuse(self) -> None:
        """Raise Full where it is waited for, unless it has begun."""
        if self.take_back():
            self._loop.call_soon_threadsafe(_settle, self.future, None, Full())

    def take_back(self) -> bool:
        """Whether it will not be run. What has begun runs to its end."""
        with self._lock:
            is_mine, self._begun = not self._begun, True
        return is_mine

    def run(self) -> None:
        if not self.take_back():
            return
        try:
            result, failure = self.work(), None
        except BaseException as error:
            result, failure = None, error
        self._loop.call_soon_threadsafe(_settle, self.future, result, failure)


def _settle(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


class Pool:
    """A fixed number of threads and a queue in front of them. Each thread keeps its database connection.

    Clients that wait are served by turns, one request of each, so one that sends many waits behind itself. One client
    has `most_of_one` of the threads at most: what it asks for may take long, and nobody takes that back.
    `most_waiting` bounds the queue and the time in it. Where it is full, the client with most requests in it loses the
    last of them to one with fewer.
    """

    def __init__(
        self, name: str, *, threads: int, most_waiting: int | None = None, most_of_one: int | None = None
    ) -> None:
        self.threads, self._most, self._most_of_one = threads, most_waiting, most_of_one or threads
        self._queues: OrderedDict[str, deque[Job]] = OrderedDict()
        self._lock, self._under_way = threading.Lock(), 0
        # The jobs of each client that threads are at.
        self._at_work = Counter[str]()
        self._arrived = threading.Condition(self._lock)
        # When a thread last became free or was taken, or somebody began to wait where nobody did.
        self._moved_at = clock.monotonic()
        for number in range(threads):
            # As daemons: a thread that hangs in a driver must not hold up the end of the process.
            threading.Thread(target=self._work, name=f"{name}-{number + 1}", daemon=True).start()

    @property
    def stalled_for(self) -> float:
        """For how many seconds no job has begun or ended, while all threads are busy or a job waits; otherwise 0."""
        is_busy = self._under_way >= self.threads or self._queues
        return clock.monotonic() - self._moved_at if is_busy else 0.0

    @property
    def is_waited_for(self) -> bool:
        return bool(self._queues)

    def submit(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop, *, client: str = "") -> Job:
        """Queue the work. Raises Full where too many wait already."""
        job = Job(work, loop)
        with self._lock:
            if self._most is not None and self._under_way >= self.threads + self._most:
                self._make_room(client)
            self._under_way += 1
            if not self._queues:
                self._moved_at = clock.monotonic()
            queue = self._queues.setdefault(client, deque())
            queue.append(job)
            is_over_share = self._at_work[client] + len(queue) > self._most_of_one
            job.may_wait = self._under_way >= self.threads or is_over_share
            self._arrived.notify()
        return job

    def _make_room(self, client: str) -> None:
        longest = max(self._queues.values(), key=len, default=deque())
        if len(longest) <= len(self._queues.get(client, ())) + 1:
            raise Full
        longest.pop().refuse()
        self._under_way -= 1

    def _next(self) -> tuple[str, Job]:
        """Wait for the next job: the oldest of the client whose turn it is."""
        with self._arrived:
            while (client := self._whose_turn()) is None:
                self._arrived.wait()
            queue = self._queues.pop(client)
            job = queue.popleft()
            if queue:
                self._queues[client] = queue
            self._at_work[client] += 1
            self._moved_at = clock.monotonic()
        return client, job

    def _whose_turn(self) -> str | None:
        return next((client for client in self._queues if self._at_work[client] < self._most_of_one), None)

    def wait_until_idle(self, seconds: float) -> None:
        until = clock.monotonic() + seconds
        while self._under_way and clock.monotonic() < until:
            time.sleep(0.02)

    def _work(self) -> None:
        while True:
            client, job = self._next()
            try:
                if self._most is not None and clock.monotonic() - job.since > PATIENCE:
                    job.refuse()
                else:
                    job.run()
            except Exception:
                # As a loop that was closed meanwhile; without this the thread would be lost.
                log.exception("thread_failed")
            finally:
                with self._lock:
                    self._under_way -= 1
                    self._at_work[client] -= 1
                    if not self._at_work[client]:
                        del self._at_work[client]
                    self._moved_at = clock.monotonic()
                    # What had to wait for this one may be the turn of another thread, which sleeps.
                    self._arrived.notify()
            # Else the last request would be held until the next one comes.
            del job
