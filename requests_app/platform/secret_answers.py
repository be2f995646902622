"""Marks answers that have a secret, or a customer's content: nobody stores them, and nobody compresses them."""

from __future__ import annotations

from typing import TypeVar

from django.http import HttpResponseBase
from django.utils.cache import patch_cache_control

_Response = TypeVar("_Response", bound=HttpResponseBase)


def secret_answer(response: _Response) -> _Response:
    """Mark the answer, and tell browsers and proxies not to store it and not to change it.

    This server does not compress it (`lockbox_site.compressing`), because the length of a compressed answer depends on
    the secret. The API does not store it for a repeated call.
    """
    response.is_secret = True  # type: ignore[attr-defined]  # read by `is_secret`
    patch_cache_control(response, no_store=True, private=True, no_transform=True)
    return response


def is_secret(response: HttpResponseBase) -> bool:
    return getattr(response, "is_secret", False)
