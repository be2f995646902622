"""Decides on each access of an application, stores it, and watches it until its response has ended."""

from __future__ import annotations

import logging
import os
import re
import threading
from datetime import datetime, timezone
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from lockbox_guard.feed import Feed, clock
from lockbox_guard.lockbox import Lockbox, Refused, checked
from lockbox_guard.queue import Queue
from lockbox_guard.tokens import Token, Verifier

log = logging.getLogger(__name__)
#: Seconds: between two checks of the open responses, that a process waits for the first message of the feed, a token
#: with less left is renewed, until a failed renewal is tried again, and that a request waits for another one's renewal.
CHECK_EVERY, WAIT_FOR_FEED, RENEW_UNDER, RENEW_AGAIN, RENEW_WAIT = 0.2, 5.0, 120.0, 10.0, 1.0
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a name)
ITEM_MAX, NOT_IN_ITEM = 300, r"[^!-\"$->@-~]"
REFUSALS = {"silent": "feed_silent", "closed": "window_closed", "elapsed": "window_ended"}
ACTIONS = ("list", "view", "read", "download", "act_as")
#: How many of the actions each level covers.
COVERED = {"names": 1, "view": 2, "read": 4, "act_as": 5}
#: For an application without its own sign-in: the token alone says who the engineer is.
ANYBODY: Any = object()


class Access(NamedTuple):
    """An allowed access: who (`claims`), under which grant (`detail`), what, and until when (seconds since 1970)."""

    claims: dict[str, Any]
    detail: dict[str, Any]
    action: str
    item: str
    window_end: float


