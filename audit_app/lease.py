"""Gives the work of signing to one host at a time, by a row in the database.

Two hosts can have the log's key. Without the lease both would read and compare the same logs, and one of them for
nothing. The lease is not needed for safety: a host that is stopped, and continues when its lease has ended, can't move
a head that another host has moved (heads.py).
"""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.db.models import Q, QuerySet

from audit_app.models import SignerLease

logger = structlog.get_logger(__name__)


def host() -> str:
    """Return the name of this host: LOG_SIGNER_NAME, or the system's name of the host."""
    return (settings.LOG_SIGNER_NAME or socket.gethostname())[:200]


def current() -> SignerLease | None:
    """Return who signs now, or has signed last."""
    return SignerLease.objects.filter(pk=SignerLease.ONLY).first()


@dataclass
class Lease:
    """The lease of this host, until it is released or not renewed in time."""

    now: Callable[[], dt.datetime]
    renewed_at: dt.datetime

    def is_held(self) -> bool:
        """Return whether this host still has the lease. Renew it when a third of its time has passed."""
        at = self.now()
        if at - self.renewed_at < _length() / 3:
            return True
        if not _mine().filter(released_at=None).update(until=at + _length()):
            logger.warning("log_signer_lost_lease", host=host())
            return False
        self.renewed_at = at
        return True


@contextmanager
def taken(now: Callable[[], dt.datetime]) -> Iterator[Lease | None]:
    """Take the lease and yield it, or yield None while another host has it. `now` is the database's clock."""
    at = now()
    if not _take(at):
        yield None
        return
    try:
        yield Lease(now, at)
    finally:
        # Without the release, other hosts wait until the lease has ended.
        with suppress(DatabaseError):
            at = now()
            _mine().update(until=at, released_at=at)


def _length() -> dt.timedelta:
    return dt.timedelta(seconds=settings.LOG_LEASE_SECONDS)


def _mine() -> QuerySet[SignerLease]:
    return SignerLease.objects.filter(pk=SignerLease.ONLY, host=host())


def _take(at: dt.datetime) -> bool:
    found = current()
    if found is None:
        row = SignerLease(host=host(), since=at, until=at + _length())
        SignerLease.objects.bulk_create([row], ignore_conflicts=True)
        return _mine().exists()
    new: dict[str, object] = {"until": at + _length(), "released_at": None}
    if found.host != host():
        new |= {"host": host(), "since": at}
        if found.released_at is None:
            new |= {"taken_from": found.host, "taken_over_at": at}
    # A lease that is longer than any lease can be was written before the clock was set back.
    free = Q(host=host()) | Q(until__lte=at) | Q(until__gt=at + 2 * _length())
    same = SignerLease.objects.filter(free, pk=found.pk, host=found.host, released_at=found.released_at)
    if not same.update(**new):
        return False
    if "taken_from" in new:
        logger.warning("log_signer_taken_over", host=host(), taken_from=found.host, ended=found.until.isoformat())
    return True
