"""A pool of threads that run requests. A thread takes the next request only when it is free."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

import structlog

from requests_app.domain import clock
from requests_app.platform.frames import in_one_chunk

log = structlog.get_logger(__name__)


#: A request that no thread has begun within this many seconds is refused, because its client may have given up. It can
#: be sent again.
PATIENCE = 5.0


class Full(Exception):
    """The job was refused, because the queue is full or because the job waited too long.

    It did not run, and never will.
    """


class Job:
    """A unit of work that can be cancelled until it begins. `future` gets its result."""

    __slots__ = ("_begun", "_lock", "_loop", "future", "may_wait", "since", "work")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work, self._loop = work, loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self._begun, self._lock = False, threading.Lock()
        self.since = clock.monotonic()
        #: Whether it may wait for a thread.
        self.may_wait = False

    def refuse(self) -> None:
        """Raise Full in the caller that waits for this job. Do nothing if the job has begun."""
        if self.take_back():
            self._loop.call_soon_threadsafe(_settle, self.future, None, Full())

    def take_back(self) -> bool:
        """Cancel the job. Return False if it has begun already; it then runs to its end."""
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
    """A fixed number of threads with a queue. Each thread has a database connection of its own.

    Clients are served in turn, one request each, so a client that sends many requests delays only itself. One client
    can use at most `most_of_one` threads at a time, because a long request that runs can't be cancelled. `most_waiting`
    limits the length of the queue. If the queue is full and a client with few waiting requests sends another one, the
    client with the most waiting requests loses its last one.

    The thread that was free for the shortest time gets the next job. Each thread that has run requests fills its own
    memory: a connection to the database with its statements and pages, and an arena of malloc(3). So no more threads
    do this than requests have run at the same time.
    """

    def __init__(
        self, name: str, *, threads: int, most_waiting: int | None = None, most_of_one: int | None = None
    ) -> None:
        self.threads, self._most, self._most_of_one = threads, most_waiting, most_of_one or threads
        self._queues: OrderedDict[str, deque[Job]] = OrderedDict()
        self._lock, self._under_way = threading.Lock(), 0
        # The number of running jobs of each client.
        self._at_work = Counter[str]()
        # What each free thread waits for. The one that became free last is at the end.
        self._free: list[threading.Condition] = []
        # When a thread last became free or busy, or a job entered the empty queue.
        self._moved_at = clock.monotonic()
        for number in range(threads):
            # Daemon threads, because a thread that is blocked in a driver must not delay the end of the process.
            threading.Thread(target=in_one_chunk, args=(self._work,), name=f"{name}-{number + 1}", daemon=True).start()

    @property
    def stalled_for(self) -> float:
        """The number of seconds in which no job has begun or ended. 0 if a thread is free and no job waits."""
        is_busy = self._under_way >= self.threads or self._queues
        return clock.monotonic() - self._moved_at if is_busy else 0.0

    @property
    def free(self) -> int:
        """How many threads wait for a job."""
        return len(self._free)

    @property
    def is_waited_for(self) -> bool:
        return bool(self._queues)

    def submit(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop, *, client: str = "") -> Job:
        """Queue the work. Raise Full if too many jobs wait already."""
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
            if self._free:
                self._free.pop().notify()
        return job

    def _make_room(self, client: str) -> None:
        longest = max(self._queues.values(), key=len, default=deque())
        if len(longest) <= len(self._queues.get(client, ())) + 1:
            raise Full
        longest.pop().refuse()
        self._under_way -= 1

    def _next(self, arrived: threading.Condition) -> tuple[str, Job]:
        """Wait for a job that can run, and return it with its client. The clients take turns."""
        with self._lock:
            while (client := self._whose_turn()) is None:
                self._free.append(arrived)
                arrived.wait()
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
        arrived = threading.Condition(self._lock)
        while True:
            client, job = self._next(arrived)
            try:
                if self._most is not None and clock.monotonic() - job.since > PATIENCE:
                    job.refuse()
                else:
                    job.run()
            except Exception:
                # For example, the loop was closed meanwhile. Without this, the thread would be lost.
                log.exception("thread_failed")
            finally:
                with self._lock:
                    self._under_way -= 1
                    self._at_work[client] -= 1
                    if not self._at_work[client]:
                        del self._at_work[client]
                    # At most one job may run now that waited for this one, and this thread looks for it next.
                    self._moved_at = clock.monotonic()
            # Otherwise the last request would stay in memory until the next one arrives.
            del job
