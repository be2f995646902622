"""The keys that sign tokens for other programs, and the two things that are done with them: sign and verify.

There is one row of keys for each algorithm. A new key is published for a day before it signs, so that every program has
read it by then. It signs until the next key begins. A day after its last token has ended, it is no longer published.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Self

import structlog
from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from requests_app.domain import clock
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.platform.sealing import Sealer, Unreadable

security_log = structlog.get_logger("security")

#: RFC 9068 requires RS256. EdDSA is shorter and faster, for programs that know it.
ALGORITHMS = ("RS256", "EdDSA")
_KINDS = {"RS256": "RSA", "EdDSA": "OKP"}
RSA_BITS = 2048
#: How long a key is published before it signs, how long it signs, and how long it stays published after its last token.
PUBLISHED_BEFORE, SIGNS_FOR, PUBLISHED_AFTER = timedelta(hours=24), timedelta(days=90), timedelta(days=1)
#: No token that these keys sign is valid for longer.
LONGEST_TOKEN = timedelta(minutes=5)
#: For how many seconds a thread waits while another one of this process makes the first key.
MAKING_SECONDS = 2.0
_MAKING = threading.Lock()


class TokenKeyQuerySet(models.QuerySet["TokenKey"]):
    def published(self, at: datetime) -> Self:
        return self.filter(models.Q(retires_at=None) | models.Q(retires_at__gt=at))


class TokenKey(models.Model):
    """One key. `number` counts the keys of its algorithm, so two processes never make the same key twice.

    `public` is published only if it belongs to the key that is sealed in the same row. So somebody who can write to the
    database, but does not know the settings, can't publish a key that signs tokens for every application.
    """

    kid = models.CharField(_("key id"), primary_key=True, max_length=64)
    alg = models.CharField(_("algorithm"), max_length=8, choices=[(alg, alg) for alg in ALGORITHMS])
    number = models.PositiveIntegerField(_("number"))
    public = models.JSONField(_("public key"))
    # The key as a JWK, encrypted: the private key, or the public one when the key no longer signs.
    sealed = models.TextField(blank=True, default="", editable=False)
    published_at = models.DateTimeField(_("published"))
    signs_from = models.DateTimeField(_("signs from"))
    # Known when the next key of the algorithm is made.
    retires_at = models.DateTimeField(_("published until"), null=True, blank=True)
    # Whether the provider's log has the entry about this key. The first keys are made when a token is needed.
    is_in_log = models.BooleanField(default=False, editable=False)

    objects = TokenKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("key for tokens")
        verbose_name_plural = _("keys for tokens")
        ordering = ["alg", "-number"]
        constraints = [models.UniqueConstraint(fields=["alg", "number"], name="token_key_once")]

    def __str__(self) -> str:
        return self.kid

    @property
    def key(self) -> Key | None:
        """Return the sealed key. Return None if it can't be read, or if the row does not publish this very key."""
        try:
            found = _opened(self.sealed)
        except (Unreadable, JoseError, ValueError, TypeError, KeyError):
            return None
        is_this = _KINDS.get(self.alg) == found.key_type and self.public == _published(found, self.alg)
        return found if is_this and self.kid == self.public["kid"] else None

    @property
    def can_sign(self) -> bool:
        return self.key is not None and self.key.is_private

    def has_begun(self, at: datetime) -> bool:
        """Return whether it may sign, and is still published."""
        return self.signs_from <= at and (self.retires_at is None or self.retires_at > at)

    def signed(self, claims: dict[str, Any], *, typ: str) -> str:
        """Return a JWT with these claims that this key has signed. `typ` says what kind of token it is."""
        key = self.key
        if key is None:
            raise Unreadable
        header = {"typ": typ, "alg": self.alg, "kid": self.kid}
        return jwt.encode(header, claims, key, registry=_registry([self.alg]))


_KEYS_OF = CompiledQuery(lambda alg: TokenKey.objects.filter(alg=alg).order_by("-number"), alg=models.CharField())


def keys_of(alg: str = "RS256") -> Sequence[TokenKey]:
    """Read the keys of an algorithm, the newest first. There are few: a former one is removed after a day."""
    return _KEYS_OF(alg=alg)


def signing(keys: Iterable[TokenKey], at: datetime) -> TokenKey | None:
    """Return the one of these keys that signs now: the newest of our own that has begun to."""
    return next((row for row in keys if row.has_begun(at) and row.can_sign), None)


def signed(claims: dict[str, Any], *, typ: str, alg: str = "RS256") -> str:
    """Return a JWT with these claims. `typ` says what kind of token it is. The first key is made when it is needed."""
    for _try in range(2):
        # Read first: a key that somebody makes after this has the next number, and only one of us can make it.
        keys = keys_of(alg)
        last = keys[0].number if keys else 0
        at = clock.now()
        if (row := signing(keys, at)) is not None:
            return row.signed(claims, typ=typ)
        for other in (row for row in keys if row.has_begun(at)):
            # Probably the setting was changed, and the former key is not listed.
            security_log.error("token_key.unreadable", kid=other.kid)
        # Programs read the new key when they see it. The threads of this process that need it wait for the first of
        # them, because each key of RSA takes a second of a core. None waits for long: another may wait for its rows.
        is_first = _MAKING.acquire(timeout=MAKING_SECONDS)
        try:
            if newest(alg) == last:
                make(alg, at, signs_from=at, after=last)
        finally:
            if is_first:
                _MAKING.release()
    raise Unreadable


