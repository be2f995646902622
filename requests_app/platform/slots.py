"""Limits how many downloads and long calls run at the same time. Each holds memory and a connection until it ends."""

from __future__ import annotations

import threading
from collections import Counter
from uuid import UUID

from django.conf import settings
from django.utils.functional import Promise

from requests_app.domain.errors import TooMany


class Slots:
    """All slots of one kind in this process. Together they are one half of the process's capacity, or 1/`share` of it.

    `own_taken` and `all_taken` are the messages for a caller who gets no slot: because this caller has too many
    already, or because all slots are taken.
    """

    def __init__(self, *, own_taken: Promise, all_taken: Promise, share: int = 2) -> None:
        self.own_taken, self.all_taken, self.share = own_taken, all_taken, share
        # Re-entrant, because the garbage collector may release a slot while this thread holds the lock.
        self.lock = threading.RLock()
        self.of: Counter[UUID] = Counter()

    def taken(self) -> int:
        with self.lock:
            return self.of.total()


class Slot:
    """One slot. Its owner may hold `most` slots at the same time."""

    def __init__(self, slots: Slots, *, most: int) -> None:
        self._slots, self._most = slots, most
        self._owner: UUID | None = None

    def take(self, owner: UUID) -> None:
        """Take the slot.

        Raise TooMany if the owner already has `most` slots, or if the slots of the process are all taken.
        """
        slots = self._slots
        with slots.lock:
            if slots.of[owner] >= self._most:
                raise TooMany(str(slots.own_taken))
            if slots.of.total() >= settings.WEB_STREAMS // slots.share:
                raise TooMany(str(slots.all_taken))
            slots.of[owner] += 1
            self._owner = owner

    def leave(self) -> None:
        """Release the slot. It is safe to call this more than once."""
        slots = self._slots
        with slots.lock:
            if self._owner is not None:
                slots.of[self._owner] -= 1
                if not slots.of[self._owner]:
                    del slots.of[self._owner]
                self._owner = None
