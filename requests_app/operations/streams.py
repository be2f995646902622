"""The open streams of this process: limits their number, and ends each with its window, even if nobody reads it.

A server asks for the next chunk when its client has taken the last one. So a client that stops reading would delay
both the check of the window and the entry of the cut. Therefore a thread checks all open streams.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.domain.errors import DomainError, TooMany
from requests_app.models import Grant

log = structlog.get_logger(__name__)

#: How long a stream may run on what it last heard from the database, in seconds.
RECHECK_SECONDS = 0.25
#: Downloads that may run side by side under one grant, in one process.
MOST_PER_GRANT = 2

#: Re-entrant: the garbage collector returns what a reader forgot, perhaps in the middle of a change.
_lock = threading.RLock()
_places: Counter[UUID] = Counter()
_open: set[Watched] = set()
_begun = threading.Event()


class WindowClosed(Exception):
    """Raised in the middle of a stream: the window is closed, or the database can't be asked."""


class DownloadSlot:
    """A place for one download: each download holds memory and a connection for as long as its reader likes."""

    def __init__(self) -> None:
        self._grant_id: UUID | None = None

    def take(self, grant_id: UUID) -> None:
        """Take a place. Raise TooMany if this window, or this process, has too many downloads under way."""
        with _lock:
            if _places[grant_id] >= MOST_PER_GRANT:
                raise TooMany(_("Two downloads run under this window already. Wait until one of them has ended."))
            if _places.total() >= settings.WEB_STREAMS // 2:
                raise TooMany(_("Too many downloads run here at the moment. Try again when some of them have ended."))
            _places[grant_id] += 1
            self._grant_id = grant_id

    def leave(self) -> None:
        """Release the place; harmless when repeated."""
        with _lock:
            if self._grant_id is not None:
                _places[self._grant_id] -= 1
                if not _places[self._grant_id]:
                    del _places[self._grant_id]
                self._grant_id = None


class Watched:
    """One open stream. `note` writes the entry of its cut."""

    def __init__(self, grant_id: UUID, *, ends: float, note: Callable[[], None]) -> None:
        self.grant_id, self.is_cut = grant_id, False
        self._ends, self._note = ends, note
        self._checked = float("-inf")
        self._turn = threading.Lock()
        self._is_noted = self._has_ended = False

    def require_open(self) -> None:
        """Raise WindowClosed if the window has ended, and write the entry if nobody else has."""
        present, is_live = clock.monotonic(), True
        if present - self._checked >= RECHECK_SECONDS:
            is_live, self._checked = bool(live([self.grant_id])), present
        self.look(is_live=is_live)
        if self.is_cut:
            raise WindowClosed

    def look(self, *, is_live: bool) -> None:
        """Cut this stream if its window is not live, or has ended by the monotonic clock, which nobody can set back.

        The reader's thread and the watch may do this at the same time; the entry is written once.
        """
        if not self.is_cut and is_live and clock.monotonic() < self._ends:
            return
        with self._turn:
            if self._has_ended and not self.is_cut:
                return
            # Before the entry, so that nothing more is given even where that can't be written.
            self.is_cut = True
            if not self._is_noted:
                self._note()
                self._is_noted = True

    def end(self) -> None:
        """Mark the stream as ended: the reader has everything, is gone, or was cut off. It can't be cut any more."""
        with self._turn:
            self._has_ended = True

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do. A cut whose entry could not be written yet is not over."""
        return self._has_ended and self._is_noted is self.is_cut


@contextmanager
def watched(grant_id: UUID, *, ends: float, note: Callable[[], None]) -> Iterator[Watched]:
    """Watch a stream until the block ends."""
    stream = Watched(grant_id, ends=ends, note=note)
    with _lock:
        _open.add(stream)
        _begun.set()
    try:
        yield stream
    finally:
        stream.end()
        _forget(stream)


def live(grant_ids: Iterable[UUID]) -> set[UUID]:
    """Return which of these are live now. If the database does not answer, none is."""
    try:
        return set(Grant.objects.live(clock.now()).filter(pk__in=list(grant_ids)).values_list("pk", flat=True))
    except DatabaseError:
        return set()


# --- The watch -------------------------------------------------------------------------------------------


def keep_watch() -> None:
    """Start to watch the streams of this process. The web server calls it once."""
    threading.Thread(target=_watch, name="streams", daemon=True).start()


def look_at_all() -> bool:
    """Cut the streams whose window has ended. Return False if there is no stream."""
    with _lock:
        streams = list(_open)
        if not streams:
            _begun.clear()
            return False
    still = live({stream.grant_id for stream in streams})
    for stream in streams:
        try:
            stream.look(is_live=stream.grant_id in still)
        except (DomainError, DatabaseError) as error:
            # It gives nothing more already. The entry is written as soon as it can be.
            log.warning("cut_not_recorded", grant=str(stream.grant_id), error=type(error).__name__)
        _forget(stream)
    return True


def _forget(stream: Watched) -> None:
    if stream.is_over:
        with _lock:
            _open.discard(stream)


def _watch() -> None:
    while True:
        _begun.wait()
        close_old_connections()
        try:
            if not look_at_all():
                connection.close()
        except Exception:
            # Any exception: without this thread a stalled stream would not be cut.
            log.exception("watch_failed")
        time.sleep(RECHECK_SECONDS)