class Guard:
    """Lockbox's guard in one application. It starts its threads in each process, with the first access."""

    def __init__(
        self, *, issuer: str, service: str, client_id: str, client_secret: str, origin: str,
        queue: str | Path, queue_limit: int = 1_000_000,
    ) -> None:  # fmt: skip
        self._client, self._service, self.client_id = (issuer, client_id, client_secret), service, client_id
        self.origin, self._directory, self._limit = checked(origin), Path(queue), queue_limit
        self._left = list[object]()
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Begin without threads, and with locks that no other thread holds, also after a fork."""
        # What a forked child inherits is not used, and not closed: closing SQLite's files would break its locks.
        self._left.append(vars(self).copy())
        if "_queue" in vars(self):
            vars(self)["_queue"].leave()
        self._feed: Feed | None = None
        self.lockbox = Lockbox(*self._client)
        self._verifier, self._newer = Verifier(self.lockbox, self._service), dict[str, tuple[str, float]]()
        self._starting, self._renewing = threading.Lock(), threading.Lock()
        self._bell, self._ends = threading.Event(), threading.Event()
        self.visits = set[Any]()  # those whose response is open

    @property
    def feed(self) -> Feed:
        """Return the feed. In a new process this starts the threads."""
        if self._feed is None:
            with self._starting:
                if self._feed is None:
                    self._queue, self._started = Queue(self._directory, self.lockbox, self._limit), clock()
                    threading.Thread(target=self._watch, name="lockbox-cuts", daemon=True).start()
                    self._feed = Feed(self.lockbox, self._queue.name, self._changed)
        return self._feed

    def close(self) -> None:
        """Stop the threads. What is not yet reported remains in the queue."""
        for ends in (self.feed.ends, self._queue.ends, self._ends, self._bell):
            ends.set()

    def wait_for_feed(self) -> None:
        """Wait for the first message of the feed, but only in the first seconds of a process."""
        self.feed.ready.wait(max(0.0, self._started + WAIT_FOR_FEED - clock()))

    def _changed(self, has_other_keys: bool) -> None:
        if has_other_keys:
            self._verifier.forget()
        self._bell.set()

    def _watch(self) -> None:
        cuts = SimpleQueue[Any]()
        # Another thread stores them: a disk that hangs must not delay the next cut.
        threading.Thread(target=self._record_cuts, args=(cuts,), name="lockbox-records", daemon=True).start()
        while not self._ends.is_set():
            self._bell.wait(CHECK_EVERY)
            self._bell.clear()
            over = [visit for visit in list(self.visits) if visit.is_over()]
            self.visits.difference_update(over)
            for access, code in [(access, visit.code) for visit in over for access in visit.accesses]:
                cuts.put((access, code, self._stamp()))
        cuts.put(None)

    def _record_cuts(self, cuts: SimpleQueue[Any]) -> None:
        for cut in iter(cuts.get, None):
            self._try_to_record(cut[0], "cut", *cut[1:])

    def verified(self, token: str) -> Token:
        """Return a token of this application's audience that has not ended, or raise Refused."""
        return self._verifier.verified(token, self.feed.now())

    def decide(
        self, token: str, *, action: str, item: str, tenant: str, engineer: str | None,
        resource: str | None = None, identifier: str | None = None,
    ) -> Access:  # fmt: skip
        """Return the access if the token allows it now, or raise Refused. This stores nothing: see `admit`.

        `tenant` is an id or a slug. `engineer` is the address or the id of the person who is signed in at the
        application. Give `resource` or `identifier`, or both. A refusal has an access if it is about a resource of the
        window, or if the window has only one.
        """
        found = self.verified(token)
        about = [detail for detail in found.details if _is_about(detail, tenant, resource, identifier)]
        named = about[:1] or found.details
        access = Access(found.claims, named[0], action, _item(item), found.window_end)
        over = self.why_over(access.detail["grant_id"], access.window_end)
        if engineer is not ANYBODY and not _is_same_person(engineer, found.claims):
            code = "other_engineer"
        elif not about:
            code = "out_of_scope"
        elif over:
            code = REFUSALS[over]
        elif action in ACTIONS[: COVERED.get(named[0]["level"], 0)] and action in [*named[0]["actions"]]:
            return access
        else:
            code = "level_too_low"
        raise Refused(code, access if len(named) == 1 else None)

    def admit(self, token: str, *, action: str, item: str, **scope: Any) -> Access:
        """Decide, store the access on the disk, and decide again, because the disk may have been slow."""
        try:
            access = self.decide(token, action=action, item=item, **scope)
        except Refused as refused:
            # Lockbox could not take in an unknown action, which is a mistake of the application.
            if refused.access is not None and action in ACTIONS:
                self._try_to_record(refused.access, "refused", refused.code)
            raise
        self.record(access, "access")
        code = self.why_over(access.detail["grant_id"], access.window_end)
        if code:
            self._try_to_record(access, "cut", code)
            raise Refused(REFUSALS[code])
        return access

    def why_over(self, grant: str, window_end: float) -> str:
        """Return why what was allowed must end now, or an empty text."""
        try:
            now = self.feed.now()
        except Refused:
            return "silent"
        if grant in self.feed.closed:
            return "closed"
        return "elapsed" if now >= window_end else ""

    def _stamp(self) -> str:
        return datetime.fromtimestamp(clock() + self.feed.ahead, timezone.utc).isoformat().replace("+00:00", "Z")

    def record(self, access: Access, kind: str, code: str = "", at: str = "") -> None:
        """Store what happened, now or at `at`. It is on the disk when this returns. Raise Refused if it is not."""
        self._queue.append({
            "grant_id": access.detail["grant_id"], "resource": access.detail["resource"],
            "engineer": access.claims["sub"], "jti": access.claims["jti"], "action": access.action,
            "item": access.item, "at": at or self._stamp(), "kind": kind, "code": code,
        })  # fmt: skip

    def _try_to_record(self, access: Access, kind: str, code: str, at: str = "") -> None:
        """Store what happens in any case, stored or not."""
        try:
            self.record(access, kind, code, at)
        except Refused:
            log.critical("The queue does not have this: %s, %s, %s", kind, code, access)

    def renewed(self, text: str, under: float = RENEW_UNDER) -> str:
        """Return a newer token of the same grant (RFC 8693) if this one ends soon, or this one if there is none."""
        token, now = self.verified(text), self.feed.now()
        if token.ends_at - now >= under or token.ends_at >= token.window_end:
            return text
        # While Lockbox hangs, only one request waits for it. The others go on with the token that they have.
        if not self._renewing.acquire(timeout=RENEW_WAIT):
            return text
        try:
            self._newer = {old: entry for old, entry in self._newer.items() if now < entry[1]}
            if text not in self._newer:
                form = {"grant_type": EXCHANGE, "subject_token": text, "subject_token_type": ACCESS_TOKEN}
                newer, _ = self.lockbox.token(audience=self._verifier.audience, **form)
                self.verified(newer)
                self._newer[text] = newer, token.ends_at
        except (Refused, OSError) as error:
            log.warning("A grant token can't be renewed now: %r", error)
            self._newer[text] = text, now + RENEW_AGAIN
        finally:
            self._renewing.release()
        return self._newer.get(text, (text,))[0]


def _is_about(detail: dict[str, Any], tenant: str, resource: str | None, identifier: str | None) -> bool:
    is_it = tenant in (detail["tenant"], detail["tenant_slug"]) and bool(resource or identifier)
    return is_it and resource in (None, detail["resource"]) and identifier in (None, detail["identifier"])


def _item(text: str) -> str:
    """Return a method and a pattern as Lockbox takes them: printable ASCII, without a query."""
    method, _, path = text.partition(" ")
    named = method if re.fullmatch("[A-Z]{1,20}", method) else "OTHER"
    return f"{named} /{re.sub(NOT_IN_ITEM, '_', path.lstrip('/'))}"[:ITEM_MAX]


def _is_same_person(engineer: object, claims: dict[str, Any]) -> bool:
    """Return whether the person who is signed in at the application is the token's engineer.

    Outside ASCII, different letters can have the same small letter.
    """
    if not isinstance(engineer, str) or engineer in (claims["sub"], claims["email"]):
        return isinstance(engineer, str)
    return (engineer + claims["email"]).isascii() and engineer.lower() == claims["email"].lower()
