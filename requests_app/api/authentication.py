"""Who calls: a bearer token (RFC 6750), looked up by its hash, with its holder's roles as they are at this moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from requests_app import api_secrets, clock, operations
from requests_app.api_secrets import Kind
from requests_app.models import Person, Token

security_log = structlog.get_logger("security")

#: A token's last use is remembered to this grain, or each call would be a write.
USE_GRAIN = timedelta(minutes=1)
REALM = 'Bearer realm="lockbox"'


class BearerAuthentication(BaseAuthentication):
    """`request.user` is the token's account, `request.auth` the token. No session and no cookie is a way in."""

    def authenticate(self, request: Any) -> tuple[Person, Token] | None:
        scheme, _space, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not scheme:
            return None
        token = _found(secret.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            security_log.warning("api.token_refused", ip=request.META.get("REMOTE_ADDR", ""))
            raise AuthenticationFailed
        at = clock.now()
        if token.last_used_at is None or at - token.last_used_at >= USE_GRAIN:
            operations.note_use(token, at=at)
        return token.account, token

    def authenticate_header(self, request: HttpRequest) -> str:
        return REALM


def _found(secret: str) -> Token | None:
    """The live token of a live account. Absent, ended, revoked and switched off look alike."""
    if not api_secrets.is_whole(secret, Kind.PERSONAL, Kind.ACCESS):
        return None
    token = Token.objects.select_related("account").filter(secret_hash=api_secrets.hashed(secret)).first()
    if token is None or not token.account.is_active or not token.is_live(clock.now()):
        return None
    return token
