"""Compresses large answers, except those whose length could tell a secret to somebody who watches the line (BREACH).

BREACH needs three things: a secret in an answer, text of the attacker in the same answer, and a browser that the
attacker can make ask again and again as the victim. docs/threat-model.md says how each of them is prevented.
"""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

from lockbox_site import logs
from requests_app.platform.secret_answers import is_secret

#: A shorter answer fits into a few packets, and is sent as it is.
LEAST = 2_000
#: Types that become shorter. An event stream is of another type, and is never complete.
TYPES = ("text/html", "application/json", "application/problem+json", "application/scim+json")

_REFUSES = re.compile(r"\bgzip\s*;\s*q=0(?:\.0*)?\s*(?:,|$)", re.IGNORECASE)


class CompressionMiddleware(GZipMiddleware):
    """Compresses with gzip what `is_compressible` allows.

    Up to `max_random_bytes` bytes of a random name in the header of the gzip file change the length each time.
    """

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        if not is_compressible(request, response):
            return response
        if _REFUSES.search(request.META.get("HTTP_ACCEPT_ENCODING", "")):
            # Django would compress for a client that names gzip in order to refuse it.
            patch_vary_headers(response, ("Accept-Encoding",))
            return response
        return super().process_response(request, response)


def is_compressible(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Return whether the answer may be compressed, and is worth it.

    Only a page that was read is compressed. An answer to an act may have a secret that is shown once. So may an answer
    that forbids other programs to change it (`no-transform`), and one at an address with a secret.
    """
    if request.method not in ("GET", "HEAD") or response.status_code != 200 or response.streaming:
        return False
    if is_secret(response) or logs.SECRET_PATHS.search(request.path):
        return False
    if "no-transform" in re.split(r"\s*,\s*", response.get("Cache-Control", "")):
        return False
    return response.get("Content-Type", "").startswith(TYPES) and len(getattr(response, "content", b"")) >= LEAST
