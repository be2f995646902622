"""What every template may read."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the provider's name, and the id to quote when something went wrong."""
    return {"provider_name": settings.PROVIDER_NAME, "request_id": getattr(request, "request_id", "")}
