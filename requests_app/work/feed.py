"""Tells the guards of applications, as it happens, which windows of their service open and end.

One thread in each process reads the windows of all services that somebody follows. A follower holds no thread and no
connection to the database. It gets what this thread has read.

It looks after each commit on this host (`requests_app.platform.chime`), and four times a second. Usually it reads only
the windows that have begun or ended in the last ten minutes, because ten thousand may be open. It compares them with
those that were open before. So it also notices a change that another transaction commits late, with an earlier time.
And it notices the planned end of a window when the database's clock reaches it, though no sweep has run. Every few
seconds it reads and compares all open windows.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import close_old_connections, connection
from django.utils.translation import gettext_lazy as _

from audit_app.canonical import instant
from requests_app.domain import clock
from requests_app.models import token_keys
from requests_app.platform.chime import Listener, rest_after
from requests_app.platform.outages import Outage
from requests_app.platform.slots import Slots
from requests_app.platform.waiting import News
from requests_app.queries import ends
from requests_app.queries.ends import Window

#: What has changed is read again after this many seconds, and the followers' tokens, the signing keys and all open
#: windows after the others.
LOOK_SECONDS, CHECK_SECONDS, WHOLE_SECONDS = 0.25, 2.0, 5.0
#: After each look, the thread rests for this many times as long as it has worked.
REST_FACTOR = 3
#: A follower gets a sign after this many seconds, a little earlier than promised. A sign is only sent if the windows
#: were read at most FRESH_SECONDS ago.
SIGN_SECONDS, FRESH_SECONDS = 4.5, 1.0
#: The first message has what ended in this time, and each look compares it. A grant token lives for 5 minutes, so an
#: older end can't matter.
RECENT = timedelta(minutes=10)
#: A transaction commits its end of a window at most this long after the time that it gives to it.
LATE = timedelta(minutes=1)
#: A follower that comes back gets the single events of at most this time.
RESUMED = timedelta(hours=1)
#: A follower with more unsent messages than this is cut. When it comes back, its first message has what it missed.
MOST_WAITING = 1000
#: The most feeds of one client in one process. An application has a guard in each of its processes.
MOST_OF_CLIENT = 32

FEEDS = Slots(
    own_taken=_("This API client already follows the feed as often as is allowed at the same time."),
    all_taken=_("Too many applications follow the feed at the moment. Try again in a minute."),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
log = structlog.get_logger(__name__)


class Follower:
    """One feed that is open. `after` is the time that the guard has reached before, if it comes back."""

    def __init__(
        self, hub: Hub, *, token_id: UUID, service_id: UUID, after: datetime | None, news: News | None = None
    ) -> None:
        self.token_id, self.service_id, self.after = token_id, service_id, after
        self.news = news or News()
        self.has_begun = False
        self._hub = hub
        self._waiting: deque[bytes] = deque()
        self._signed = float("-inf")
        self._end = ""
        self._lock = threading.Lock()

    def begin(self, messages: bytes) -> None:
        """Give the follower its first messages, however many. From now on, it also gets signs and events."""
        with self._lock:
            self._waiting.append(messages)
            self.has_begun, self._signed = True, clock.monotonic()
        self.news.ring()

    def tell(self, messages: Iterable[bytes]) -> None:
        with self._lock:
            before = len(self._waiting)
            self._waiting.extend(messages)
            is_news = len(self._waiting) > before
            if len(self._waiting) > MOST_WAITING:
                self._waiting.clear()
                self._end = "too_slow"
        if is_news:
            self.news.ring()

    def end(self, why: str) -> None:
        with self._lock:
            self._end = self._end or why
        self.news.ring()

    def wake_for_sign(self) -> None:
        """Wake the follower if it is to send a sign now."""
        if self.has_begun and self._is_sign_due:
            self.news.ring()

    @property
    def _is_sign_due(self) -> bool:
        return clock.monotonic() - self._signed >= SIGN_SECONDS

    def piece(self) -> bytes | None:
        """Return what is to be sent now. It is empty if there is nothing, and None after the last piece."""
        with self._lock:
            if self._end:
                return None
            found = b"".join(self._waiting)
            self._waiting.clear()
            # The sign is made when it is sent. One that has waited would tell a time that has passed.
            if self.has_begun and self._is_sign_due:
                found += self._sign()
            return found

    def _sign(self) -> bytes:
        at = self._hub.read_just_now()
        if at is None:
            return b""
        self._signed = clock.monotonic()
        return message("sign", {"at": instant(at)}, at)

    @property
    def why(self) -> str:
        """Why the feed has ended, or "" if it has not."""
        return self._end


class Hub:
    """What all feeds of one process share."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()
        self._lock = threading.RLock()
        self._begun = threading.Event()
        self._forget()

    def _forget(self) -> None:
        self._open: dict[UUID, dict[UUID, Window]] = {}
        self._ended: dict[UUID, set[UUID]] = {}
        self._at: datetime | None = None
        self._read = self._checked = self._read_all = float("-inf")
        self._keys = ""

    def follow(self, **facts: Any) -> Follower:
        """Add a follower, which gets its first message after the next look at the windows."""
        follower = Follower(self, **facts)
        with self._lock:
            self._followers.add(follower)
            self._begun.set()
        return follower

    def leave(self, follower: Follower) -> None:
        with self._lock:
            self._followers.discard(follower)

    def read_just_now(self) -> datetime | None:
        """Return the database's time of the last look, or None if the windows were not read in the last second."""
        return self._at if clock.monotonic() - self._read <= FRESH_SECONDS else None

    def look(self) -> bool:
        """Read the windows once, and tell all followers what has changed. Return False if there are no followers."""
        with self._lock:
            followers = list(self._followers)
            if not followers:
                self._begun.clear()
                self._forget()
                return False
        read = clock.monotonic()
        # Read before the windows: everything that was committed until this instant is in them.
        at = max(clock.now(), self._at or _EPOCH)
        if read - self._checked >= CHECK_SECONDS:
            self._check(followers, at)
            self._checked = read
        changes = self._changes({each.service_id for each in followers}, at)
        for follower in followers:
            if follower.has_begun:
                follower.tell(changes.get(follower.service_id, ()))
        self._begin([each for each in followers if not each.has_begun], at)
        self._at, self._read = at, read
        for follower in followers:
            follower.wake_for_sign()
        return True

    def _changes(self, services: set[UUID], at: datetime) -> dict[UUID, list[bytes]]:
        """Return the messages about what has changed since the last look, for each service that was followed then."""
        is_whole = clock.monotonic() - self._read_all >= WHOLE_SECONDS or not services <= self._open.keys()
        if is_whole:
            self._read_all = clock.monotonic()
            rows = ends.begun(services, at=at, since=at - RECENT)
        else:
            rows = ends.changed(services, at=at, since=at - RECENT)
        now: dict[UUID, dict[UUID, Window]] = {service: {} for service in services}
        for window in rows:
            now[window.service_id][window.grant_id] = window
        found = {service: self._compare(service, windows, at, is_whole=is_whole) for service, windows in now.items()}
        for service in self._open.keys() - services:
            del self._open[service], self._ended[service]
        return found

    def _compare(self, service: UUID, windows: dict[UUID, Window], at: datetime, *, is_whole: bool) -> list[bytes]:
        """Return the messages of one service. `windows` has all of its windows, or those that have changed recently."""
        before = self._open.get(service)
        is_open = {pk: window for pk, window in windows.items() if not window.reason}
        ended = {pk: window for pk, window in windows.items() if window.reason}
        found: list[bytes] = []
        if before is not None:
            new = [window for pk, window in ended.items() if pk not in self._ended[service]]
            gone = before.keys() - windows.keys() if is_whole else set[UUID]()
            found = [
                *(message("opened", window.opened, at) for pk, window in is_open.items() if pk not in before),
                *(message("closed", window.closed, at) for window in [*new, *_gone(gone, before, at)]),
            ]
        if is_whole or before is None:
            self._open[service] = is_open
        else:
            before.update(is_open)
            for pk in ended:
                before.pop(pk, None)
        self._ended[service] = set(ended)
        return found

    def _begin(self, followers: list[Follower], at: datetime) -> None:
        """Give new followers their first message, and what they have missed if they come back."""
        read: dict[UUID, tuple[list[Window], bytes]] = {}
        for follower in followers:
            service = follower.service_id
            if service not in read:
                is_back = any(each.after for each in followers if each.service_id == service)
                windows = ends.begun([service], at=at, since=at - (RESUMED if is_back else RECENT))
                # After a restart of the server, all guards of a service come back at the same time.
                read[service] = windows, state_of(windows, at=at)
            windows, state = read[service]
            follower.begin(b"".join([state, *missed(windows, at=at, after=follower.after)]))

    def _check(self, followers: list[Follower], at: datetime) -> None:
        """End the feeds whose token, scope or client has ended. Tell the others if the signing keys have changed."""
        allowed = ends.followers({each.token_id for each in followers}, at=at)
        keys = json.dumps(token_keys.public_keys(), sort_keys=True)
        for follower in followers:
            if allowed.get(follower.token_id) != follower.service_id:
                follower.end("token_ended")
            elif self._keys not in ("", keys) and follower.has_begun:
                follower.tell([message("keys", {"at": instant(at)}, at)])
        self._keys = keys


