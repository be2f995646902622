"""The values that every template can use."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from lockbox_site import views


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the provider's name, the request's id for error reports, and the nonce of the page's scripts."""
    return {
        "provider_name": settings.PROVIDER_NAME,
        "request_id": getattr(request, "request_id", ""),
        # Lazy: if a response has no scripts, its policy has no nonce.
        "csp_nonce": SimpleLazyObject(lambda: views.nonce_of(request)),
    }
