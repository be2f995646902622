"""Encrypts stored secrets again with the present key, so that a former key can be removed from the settings."""

from __future__ import annotations

from collections.abc import Callable

from requests_app.identity import factors
from requests_app.identity.sso import sealing
from requests_app.models import Proposal, SignOn, token_keys


def work(is_over: Callable[[], bool]) -> int:
    """Encrypt secrets again until none is left or `is_over` returns True. Return how many were encrypted again."""
    done = 0
    for pk, sealed in SignOn.objects.order_by("pk").values_list("pk", "sealed"):
        if is_over():
            return done
        # Only if the row is unchanged: somebody may have entered another secret meanwhile.
        if (anew := _anew(sealed)) is not None:
            done += SignOn.objects.filter(pk=pk, sealed=sealed).update(sealed=anew)
    for pk, sealed in SignOn.objects.order_by("pk").values_list("pk", "sealed_keys"):
        if is_over():
            return done
        if (anew := _anew(sealed)) is not None:
            done += SignOn.objects.filter(pk=pk, sealed_keys=sealed).update(sealed_keys=anew)
    # A waiting proposal contains a secret too. A second person may confirm it after the former key was removed.
    for row in Proposal.objects.filter(act="set_sign_on", ended_at=None).order_by("pk"):
        if is_over():
            return done
        if (anew := _anew(row.said.get("_sealed", ""))) is not None:
            done += Proposal.objects.filter(pk=row.pk, ended_at=None).update(said={**row.said, "_sealed": anew})
    return done + factors.seal_anew(is_over) + token_keys.seal_anew(is_over)


def _anew(sealed: str) -> str | None:
    """Return the secret, encrypted with the present key. Return None if this is already so, or if no key decrypts it.

    A secret that no key decrypts must be entered again by its owner.
    """
    if not sealed or not sealing.is_outdated(sealed):
        return None
    try:
        return sealing.seal(sealing.opened(sealed))
    except sealing.Unreadable:
        return None
