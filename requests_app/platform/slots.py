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
        self.of_tenants: Counter[UUID] = Counter()

    @property
    def most(self) -> int:
        return int(settings.WEB_STREAMS) // self.share

    @property
    def most_of_tenant(self) -> int:
        """How many slots one tenant can have. A quarter is left for all others."""
        return self.most - self.most // 4

    def taken(self) -> int:
        with self.lock:
            return self.of.total()


class Slot:
    """One slot. Its owner may hold `most` slots at the same time."""

    def __init__(self, slots: Slots, *, most: int) -> None:
        self._slots, self._most = slots, most
        self._owner: UUID | None = None
        self._tenant: UUID | None = None

    def take(self, owner: UUID, *, tenant_id: UUID | None = None) -> None:
        """Take the slot. If it is for the content or the log of a tenant, name the tenant.

        Raise TooMany if the owner already has `most` slots, if the slots of the process are all taken, or if the tenant
        already has its share of them.
        """
        slots = self._slots
        with slots.lock:
            if slots.of[owner] >= self._most:
                raise TooMany(str(slots.own_taken))
            if slots.of.total() >= slots.most:
                raise TooMany(str(slots.all_taken))
            if tenant_id is not None:
                if slots.of_tenants[tenant_id] >= slots.most_of_tenant:
                    raise TooMany(str(slots.all_taken))
                slots.of_tenants[tenant_id] += 1
            slots.of[owner] += 1
            self._owner, self._tenant = owner, tenant_id

    def leave(self) -> None:
        """Release the slot. It is safe to call this more than once."""
        slots = self._slots
        with slots.lock:
            if self._owner is not None:
                slots.of[self._owner] -= 1
                if not slots.of[self._owner]:
                    del slots.of[self._owner]
                self._owner = None
            if self._tenant is not None:
                slots.of_tenants[self._tenant] -= 1
                if not slots.of_tenants[self._tenant]:
                    del slots.of_tenants[self._tenant]
                self._tenant = None
