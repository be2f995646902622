"""Ensures that all hosts sign with the same place of heads.

Two places would be two memories. After a failover of the database, each could let its host sign another entry under one
number. A wrong setting is enough for this: each host has a file of its own, or a share is not mounted and its empty
directory is used. So the place has an identity, a random text. It is stored in the place and in the database when the
first log is signed. An empty place gets one only then, or when an operator confirms it.
"""

from __future__ import annotations

import secrets

from audit_app import heads, lease
from audit_app.models import Checkpoint, HeadsPlace
from audit_app.stored_heads import HeadsUnavailable, PlaceUnusable


class WrongPlace(PlaceUnusable):
    """The heads of this host are not those with which the logs are signed."""


def require() -> None:
    """Raise WrongPlace if another host has signed last, and LOG_HEADS of this host is another place.

    If this host has signed last, its heads are lost or were replaced. Then an alarm of each log says so.
    """
    if not (why := difference()):
        return
    last = lease.current()
    if last is not None and last.host != lease.host():
        raise WrongPlace(
            f"{why}: set LOG_HEADS on this host as on {last.host}, which has signed last; if the heads are lost, "
            "confirm a log with log_heads adopt"
        )


def require_reachable() -> None:
    """Raise PlaceUnusable if nothing in the place can be read. Call it when one log's head can't be read or written.

    A place that is away, as after a cut of the network, would otherwise cost a time-out and an alarm for each log.
    """
    try:
        heads.store().identity()
    except HeadsUnavailable as error:
        raise PlaceUnusable(str(error)) from error


def claim() -> None:
    """Store the identity of this host's place in the database, unless one is stored.

    A place without the heads that were signed before is not stored: an operator must confirm it.
    """
    if _known() is None and not difference():
        HeadsPlace.objects.bulk_create([HeadsPlace(identity=_identity())], ignore_conflicts=True)


def difference() -> str:
    """Return why LOG_HEADS of this host is not the place where the logs are signed, or "" if it is."""
    place, known = heads.store(), _known()
    if known is not None:
        return "" if place.identity() == known else f"{place.name} is not the place where the logs were signed before"
    newest = Checkpoint.objects.order_by("-pk").first()
    if newest is not None and place.get(newest.note.partition("\n")[0]) is None:
        return f"{place.name} has no head of the log that was signed last"
    return ""


def accept() -> None:
    """Make LOG_HEADS of this host the place where the logs are signed. No other place can be used any more."""
    HeadsPlace.objects.update_or_create(pk=HeadsPlace.ONLY, defaults={"identity": _identity()})


def _known() -> str | None:
    return HeadsPlace.objects.filter(pk=HeadsPlace.ONLY).values_list("identity", flat=True).first()


def _identity() -> str:
    place = heads.store()
    if found := place.identity(secrets.token_hex(16)):
        return found
    raise HeadsUnavailable(f"{place.name} can't be used (it does not store its identity)")
