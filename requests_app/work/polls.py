"""Wakes the calls that wait for events of a signal stream, as soon as there is an event.

One thread in each process of the web server (`requests_app.work.lookout`) asks the database for all calls that wait
there. So a call is answered at once, although it holds no thread and no connection while it waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID

from requests_app.operations import signal_polls
from requests_app.platform.waiting import NEWS_WANTED, News


class Hub:
    """The streams for whose events somebody waits, each with what wakes the calls that wait."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, list[News]] = {}
        self._lock = threading.Lock()

    def wait_for(self, stream_id: UUID) -> tuple[News, Callable[[], None]]:
        """Return what is rung when this stream has events, and a function to call when nobody waits any more."""
        news = News()
        with self._lock:
            self._waiting.setdefault(stream_id, []).append(news)
        NEWS_WANTED.set()

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
            return False
        for stream in signal_polls.with_events(waiting):
            for news in waiting[stream]:
                news.ring()
        return True


HUB = Hub()
