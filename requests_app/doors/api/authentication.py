"""Authenticates callers by a bearer token (RFC 6750). The token's hash leads to the account and its present roles."""

from __future__ import annotations

from typing import Any

import structlog
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from requests_app import operations
from requests_app.domain import api_secrets, limits
from requests_app.domain.api_secrets import Kind
from requests_app.models import Person, Token
from requests_app.models.people import find_token

security_log = structlog.get_logger("security")

REALM = 'Bearer realm="lockbox"'


class BearerAuthentication(BaseAuthentication):
    """Sets `request.user` to the token's account and `request.auth` to the token. Ignores sessions and cookies."""

    def authenticate(self, request: Any) -> tuple[Person, Token] | None:
        scheme, _space, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not scheme:
            return None
        token_hash = hash_of(secret) if scheme.lower() == "bearer" else None
        token = token_with(token_hash) if token_hash is not None else None
        if token is None:
            security_log.warning("api.token_refused", ip=request.META.get("REMOTE_ADDR", ""))
            raise AuthenticationFailed
        return token.account, token

    def authenticate_header(self, request: HttpRequest) -> str:
        return REALM


def hash_of(secret: str) -> str | None:
    """Return the hash of a token, or None if the text does not have the form of a token."""
    secret = secret.strip()
    return api_secrets.hashed(secret) if api_secrets.is_whole(secret, Kind.PERSONAL, Kind.ACCESS) else None


def token_with(token_hash: str) -> Token | None:
    """Return the token, or None if it can't be used. Note its use. Every call of the API runs this query.

    Missing, ended and revoked tokens, and tokens of accounts that are switched off, all give None. So a caller can't
    tell these cases apart.
    """
    found = find_token(secret_hash=token_hash)
    if found is None:
        return None
    token, at = found
    if not (token.account.is_active and token.is_live(at)):
        return None
    if token.last_used_at is None or at - token.last_used_at >= limits.TOKEN_USE_GRAIN:
        operations.note_use(token, at=at)
    return token
