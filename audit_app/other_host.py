"""Refuses to sign on a host whose heads or key differ from those of the host that has signed last.

Two hosts take turns. If they have different keys, each would announce its own key in every log, again and again, and
the logs would grow without end. If they have different heads, see heads_place.py. A host that is refused leaves the
work to the other, and raises no alarm about a log.
"""

from __future__ import annotations

import datetime as dt

from django.conf import settings

from audit_app import heads_place, lease
from audit_app.keys import BadKey, Keys
from audit_app.models import LogKey, SignedHead


def require(have: Keys, at: dt.datetime) -> None:
    """Raise HeadsUnavailable or BadKey if another host signs, with other heads or with another key."""
    heads_place.require()
    if (why := _difference(have)) and (name := _other_signer(at)):
        raise BadKey(
            f"{why}, and the host {name} has signed last: give both hosts the same keys in the same order; if that "
            "host and its key are lost, this host signs an hour after it"
        )


def _difference(have: Keys) -> str:
    newest = SignedHead.objects.filter(dated_at__isnull=False).order_by("-dated_at").values_list("key", flat=True)
    last, first = bytes(newest.first() or b""), have.publics[0]
    if last in (b"", first):
        return ""
    if last not in have.publics:
        return "the logs were signed last with a key that this host does not have"
    # A rotation begins with a key that was never used. One that was used before has been replaced by the last one.
    if LogKey.objects.filter(pk=first).exists():
        return "this host's first key was replaced by its second one"
    return ""


def _other_signer(at: dt.datetime) -> str:
    """Return the name of the other host that has signed last, if that is less than an hour ago."""
    last = lease.current()
    if last is None or last.host == lease.host():
        return ""
    return last.host if last.until > at - dt.timedelta(seconds=settings.LOG_HEARTBEAT_SECONDS) else ""
