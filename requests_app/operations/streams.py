"""Limits how many streams of content are open in this process, and ends each one when its window ends.

The server requests the next chunk when its client has received the last one. So a client that stops reading would delay
the check of the window, and also the entry that says that the stream was cut off. Therefore a thread checks all open
streams: after each commit on this host, and at regular intervals (`requests_app.work.lookout`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from django.db import DatabaseError, close_old_connections, connection
from django.utils.translation import gettext_lazy as _

from requests_app.domain import clock
from requests_app.domain.errors import DomainError
from requests_app.models import Grant
from requests_app.platform.outages import Outage
from requests_app.platform.slots import Slot, Slots
from requests_app.platform.waiting import CONTENT_WANTED, Ending

log = structlog.get_logger(__name__)

#: A stream asks the database again after this many seconds.
RECHECK_SECONDS = 0.25
#: The most downloads at the same time under one grant, in one process.
MOST_PER_GRANT = 2

#: Each download needs more memory than a call that waits.
SHARE_OF_CONTENT = 4

DOWNLOADS = Slots(
    own_taken=_("Two downloads are already running in this access window. Wait until one of them has ended."),
    all_taken=_("Too many downloads are running at the moment. Try again in a minute."),
    share=SHARE_OF_CONTENT,
)
#: Re-entrant, because the garbage collector may end an abandoned stream while this thread holds the lock.
_lock = threading.RLock()
_open: set[Watched] = set()
#: Set when a stream was cut whose entry is not written yet.
_unnoted = threading.Event()


class WindowClosed(Exception):
    """The window of a stream has ended, or the database does not answer. It is raised while the stream is read."""


class DownloadSlot(Slot):
    """One slot for a download. Slots are counted by grant."""

    def __init__(self) -> None:
        super().__init__(DOWNLOADS, most=MOST_PER_GRANT)


class Watched:
    """One open stream. `note` writes the log entry that says that the stream was cut off."""

    def __init__(self, grant_id: UUID, *, ends: float, note: Callable[[], None], ending: Ending | None = None) -> None:
        self.grant_id, self.is_cut = grant_id, False
        self._ends, self._note = ends, note
        self._ending = ending or Ending()
        self._checked = float("-inf")
        self._turn = threading.Lock()
        self._is_noted = self._has_ended = False
        #: Whether the server's log says that the entry could not be written.
        self.is_reported = False

    def require_open(self) -> None:
        """Raise WindowClosed if the window has ended.

        In that case, also write the entry about it, if it is not written yet. The database is asked unless the thread
        that checks all streams has asked about this window within RECHECK_SECONDS, and it was open.
        """
        present, is_live = clock.monotonic(), True
        if present - self._checked >= RECHECK_SECONDS:
            is_live = bool(live([self.grant_id]))
            self.was_asked(present)
        self.look(is_live=is_live)
        if self.is_cut:
            raise WindowClosed

    def was_asked(self, asked_at: float) -> None:
        """Remember that the database was asked about this window at this time of the monotonic clock."""
        self._checked = max(self._checked, asked_at)

    def look(self, *, is_live: bool) -> None:
        """Cut the stream off if its window is not live, or if its planned end has passed on the monotonic clock.

        The reader's thread and the watching thread may call this at the same time. The entry is written only once.
        """
        if self.cut(is_live=is_live):
            self.note()

    def cut(self, *, is_live: bool) -> bool:
        """As `look`, but write no entry. Return whether the stream is cut.

        From now on, the stream yields nothing more, and the web server breaks the connection. Neither waits for the
        database, nor for a reader who is slow.
        """
        if self.is_cut:
            return True
        if is_live and clock.monotonic() < self._ends:
            return False
        with self._turn:
            if self._has_ended:
                return self.is_cut
            self.is_cut = True
        self._ending.come()
        return True

    def note(self) -> None:
        """Write the entry that says that the stream was cut off, if it is not written yet."""
        with self._turn:
            if not self._is_noted:
                self._note()
                self._is_noted = True

    @property
    def is_unnoted(self) -> bool:
        return self.is_cut and not self._is_noted

    def end(self) -> None:
        """Mark the stream as ended, so that it can't be cut off any more.

        The reader has received everything or has disconnected, or the stream was cut off.
        """
        with self._turn:
            self._has_ended = True

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do. It is False while the entry about a cut stream could not be written yet."""
        return self._has_ended and self._is_noted is self.is_cut


@contextmanager
def watched(
    grant_id: UUID, *, ends: float, note: Callable[[], None], ending: Ending | None = None
) -> Iterator[Watched]:
    """Watch a stream until the block ends. `ending` comes when the stream is cut off."""
    stream = Watched(grant_id, ends=ends, note=note, ending=ending)
    with _lock:
        _open.add(stream)
    CONTENT_WANTED.set()
    try:
        yield stream
    finally:
        stream.end()
        _forget(stream)


def live(grant_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of these grants that are live now. If the database does not answer, return an empty set."""
    try:
        return set(Grant.objects.live(clock.now()).filter(pk__in=list(grant_ids)).values_list("pk", flat=True))
    except DatabaseError:
        return set()


# --- The watch -------------------------------------------------------------------------------------------


def keep_watch() -> None:
    """Start the thread that writes the entries about streams that were cut. The web server calls this once."""
    threading.Thread(target=_keep_noting, name="cuts", daemon=True).start()


def look_at_all() -> bool:
    """Cut off all streams whose window has ended, and write the entries. Return False if no stream is open."""
    if not cut_ended():
        return False
    note_cuts()
    return True


def cut_ended() -> bool:
    """Cut off all streams whose window has ended. Return False if no stream is open.

    The entries are written by another thread. One entry can wait for the tenant's log, and no stream may wait for it.
    """
    with _lock:
        streams = list(_open)
    if not streams:
        return False
    asked_at = clock.monotonic()
    still = live({stream.grant_id for stream in streams})
    for stream in streams:
        if stream.cut(is_live=stream.grant_id in still):
            _unnoted.set()
        else:
            stream.was_asked(asked_at)
        _forget(stream)
    return True


def note_cuts() -> bool:
    """Write the entries about streams that were cut. Return whether all of them are written."""
    with _lock:
        streams = [stream for stream in _open if stream.is_unnoted]
    for stream in streams:
        try:
            stream.note()
        except (DomainError, DatabaseError) as error:
            # The stream yields nothing more. The entry is written as soon as this is possible.
            if not stream.is_reported:
                log.warning("cut_not_recorded", grant=str(stream.grant_id), error=type(error).__name__)
            stream.is_reported = True
        _forget(stream)
    return not any(stream.is_unnoted for stream in streams)


def _forget(stream: Watched) -> None:
    if stream.is_over:
        with _lock:
            _open.discard(stream)


def _keep_noting() -> None:
    outage = Outage("cuts_failed")
    while True:
        _unnoted.wait()
        _unnoted.clear()
        try:
            while not note_cuts():
                time.sleep(RECHECK_SECONDS)
                # One that has broken would stay broken.
                close_old_connections()
            outage.worked()
        except Exception:
            # Every exception is caught: without this thread, no entry about a stalled stream would be written.
            if outage.failed():
                log.exception("cuts_failed")
            _unnoted.set()
            time.sleep(RECHECK_SECONDS)
        finally:
            # A connection for the few moments in which streams are cut.
            connection.close()
