"""Limits how often one caller can call. Each web process counts separately, under a lock.

This prevents one caller from blocking all others. The limits that protect secrets are elsewhere, and count over all
processes.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass

from requests_app.domain import clock

WINDOW = 60.0
#: How many callers are remembered. If there are more, the oldest are forgotten.
_MOST = 10_000


@dataclass(frozen=True)
class QuotaStatus:
    """`left` of `limit` calls are available. After `reset` seconds, all of them are available again."""

    name: str
    limit: int
    left: int
    reset: int
    is_over: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.limit};w={int(WINDOW)}',
            "RateLimit": f'"{self.name}";r={self.left};t={self.reset}',
        }


class Quota:
    def __init__(self, name: str) -> None:
        self._name, self._lock = name, threading.Lock()
        self._taken: dict[Hashable, tuple[float, int]] = {}

    def take(self, caller: Hashable, limit: int, *, places: int = 1, name: str = "") -> QuotaStatus:
        """Take places of the caller's quota, and return how many are left. `name` is another name for this quota."""
        now = clock.monotonic()
        with self._lock:
            since, count = self._taken.get(caller, (now, 0))
            if now - since >= WINDOW:
                since, count = now, 0
            is_over = count + places > limit
            if not is_over:
                count += places
            self._taken[caller] = (since, count)
            if len(self._taken) > _MOST:
                self._forget(now)
        reset = max(1, int(WINDOW - (now - since)) + 1)
        return QuotaStatus(name or self._name, limit, limit - count, reset, is_over)

    def clear(self) -> None:
        with self._lock:
            self._taken.clear()

    def _forget(self, now: float) -> None:
        live = {who: taken for who, taken in self._taken.items() if now - taken[0] < WINDOW}
        newest = sorted(live.items(), key=lambda item: item[1][0])[-_MOST // 2 :]
        self._taken = dict(newest)


CALLS = Quota("calls")
