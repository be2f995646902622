"""Ids of tokens that only this installation can make, so that it need not store them to recognise them.

An id looks like a random UUID. Part of it is random, and the rest is a code over this part and over what the token is
about, made with the secret key.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from uuid import UUID, uuid4

from django.conf import settings
from django.utils.crypto import salted_hmac

_RANDOM_BYTES, _CODE_BYTES = 6, 10


def made(*about: object) -> str:
    """Return a new id for a token about these ids."""
    return str(_id_of(uuid4().bytes[:_RANDOM_BYTES], tuple(map(str, about)), settings.SECRET_KEY))


def is_made(found: str, *about: object) -> bool:
    """Return whether `made` has returned this id for a token about these ids."""
    return _is_made(found, tuple(map(str, about)), (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4096)
def _is_made(found: str, about: tuple[str, ...], keys: tuple[str, ...]) -> bool:
    try:
        random = UUID(found).bytes[:_RANDOM_BYTES]
    except ValueError:
        return False
    return any(hmac.compare_digest(found.encode(), str(_id_of(random, about, key)).encode()) for key in keys)


def _id_of(random: bytes, about: tuple[str, ...], key: str) -> UUID:
    text = "\n".join((random.hex(), *about))
    code = salted_hmac("customer-lockbox.token-ids", text, secret=key, algorithm="sha256").digest()
    return UUID(bytes=random + code[:_CODE_BYTES], version=4)
