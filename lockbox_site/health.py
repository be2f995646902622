"""Tells operators and load balancers whether this process runs, and whether each part of the installation works.

Every answer comes within `ANSWER_WITHIN`. However many callers there are, only three threads query the database: one
checks that it can be read, one that it can be written, and one checks the other parts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from lockbox_site import readiness
from lockbox_site.doctor.question import is_question
from lockbox_site.readiness import ALL, PARTS, STATES, Check, bad
from requests_app.domain import clock
from requests_app.platform import statics
from requests_app.platform.database import bounds

ANSWER_WITHIN = 1.5
#: Seconds between two attempts to write.
WRITE_EVERY = 10.0
#: For how many seconds the result of a write is valid while the next write runs. On SQLite, that write may have to
#: wait.
WRITE_COUNTS_FOR = 12.0
#: How many seconds to wait for the next result while the last one is still valid.
SHORTLY = 0.08

_Checks = dict[str, Check]


class Prober:
    """Runs one set of checks in a thread of its own, never twice at the same time, and stores the result.

    The check's wait for the database is limited. A check that takes too long blocks this thread and its connection, but
    no caller.
    """

    def __init__(self, name: str, check: Callable[[], _Checks], *, every: float = 0, counts_for: float = 0) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"probe-{name}")
        self._check, self._every, self._counts_for = check, every, counts_for
        self._lock = threading.Lock()
        self._running: Future[_Checks] | None = None
        self._began = 0.0
        self._found: tuple[float, _Checks] | None = None

    def ask(self, until: float) -> _Checks:
        """Return a recent result if there is one. Otherwise run the checks and wait until `until`.

        If the checks are not done by then, the result says that the database did not answer in time.
        """
        now = clock.monotonic()
        with self._lock:
            last, age = self._recent(now)
            if last is not None and age < self._every:
                return last
            is_new = self._running is None
            if is_new:
                self._began, self._running = now, self._pool.submit(self._run, now)
            running, began = self._running, self._began
        assert running is not None
        patience = SHORTLY if last is not None else min(until, began + ANSWER_WITHIN) - now
        try:
            return running.result(timeout=max(0.0, patience))
        except TimeoutError:
            if last is not None:
                return last
            late = (
                "The database did not answer in time." if is_new else "An earlier check still waits for the database."
            )
            return {"database": bad(late)}

    def settle(self) -> None:
        """Wait until no check runs, and forget the results. Tests that change databases need this."""
        while (running := self._running) is not None:
            running.exception()
        self._found = None

    def _recent(self, now: float) -> tuple[_Checks | None, float]:
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
    """Answer 200 if this process can render pages.

    The database is not queried. If it were, a failure of the database would cause restarts that do not help.
    """
    if why := statics.why_not_served():
        return _answer({"status": "unavailable", "detail": why}, 503)
    return _answer({"status": "ok", **_seen(request)}, 200)


def _seen(request: HttpRequest) -> dict[str, Any]:
    """Return what arrived of this call, if the doctor of this installation has made it. Others learn nothing."""
    if not is_question(request.META.get("HTTP_X_LOCKBOX_DOCTOR", "")):
        return {}
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return {
        "seen": {
            "scheme": request.scheme,
            "host": request.META.get("HTTP_HOST", ""),
            "forwarded": [hop.strip() for hop in forwarded if hop.strip()],
        }
    }


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if all parts of the installation work, and 503 if one does not.

    With `?part=`, check only this part.
    """
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
