"""A grant token for tests, made without an act: no log has an entry about it."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from requests_app.domain import clock
from requests_app.models import Grant
from requests_app.models.token_keys import signed


def grant_token(grant: Grant, **changes: Any) -> str:
    """Return a grant token for this window of the application Quillo, with these changes of its claims."""
    at = int(clock.now().timestamp())
    claims = {
        "iss": settings.BASE_URL,
        "aud": f"{settings.BASE_URL}/services/quillo",
        "sub": str(grant.engineer_id),
        "iat": at,
        "exp": at + 300,
        "authorization_details": [{"type": "lockbox_grant", "grant_id": str(grant.pk)}],
        **changes,
    }
    return signed(claims, typ="at+jwt")
