"""The values that every template can use."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from lockbox_site import views


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the provider's name, the id to quote when something went wrong, and the nonce of the page's scripts."""
    return {
        "provider_name": settings.PROVIDER_NAME,
        "request_id": getattr(request, "request_id", ""),
        # Lazy: a response without scripts has no nonce in its policy.
        "csp_nonce": SimpleLazyObject(lambda: views.nonce_of(request)),
    }
