"""Seals anew the secrets of single sign-on that a former key of the settings sealed, so that it can go."""

from __future__ import annotations

from collections.abc import Callable

from requests_app.models import SignOn
from requests_app.sso import sealing


def work(is_over: Callable[[], bool]) -> int:
    """Do so until it is done or the time is over; return how many were sealed anew."""
    done = 0
    for pk, sealed in SignOn.objects.order_by("pk").values_list("pk", "sealed"):
        if is_over():
            break
        if not sealing.is_outdated(sealed):
            continue
        try:
            anew = sealing.seal(sealing.opened(sealed))
        except sealing.Unreadable:
            # Its administrator is told by the test, and enters it again.
            continue
        # Only if it is still what was read: somebody may have entered another one.
        done += SignOn.objects.filter(pk=pk, sealed=sealed).update(sealed=anew)
    return done
