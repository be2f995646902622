"""Limits how many downloads and long calls run: each holds memory and a connection while its reader needs it."""

from __future__ import annotations

import threading
from collections import Counter
from uuid import UUID

from django.conf import settings
from django.utils.functional import Promise

from requests_app.domain.errors import TooMany


class Slots:
    """The slots of one kind in this process. Together they are half of its capacity.

    `own_taken` and `all_taken` are the messages to a caller who gets no slot.
    """

    def __init__(self, *, own_taken: Promise, all_taken: Promise) -> None:
        self.own_taken, self.all_taken = own_taken, all_taken
        # Re-entrant, because the garbage collector may release a slot while this thread holds the lock.
        self.lock = threading.RLock()
        self.of: Counter[UUID] = Counter()

    def taken(self) -> int:
        with self.lock:
            return self.of.total()


class Slot:
    """One slot. Its owner may have `most` of them at once."""

    def __init__(self, slots: Slots, *, most: int) -> None:
        self._slots, self._most = slots, most
        self._owner: UUID | None = None

    def take(self, owner: UUID) -> None:
        """Take the slot. Raises TooMany if the owner, or the process, has too many already."""
        slots = self._slots
        with slots.lock:
            if slots.of[owner] >= self._most:
                raise TooMany(str(slots.own_taken))
            if slots.of.total() >= settings.WEB_STREAMS // 2:
                raise TooMany(str(slots.all_taken))
            slots.of[owner] += 1
            self._owner = owner

    def leave(self) -> None:
        """Release the slot. It may be called more than once."""
        slots = self._slots
        with slots.lock:
            if self._owner is not None:
                slots.of[self._owner] -= 1
                if not slots.of[self._owner]:
                    del slots.of[self._owner]
                self._owner = None
