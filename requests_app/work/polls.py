"""Wakes the calls that wait for events of a signal stream, as soon as there is an event.

One thread in each process of the web server asks the database for all calls that wait there. So a call is answered at
once, although it holds no thread and no connection while it waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

import structlog
from django.db import close_old_connections, connection

from requests_app.operations import signal_polls
from requests_app.platform.waiting import News

LOOK_SECONDS = 0.1
log = structlog.get_logger(__name__)


class Hub:
    """The streams for whose events somebody waits, each with what wakes the calls that wait."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, list[News]] = {}
        self._lock = threading.Lock()
        self._begun = threading.Event()

    def wait_for(self, stream_id: UUID) -> tuple[News, Callable[[], None]]:
        """Return what is rung when this stream has events, and a function to call when nobody waits any more."""
        news = News()
        with self._lock:
            self._waiting.setdefault(stream_id, []).append(news)
            self._begun.set()

        def leave() -> None:
            with self._lock:
                left = [each for each in self._waiting.get(stream_id, ()) if each is not news]
                if left:
                    self._waiting[stream_id] = left
                else:
                    self._waiting.pop(stream_id, None)

        return news, leave

    def look(self) -> bool:
        """Wake the calls whose stream has an event. Return False if nobody waits."""
        with self._lock:
            waiting = {stream: list(each) for stream, each in self._waiting.items()}
            if not waiting:
                self._begun.clear()
                return False
        for stream in signal_polls.with_events(waiting):
            for news in waiting[stream]:
                news.ring()
        return True

    def watch(self) -> None:
        while True:
            self._begun.wait()
            close_old_connections()
            try:
                if not self.look():
                    connection.close()
            except Exception:
                # Every exception is caught. The web server itself also looks, but less often.
                log.exception("polls_failed")
            time.sleep(LOOK_SECONDS)


HUB = Hub()


def keep_watch() -> None:
    """Start the thread for the calls of this process. The web server calls this once."""
    threading.Thread(target=HUB.watch, name="polls", daemon=True).start()