HUB = Hub()


def state_of(windows: list[Window], *, at: datetime) -> bytes:
    """Return the first message of a feed: what has ended recently."""
    recent = [window.closed for window in _in_order(windows) if window.ends_at > at - RECENT]
    return message("state", {"at": instant(at), "closed": recent}, at)


def missed(windows: list[Window], *, at: datetime, after: datetime | None) -> Iterator[bytes]:
    """Yield the single events after a time. An event can come twice, but none is left out."""
    if after is None:
        return
    for window in sorted(windows, key=lambda window: window.opens_at):
        if window.opens_at > after - LATE and not window.reason:
            yield message("opened", window.opened, at)
    for window in _in_order(windows):
        if window.ends_at > after - LATE:
            yield message("closed", window.closed, at)


def _in_order(windows: list[Window]) -> list[Window]:
    """Return the windows that have ended, in the order of their ends."""
    return sorted((window for window in windows if window.reason), key=lambda window: window.ends_at)


def message(event: str, data: dict[str, Any], at: datetime) -> bytes:
    """Return a message of the stream. Its id is the time until which its reader knows everything."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return f"id: {id_of(at)}\nevent: {event}\ndata: {text}\n\n".encode()


def id_of(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def time_of(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


def _gone(grants: Iterable[UUID], before: dict[UUID, Window], at: datetime) -> list[Window]:
    """Return the windows that were open and were not read again, as they ended.

    A window without a row counts as ended, because nobody can say that it is open.
    """
    grants = list(grants)
    if not grants:
        return []
    found = {window.grant_id: window for window in ends.these(grants, at=at)}
    return [_as_ended(found.get(pk, before[pk]), at) for pk in grants]


def _as_ended(window: Window, at: datetime) -> Window:
    if window.reason:
        return window
    return replace(window, ends_at=at, reason="revoked")


# --- The thread ----------------------------------------------------------------------------------------------


def keep_watch() -> None:
    """Start the thread that reads the windows for the feeds of this process. The web server calls this once."""
    threading.Thread(target=_watch, name="feed", daemon=True).start()


def _watch() -> None:
    listener, outage = Listener(), Outage("feed_failed")
    while True:
        HUB._begun.wait()
        look_and_rest(listener, outage)


def look_and_rest(listener: Listener, outage: Outage) -> None:
    """Look once. Then rest until something is committed on this host, but not for long."""
    close_old_connections()
    began = clock.monotonic()
    try:
        if HUB.look():
            outage.worked()
        else:
            connection.close()
    except Exception:
        # Every exception is caught: without this thread, no guard would learn of an end. Until the next look
        # succeeds, followers get no sign, and refuse everything after 15 seconds.
        if outage.failed():
            log.exception("feed_failed")
    rest = rest_after(clock.monotonic() - began, factor=REST_FACTOR, most=LOOK_SECONDS)
    time.sleep(rest)
    listener.wait(LOOK_SECONDS - rest)
