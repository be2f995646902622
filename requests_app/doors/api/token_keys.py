"""The public keys with which other programs verify tokens of this product (RFC 7517). Everybody can read them."""

from __future__ import annotations

import hashlib
import json

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

from requests_app.models import token_keys

#: How long a program can use its copy. A new key is published for a day before it signs, so no copy is too old.
SECONDS = 300


@require_safe
def jwks(request: HttpRequest) -> HttpResponse:
    """Answer with the JWK Set, or with 304 if the caller already has it."""
    found = token_keys.public_keys()
    body = json.dumps(found, sort_keys=True)
    tag = quote_etag(hashlib.sha256(body.encode()).hexdigest())
    known = [each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")]
    is_known = tag in known
    answer = HttpResponse(status=304) if is_known else HttpResponse(body, content_type="application/jwk-set+json")
    answer["ETag"] = tag
    # The first key signs as soon as it is made, so an answer without keys is not stored.
    patch_cache_control(answer, **({"public": True, "max_age": SECONDS} if found["keys"] else {"no_store": True}))
    return answer