def public_keys(at: datetime | None = None) -> dict[str, Any]:
    """Return the JWK Set that other programs read (RFC 7517): only keys that this installation has made."""
    rows = TokenKey.objects.published(at or clock.now()).order_by("alg", "number")
    return {"keys": [row.public for row in rows if row.key is not None]}


def foreign_keys() -> list[TokenKey]:
    """Return the rows that publish nothing, because their key is not the one that is sealed in them."""
    return [row for row in TokenKey.objects.order_by("alg", "number") if row.key is None]


def verified(token: str, *, typ: str) -> dict[str, Any] | None:
    """Return the claims of a token that one of the published keys has signed, or None.

    The caller checks the claims: this says only that we have signed them for a token of this type.
    """
    try:
        keys = KeySet.import_key_set(public_keys())  # type: ignore[arg-type]  # its own JWKs
        found = jwt.decode(token, keys, registry=_registry(ALGORITHMS))
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return dict(found.claims) if found.header.get("typ") == typ and "kid" in found.header else None


def algorithm_of(token: str) -> str:
    """Return the algorithm of a token that `verified` has accepted."""
    return str(jws.extract_compact(token.encode()).protected["alg"])


def newest(alg: str) -> int:
    """Return the number of the newest key of this algorithm, or 0."""
    return TokenKey.objects.filter(alg=alg).order_by("-number").values_list("number", flat=True).first() or 0


def make(alg: str, at: datetime, *, signs_from: datetime, after: int) -> None:
    """Make the key after the one with this number, and say until when the keys before it are published.

    If another process has made it, nothing is made.
    """
    key = generated(alg)
    public = _published(key, alg)
    kid = public["kid"]
    sealed = _sealer().seal(json.dumps(key.as_dict(private=True)))
    row = TokenKey(
        kid=kid, alg=alg, number=after + 1, public=public, sealed=sealed, published_at=at, signs_from=signs_from
    )
    TokenKey.objects.bulk_create([row], ignore_conflicts=True)
    if TokenKey.objects.filter(kid=kid).exists():
        security_log.info("token_key.made", kid=kid, alg=alg)
        before = TokenKey.objects.filter(alg=alg, number__lte=after, retires_at=None)
        before.update(retires_at=signs_from + LONGEST_TOKEN + PUBLISHED_AFTER)


def generated(alg: str) -> Key:
    """Return a new private key for this algorithm."""
    return RSAKey.generate_key(RSA_BITS) if alg == "RS256" else OKPKey.generate_key("Ed25519")


def forget_private(row: TokenKey) -> None:
    """Delete the private part of a key that signs no more. What remains proves that the key was ours."""
    sealed = _sealer().seal(json.dumps(row.public))
    TokenKey.objects.filter(kid=row.kid, sealed=row.sealed).update(sealed=sealed)


def seal_anew(is_over: Callable[[], bool]) -> int:
    """Encrypt again what a former key of the settings encrypted. Return how many keys that were."""
    done = 0
    for row in TokenKey.objects.exclude(sealed=""):
        if is_over() or not _sealer().is_outdated(row.sealed):
            continue
        try:
            anew = _sealer().seal(_sealer().opened(row.sealed))
        except Unreadable:
            continue
        done += TokenKey.objects.filter(kid=row.kid, sealed=row.sealed).update(sealed=anew)
    return done


def _sealer() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"token keys")


def _published(key: Key, alg: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": key.thumbprint(), "alg": alg, "use": "sig"}


def _opened(sealed: str) -> Key:
    return _read_key(sealed, tuple(settings.WEBHOOK_KEYS))


@lru_cache(maxsize=32)
def _read_key(sealed: str, _keys: tuple[str, ...]) -> Key:
    """Return the sealed key. Reading an RSA key takes longer than signing with it, so the last ones are remembered."""
    found = json.loads(_sealer().opened(sealed))
    return RSAKey.import_key(found) if found["kty"] == "RSA" else OKPKey.import_key(found)


class _Registry(JWSRegistry):
    """Accepts the name EdDSA without a warning.

    RFC 9864 prefers the name Ed25519, but the libraries that verify these tokens know only EdDSA.
    """

    algorithms = {**JWSRegistry.algorithms, "EdDSA": copy(JWSRegistry.algorithms["EdDSA"])}


_Registry.algorithms["EdDSA"].security_warning = None


def _registry(algorithms: Iterable[str]) -> JWSRegistry:
    return _Registry(algorithms=list(algorithms))
