"""Authenticates callers: a bearer token (RFC 6750), found by its hash, with its holder's present roles."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from requests_app import operations
from requests_app.domain import api_secrets
from requests_app.domain.api_secrets import Kind
from requests_app.models import Person, Token
from requests_app.models.people import find_token

security_log = structlog.get_logger("security")

#: A token's last use is remembered to this grain, or each call would be a write.
USE_GRAIN = timedelta(minutes=1)
REALM = 'Bearer realm="lockbox"'


class BearerAuthentication(BaseAuthentication):
    """`request.user` is the token's account, `request.auth` the token. Sessions and cookies are not accepted."""

    def authenticate(self, request: Any) -> tuple[Person, Token] | None:
        scheme, _space, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not scheme:
            return None
        found = _found(secret.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            security_log.warning("api.token_refused", ip=request.META.get("REMOTE_ADDR", ""))
            raise AuthenticationFailed
        token, at = found
        if token.last_used_at is None or at - token.last_used_at >= USE_GRAIN:
            operations.note_use(token, at=at)
        return token.account, token

    def authenticate_header(self, request: HttpRequest) -> str:
        return REALM


def _found(secret: str) -> tuple[Token, datetime] | None:
    """Return the live token of a live account, and when it was read, in one statement: every call begins with it.

    Missing, ended and revoked tokens, and those of accounts that are switched off, get the same answer.
    """
    if not api_secrets.is_whole(secret, Kind.PERSONAL, Kind.ACCESS):
        return None
    found = find_token(secret_hash=api_secrets.hashed(secret))
    if found is None:
        return None
    token, at = found
    return (token, at) if token.account.is_active and token.is_live(at) else None
