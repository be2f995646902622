"""Runs a cluster of django-q2 in fewer processes, and wakes them when there is work.

django-q2's own cluster has a main process that only waits, looks twice a second whether its processes live, and always
has all its workers. Here the main process is the sentinel itself, and it is woken when a process ends or a task comes.
It begins with one worker. It forks another one, up to `workers`, if no task is taken although tasks wait. One after the
other ends when it was not needed for a while.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import uuid
from multiprocessing.connection import wait
from typing import Any

from django.db import connections
from django_q import cluster
from django_q.conf import Conf
from django_q.queues import Queue

from requests_app.domain import clock
from requests_app.platform import chime

#: How long a task waits before another worker is forked for it, if no other task is taken meanwhile.
PATIENCE_SECONDS = 0.5
LOCK_SECONDS = 1.0
#: A worker that was not needed for this long ends.
SPARE_AFTER_SECONDS = 15.0
#: How long after it the next one ends, if that one is not needed either.
NEXT_AFTER_SECONDS = 10.0


class TaskQueue(Queue):
    """The inner queue of a cluster. A task in it wakes the sentinel, and a worker that is not needed ends here."""

    def __init__(self, *, maxsize: int, bell: int) -> None:
        super().__init__(maxsize=maxsize)
        self._bell = bell
        #: How many workers are to end.
        self.surplus = multiprocessing.Value("i", 0)

    def put(self, *args: Any, **kwargs: Any) -> None:
        super().put(*args, **kwargs)
        # If the pipe is full, the sentinel will wake anyway.
        with contextlib.suppress(OSError):
            os.write(self._bell, b"!")

    def get(self, *args: Any, **kwargs: Any) -> Any:
        with self.surplus.get_lock():
            if self.surplus.value > 0:
                self.surplus.value -= 1
                return "STOP"
        return super().get(*args, **kwargs)


class Sentinel(cluster.Sentinel):
    """Guards the processes of a cluster until SIGTERM or SIGINT. It is the cluster's main process."""

    def __init__(self, *, is_run_once: bool = False) -> None:
        """With `is_run_once`, the cluster ends as soon as it has done what waits now."""
        self._hearing, self._bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_stopping = is_run_once
        #: The number of tasks that waited at the last look, and when it was.
        self._waited, self._last_at = 0, clock.monotonic()
        self._busy: set[int | None] = set()
        self._needed_at = clock.monotonic()
        super().__init__(multiprocessing.Event(), multiprocessing.Event(), uuid.uuid4(), start=False)
        self.task_queue = TaskQueue(maxsize=Conf.QUEUE_LIMIT, bell=self._bell)
        self.most, self.pool_size = Conf.WORKERS, 1
        os.register_at_fork(after_in_child=_in_child)
        signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_soon)

    def _stop_soon(self, *_: object) -> None:
        self._is_stopping = True

    def guard(self) -> None:
        """Look after the processes, until a signal asks for the end."""
        self.start_event.set()
        self.look()
        while not self._is_stopping:
            self._rest()
            self.look()
        self.stop_event.set()
        self.event_out.set()
        # The pusher may rest for seconds.
        chime.strike()
        self.stop()

    def look(self) -> None:
        """Replace the processes that have ended, or whose task takes too long, and adapt the number of workers."""
        now = clock.monotonic()
        passed, self._last_at = now - self._last_at, now
        for process in list(self.pool):
            self._look_at(process, passed)
        self._busy = {process.pid for process in self.pool if _left(process) > 0}
        for process in (self.monitor, self.pusher):
            if not process.is_alive():
                self.reincarnate(process)
        self._adapt(now)

    def _look_at(self, process: Any, passed: float) -> None:
        if not process.is_alive() and process.exitcode == 0 and _left(process) == -1:
            self.pool.remove(process)
            # While one worker exits, the last one can be asked to end, too.
            if not self.pool:
                self._add()
        elif not process.is_alive() or _left(process) == 0:
            self.reincarnate(process)
        elif process.pid in self._busy:
            lock = process.timer.get_lock()
            # A worker that was killed can hold the lock for ever.
            if lock.acquire(timeout=LOCK_SECONDS):
                # A task that has just ended has set its time to -1.
                if _left(process) > 0:
                    process.timer.value = max(0.0, process.timer.value - passed)
                lock.release()

    def _adapt(self, now: float) -> None:
        """Fork one more worker if no task is taken although tasks wait. Let one end if none was needed for a while."""
        waiting, before = self.task_queue.qsize(), self._waited
        self._waited = waiting
        if waiting and before and waiting >= before and len(self.pool) < self.most:
            self.task_queue.surplus.value = 0
            self._needed_at = now
            self._add()
        elif now - self._needed_at > SPARE_AFTER_SECONDS and len(self.pool) > 1:
            self.task_queue.surplus.value = 1
            self._needed_at = now - SPARE_AFTER_SECONDS + NEXT_AFTER_SECONDS

    def _add(self) -> None:
        connections.close_all()
        self.spawn_worker()

    def _rest(self) -> None:
        """Wait until a process ends, or until it is time to look. A new task is left to the workers for a moment."""
        processes = [process.sentinel for process in (*self.pool, self.monitor, self.pusher)]
        until = clock.monotonic() + (PATIENCE_SECONDS if self._waited else Conf.GUARD_CYCLE)
        while (left := until - clock.monotonic()) > 0 and not self._is_stopping:
            ready = wait([self._hearing, *processes], left)
            if not ready:
                return
            if self._hearing not in ready:
                return
            with contextlib.suppress(BlockingIOError):
                os.read(self._hearing, 65_536)
            self._waited = self._waited or self.task_queue.qsize()
            until = min(until, clock.monotonic() + PATIENCE_SECONDS)
            if len(ready) > 1:
                return


def _left(process: Any) -> float:
    """Return how many seconds a worker's task may take from now on, or -1 if the worker has none."""
    return float(process.timer.get_obj().value)


def _in_child() -> None:
    """Let SIGTERM end the processes of the cluster, and leave the signals of a terminal to their sentinel."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
