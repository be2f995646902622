"""Tells operators and load balancers whether this process lives, and whether a part of the whole is fit for work.

No answer waits longer than `ANSWER_WITHIN`. The database is asked in three threads, however often somebody calls: one
looks whether it can be read, one whether it can be written, one what the other parts have left in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from lockbox_site import readiness
from lockbox_site.readiness import ALL, PARTS, STATES, Check, bad
from requests_app.domain import clock
from requests_app.platform import statics
from requests_app.platform.database import bounds

ANSWER_WITHIN = 1.5
#: A write is tried no more often than this.
WRITE_EVERY = 10.0
#: An older result of a write says nothing. A younger one counts while the next write is under way, which on SQLite may
#: have to wait for its turn.
WRITE_COUNTS_FOR = 12.0
#: Waited so long for the next result where there is one that still counts.
SHORTLY = 0.08

_Checks = dict[str, Check]


class Prober:
    """Runs one set of checks in a thread of its own, never twice at a time, and keeps what it found.

    Each of its waits for the database has an end of its own. A check that takes longer holds this thread and its
    connection, and nobody waits for it.
    """

    def __init__(self, name: str, check: Callable[[], _Checks], *, every: float = 0, counts_for: float = 0) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"probe-{name}")
        self._check, self._every, self._counts_for = check, every, counts_for
        self._lock = threading.Lock()
        self._running: Future[_Checks] | None = None
        self._began = 0.0
        self._found: tuple[float, _Checks] | None = None

    def ask(self, until: float) -> _Checks:
        """Return what was found lately, or is found by `until`; else say that the database did not answer."""
        now = clock.monotonic()
        with self._lock:
            kept, age = self._kept(now)
            if kept is not None and age < self._every:
                return kept
            is_new = self._running is None
            if is_new:
                self._began, self._running = now, self._pool.submit(self._run, now)
            running, began = self._running, self._began
        assert running is not None
        patience = SHORTLY if kept is not None else min(until, began + ANSWER_WITHIN) - now
        try:
            return running.result(timeout=max(0.0, patience))
        except TimeoutError:
            if kept is not None:
                return kept
            late = (
                "The database did not answer in time." if is_new else "An earlier check still waits for the database."
            )
            return {"database": bad(late)}

    def settle(self) -> None:
        """Wait until nothing runs and forget what was found, for tests, whose databases come and go."""
        while (running := self._running) is not None:
            running.exception()
        self._found = None

    def _kept(self, now: float) -> tuple[_Checks | None, float]:
        if self._found is None or now - self._found[0] > self._counts_for:
            return None, 0.0
        return self._found[1], now - self._found[0]

    def _run(self, began: float) -> _Checks:
        try:
            with bounds.within(bounds.probe(seconds=ANSWER_WITHIN)):
                found = self._check()
            self._found = (began, found)
            return found
        finally:
            connection.close()
            with self._lock:
                self._running = None


_base = Prober("read", lambda: readiness.base())
_write = Prober("write", lambda: {"write": readiness.write()}, every=WRITE_EVERY, counts_for=WRITE_COUNTS_FOR)
_states = Prober("parts", lambda: readiness.states(STATES))
PROBERS = (_base, _write, _states)


def healthz(request: HttpRequest) -> HttpResponse:
    """Say that the process answers and can make pages. It asks nobody, or a sick database would have it restarted."""
    if why := statics.why_not_served():
        return _answer({"status": "unavailable", "detail": why}, 503)
    return _answer({"status": "ok"}, 200)


def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether a part is fit for work, or without `?part=` whether all are well; 503 where one check fails."""
    part = request.GET.get("part")
    if part is not None and part not in PARTS:
        return _answer(
            {"status": "unknown", "detail": f"There is no such part. The parts are {', '.join(PARTS)}."}, 400
        )
    checks = _checks_in_time(ALL if part is None else PARTS[part])
    fit = readiness.is_fit(checks)
    return _answer({"status": "ok" if fit else "unavailable", "checks": checks}, 200 if fit else 503)


def _answer(body: dict[str, Any], status: int) -> HttpResponse:
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def _checks_in_time(names: tuple[str, ...]) -> _Checks:
    until = clock.monotonic() + ANSWER_WITHIN
    found = {"static": readiness.static()} if "static" in names else {}
    base = _base.ask(until)
    found |= base
    if readiness.is_fit(base):
        if "write" in names:
            found |= _write_or_not(until)
        if STATES.keys() & set(names):
            found |= _states.ask(until)
    return {name: check for name, check in found.items() if name in names}


def _write_or_not(until: float) -> _Checks:
    found = _write.ask(until)
    return found if "write" in found else {"write": bad(found["database"]["detail"])}
