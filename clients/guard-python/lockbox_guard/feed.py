"""Follows Lockbox's feed: which grants have ended, and what time it is there."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from lockbox_guard.lockbox import VERSION, Lockbox, Refused

log = logging.getLogger(__name__)
#: Of the system: the module's own functions would change what the program gets from a seed.
_RANDOM = random.SystemRandom()
#: Seconds without a sign after which nothing is allowed, and the longest wait for the next byte.
SILENT_AFTER, READ_FOR = 15.0, 12.0
#: Seconds for which an ended grant is remembered. A token lives 300 seconds.
REMEMBERED_FOR = 3600.0
LINE_MAX, WAIT_MIN, WAIT_MAX = 8 * 1024 * 1024, 0.25, 5.0
#: Nobody can set this clock. On Linux it also counts the time in which the machine sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 1))


def clock() -> float:
    return time.clock_gettime(_CLOCK)


def instant(text: str) -> float:
    """Return a time of the protocol in seconds since 1970."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Feed:
    """The ends of windows of one service. A thread follows them. The wall clock of this machine has no influence."""

    def __init__(self, lockbox: Lockbox, guard: Callable[[], str], changed: Callable[[bool], None]) -> None:
        self._lockbox, self._guard, self._changed = lockbox, guard, changed
        self.ahead, self._heard, self._last_id = 0.0, float("-inf"), ""  # the time at Lockbox is the clock + ahead
        self.closed: dict[str, float] = {}
        self.ready, self.ends = threading.Event(), threading.Event()
        threading.Thread(target=self._follow, name="lockbox-feed", daemon=True).start()

    def now(self) -> float:
        """Return the time at Lockbox. Refuse if the last sign is too old to know what has ended."""
        here = clock()
        if here - self._heard >= SILENT_AFTER or self.ends.is_set():
            raise Refused("feed_silent")
        return here + self.ahead

    def _follow(self) -> None:
        wait = WAIT_MIN
        while not self.ends.is_set():
            heard = self._heard
            try:
                self._read()
            except Exception as error:  # this thread must not end
                log.warning("The feed of Lockbox broke off: %r", error)
            wait = WAIT_MIN if self._heard > heard else min(wait * 2, WAIT_MAX)
            self.ends.wait(wait * _RANDOM.uniform(0.5, 1))

    def _read(self) -> None:
        """Read one connection until it ends. Its first message is the state."""
        bearer, sent, fields, has_state = self._lockbox.bearer(), clock(), dict[str, str](), False
        headers = {"Accept": "text/event-stream", "Authorization": bearer, "Last-Event-ID": self._last_id}
        query = urlencode({"guard": self._guard(), "version": VERSION})
        with self._lockbox.open(f"/api/v1/guard/feed?{query}", None, headers, READ_FOR) as answer:
            if answer.status == 401:
                self._lockbox.bearer(refused=bearer)
            if answer.status != 200:
                raise ConnectionError(f"/api/v1/guard/feed: {answer.status}")
            for line in iter(lambda: answer.readline(LINE_MAX).decode(), ""):
                name, _, value = line.strip().partition(":")
                if name:
                    fields[name] = value.strip()
                elif not value and "data" in fields:  # an empty line ends a message
                    has_state = has_state or fields.get("event") == "state"
                    if has_state:
                        self._take(fields.get("event", ""), json.loads(fields["data"]), sent)
                        self._last_id = fields.get("id", self._last_id)
                    fields = {}
                if self.ends.is_set() or (has_state and clock() - self._heard >= SILENT_AFTER):
                    raise ConnectionError("no sign for 15 seconds")

    def _take(self, kind: str, message: dict[str, Any], sent: float) -> None:
        here = clock()
        if kind == "state":
            self.closed.update((ended["grant_id"], here) for ended in message["closed"])
            # Lockbox wrote this time after `sent`. So our time is never late, and early by the wait at most.
            self.ahead, self._heard = instant(message["at"]) - sent, here
            self.ready.set()
        elif kind == "sign":
            ahead = instant(message["at"]) - here
            if self.ahead - ahead >= SILENT_AFTER:
                raise ConnectionError("something between here and Lockbox delays the feed")
            # Of all messages, the least delayed one knows the time best.
            self.ahead, self._heard = max(self.ahead, ahead), here
            self.closed = {grant: at for grant, at in self.closed.items() if here - at < REMEMBERED_FOR}
        elif kind == "closed":
            self.closed[message["grant_id"]] = here
        self._changed(kind == "keys")
