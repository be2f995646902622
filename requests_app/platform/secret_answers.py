"""Marks answers that have a secret, or a customer's content: nobody stores them, and nobody compresses them."""

from __future__ import annotations

from typing import TypeVar

from django.http import HttpResponseBase
from django.utils.cache import patch_cache_control

_Response = TypeVar("_Response", bound=HttpResponseBase)


def secret_answer(response: _Response) -> _Response:
    """Tell browsers and proxies not to store the answer and not to change it.

    This server obeys `no-transform`, too (`lockbox_site.compressing`): a compressed answer has a length that depends on
    the secret.
    """
    patch_cache_control(response, no_store=True, private=True, no_transform=True)
    return response
