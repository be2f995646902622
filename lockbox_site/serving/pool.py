"""Threads that run requests, and that take the next one only when they are free."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import structlog

from requests_app import clock

log = structlog.get_logger(__name__)


#: A request that no thread has begun with for so long is told to come again, in seconds: its client may have given up.
PATIENCE = 5.0


class Full(Exception):
    """As many wait for a thread as may, or this one has waited for too long. It has not begun, and never will."""


class Job:
    """Something to run, which can be taken back for as long as it has not begun. `future` gets its result."""

    __slots__ = ("_begun", "_lock", "_loop", "future", "since", "work")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work, self._loop = work, loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self._begun, self._lock = False, threading.Lock()
        self.since = clock.monotonic()

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

    Clients that wait are served by turns, one request of each, so one that sends many waits behind itself.
    `most_waiting` bounds the queue and the time in it. Where it is full, the client with most requests in it loses the
    last of them to one with fewer.
    """

    def __init__(self, name: str, *, threads: int, most_waiting: int | None = None) -> None:
        self.threads, self._most = threads, most_waiting
        self._queues: OrderedDict[str, deque[Job]] = OrderedDict()
        self._lock, self._under_way = threading.Lock(), 0
        self._arrived = threading.Condition(self._lock)
        # When a thread last became free, or the last free one was taken.
        self._moved_at = clock.monotonic()
        for number in range(threads):
            # As daemons: a thread that hangs in a driver must not hold up the end of the process.
            threading.Thread(target=self._work, name=f"{name}-{number + 1}", daemon=True).start()

    @property
    def is_busy(self) -> bool:
        """Whether the next job has to wait."""
        return self._under_way >= self.threads

    @property
    def stalled_for(self) -> float:
        """For how many seconds all threads have been at the same work; 0 while one is free."""
        return clock.monotonic() - self._moved_at if self.is_busy else 0.0

    def submit(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop, *, client: str = "") -> Job:
        """Queue the work. Raises Full where too many wait already."""
        job = Job(work, loop)
        with self._lock:
            if self._most is not None and self._under_way >= self.threads + self._most:
                self._make_room(client)
            self._under_way += 1
            if self._under_way == self.threads:
                self._moved_at = clock.monotonic()
            self._queues.setdefault(client, deque()).append(job)
            self._arrived.notify()
        return job

    def _make_room(self, client: str) -> None:
        longest = max(self._queues.values(), key=len, default=deque())
        if len(longest) <= len(self._queues.get(client, ())) + 1:
            raise Full
        longest.pop().refuse()
        self._under_way -= 1

    def _next(self) -> Job:
        """Wait for the next job: the oldest of the client whose turn it is."""
        with self._arrived:
            while not self._queues:
                self._arrived.wait()
            client, queue = self._queues.popitem(last=False)
            job = queue.popleft()
            if queue:
                self._queues[client] = queue
        return job

    def wait_until_idle(self, seconds: float) -> None:
        until = clock.monotonic() + seconds
        while self._under_way and clock.monotonic() < until:
            time.sleep(0.02)

    def _work(self) -> None:
        while True:
            job = self._next()
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
                    self._moved_at = clock.monotonic()
            # Else the last request would be held until the next one comes.
            del job
