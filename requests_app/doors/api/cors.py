"""CORS (Fetch, section 3.2): a tenant's own approval page can call the few routes that it needs from a browser.

The API ignores cookies, and no page can send them. So a page has only the rights of the token that it sends.
"""

from __future__ import annotations

from collections.abc import Collection

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from requests_app.domain.actors import Actor, Side
from requests_app.models import Tenant

#: The headers that the approval page can send and read, in addition to those that every page can.
_HEADERS = "Authorization, Content-Type, If-Match, Idempotency-Key"
_EXPOSED = "ETag, X-Request-ID, Retry-After"
#: For how many seconds a browser does not repeat the preflight request.
_MAX_AGE = "600"


def preflight(request: HttpRequest, methods: Collection[str]) -> HttpResponse | None:
    """Return the answer to a preflight request, or None for any other request.

    A preflight request is not authenticated, so this answer allows the page of every tenant. For the call that follows,
    `allow` decides whether the page can read the answer.
    """
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    response = HttpResponse(status=204)
    if allow(request, response, actor=None):
        response["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
        response["Access-Control-Allow-Headers"] = _HEADERS
        response["Access-Control-Max-Age"] = _MAX_AGE
    return response


def allow(request: HttpRequest, response: HttpResponseBase, *, actor: Actor | None) -> bool:
    """Allow the calling page to read this answer, if it is the approval page of one of the actor's tenants.

    Return whether the page can read the answer. Without an actor, the answer shows nothing of a tenant, so the approval
    page of any tenant can read it.
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
