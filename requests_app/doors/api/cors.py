"""Who may call from a browser: a tenant's own approval page, on the few routes that it needs. (Fetch, section 3.2.)

No cookie counts in the API, and none is allowed to come along: what a page can do here, its token can do anywhere.
"""

from __future__ import annotations

from collections.abc import Collection

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from requests_app.domain.actors import Actor, Side
from requests_app.models import Tenant

#: What a page may send beside what every page may, and may read beside what every page may.
_HEADERS = "Authorization, Content-Type, If-Match, Idempotency-Key"
_EXPOSED = "ETag, X-Request-ID, Retry-After"
#: Seconds for which a browser need not ask again.
_KEPT = "600"


def preflight(request: HttpRequest, methods: Collection[str]) -> HttpResponse | None:
    """The answer to a browser that asks whether a page may call; None where this is no such question.

    Nobody has proven who they are yet, so any tenant's page is let ask; whose answers it may read comes with the call.
    """
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    response = HttpResponse(status=204)
    if allow(request, response, actor=None):
        response["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
        response["Access-Control-Allow-Headers"] = _HEADERS
        response["Access-Control-Max-Age"] = _KEPT
    return response


def allow(request: HttpRequest, response: HttpResponseBase, *, actor: Actor | None) -> bool:
    """Allow the calling page to read this answer if it is the page of one of the caller's tenants.

    Without a proven caller the answer is only that refusal, and any tenant's page can read it.
    """
    patch_vary_headers(response, ["Origin"])
    origin = request.headers.get("Origin", "")
    if not origin or not _is_page_of(origin, actor):
        return False
    response["Access-Control-Allow-Origin"] = origin
    response["Access-Control-Expose-Headers"] = _EXPOSED
    return True


def _is_page_of(origin: str, actor: Actor | None) -> bool:
    pages = Tenant.objects.filter(approval_origin=origin)
    if actor is None:
        return pages.exists()
    return actor.side is Side.CUSTOMER and pages.filter(pk__in=actor.tenant_ids).exists()
