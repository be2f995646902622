"""Limits how many passwords a web process hashes at the same time.

One hash needs 100 MiB and all cores, and anybody on the internet can cause one. Without a limit, 180 simultaneous
sign-ins used 3.3 GB, and each of them held a thread. Commands and workers have no limit, because they hash one password
after another.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import hashers
from django.db import connection

from requests_app.domain.errors import Busy

R = TypeVar("R")

#: How long a thread of the web server waits for its turn. It waits less if it holds the locks of a transaction.
WAIT_SECONDS, LOCKED_WAIT_SECONDS = 1.0, 0.2
#: Hashing has a lower priority than pages. On a busy core, it still gets a third of the time.
NICENESS = 5

_of_thread = threading.local()


class Gate:
    """Computes at most `at_once` hashes at the same time. At most `most` threads compute a hash or wait for one.

    One place is never given to a sign-in. So even if many people sign in, a person can still confirm their identity,
    for example for an approval.
    """

    def __init__(self, *, at_once: int, most: int) -> None:
        self._most, self._taken, self._lock = most, 0, threading.Lock()
        self._most_of_strangers, self._strangers = max(1, most - 1), 0
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="hash", initializer=_begin)

    @contextmanager
    def place(self, *, is_strangers: bool = False) -> Iterator[None]:
        """Hold a place until the block ends. Raise Busy if all places are taken.

        A thread that already has a place does not take another one. `is_strangers` means that the place is for a
        sign-in.
        """
        if getattr(_of_thread, "has_place", False):
            yield
            return
        with self._lock:
            if self._taken >= self._most or (is_strangers and self._strangers >= self._most_of_strangers):
                raise Busy
            self._taken += 1
            self._strangers += is_strangers
        _of_thread.has_place = True
        try:
            yield
        finally:
            _of_thread.has_place = False
            with self._lock:
                self._taken -= 1
                self._strangers -= is_strangers

    @property
    def is_full(self) -> bool:
        """Whether a sign-in would be refused now because all places are taken."""
        return self._taken >= self._most or self._strangers >= self._most_of_strangers

    def run(self, work: Callable[[], R]) -> R:
        """Run `work` when a core is free, and return its result. Raise Busy if `work` could not begin in time."""
        if getattr(_of_thread, "is_hashing", False):  # a hasher that calls itself
            return work()
        with self.place():
            future = self._pool.submit(work)
            try:
                return future.result(LOCKED_WAIT_SECONDS if connection.in_atomic_block else WAIT_SECONDS)
            except NotYet:
                if future.cancel():
                    raise Busy from None
                return future.result()  # it is being worked


def _begin() -> None:
    _of_thread.is_hashing = True
    if sys.platform == "linux":  # elsewhere this is the whole process
        with suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)


_gate: Gate | None = None


def bound() -> None:
    """Limit the hashing in this web process from now on.

    At most a quarter of its threads may compute or wait. All web processes together use all cores except one.
    """
    global _gate
    most = max(1, settings.WEB_THREADS // 4)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    _gate = Gate(at_once=max(1, min((cores - 1) // settings.WEB_WORKERS, most // 2)), most=most)


def place_of_a_stranger() -> AbstractContextManager[None]:
    """Hold a place for a sign-in until the block ends. Raise Busy if all places are taken.

    Take the place before the guess is counted and the password is hashed.
    """
    return _gate.place(is_strangers=True) if _gate else nullcontext()


def is_full() -> bool:
    return _gate is not None and _gate.is_full


@contextmanager
def ahead(password: str) -> Iterator[None]:
    """Hash a new password now, before an act takes its locks.

    If this thread hashes the same password inside the block, it gets this result without computing it again.
    """
    _of_thread.ahead = password, hashers.make_password(password)
    try:
        yield
    finally:
        _of_thread.ahead = None


def _run(work: Callable[[], R]) -> R:
    return _gate.run(work) if _gate else work()


class _InTurn(hashers.BasePasswordHasher):
    """Makes a hasher wait until the process may compute one more hash."""

    def encode(self, *args: Any, **more: Any) -> str:
        return _run(lambda: super(_InTurn, self).encode(*args, **more))

    def verify(self, *args: Any, **more: Any) -> bool:
        return _run(lambda: super(_InTurn, self).verify(*args, **more))


class Argon2PasswordHasher(_InTurn, hashers.Argon2PasswordHasher):
    """Django's hasher, with a limit on simultaneous hashes.

    If `ahead` has already hashed the password, that hash is returned.
    """

    def encode(self, password: str, *args: Any, **more: Any) -> str:
        prepared = getattr(_of_thread, "ahead", None)
        if prepared is not None and prepared[0] == password:
            return str(prepared[1])
        return super().encode(password, *args, **more)


class PBKDF2PasswordHasher(_InTurn, hashers.PBKDF2PasswordHasher):
    """Django's hasher, with a limit on simultaneous hashes."""
