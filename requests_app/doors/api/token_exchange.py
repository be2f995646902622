"""Exchanges a grant token for a new one at the token endpoint (RFC 8693), for an application that renews it."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import (
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    TokenEndpointMixin,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import BaseGrant

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError, InsufficientScope, StoreUnavailable
from requests_app.models.people import actor_of_client
from requests_app.operations import GrantToken

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type
#: A grant token is both (RFC 8693, section 3).
TYPES = (ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:jwt")
METHODS = ("client_secret_basic", "client_secret_post")


class InvalidTargetError(OAuth2Error):
    """The application asked for a token for another one (RFC 8693, section 2.2.2)."""

    error = "invalid_target"


class TokenExchange(BaseGrant, TokenEndpointMixin):
    GRANT_TYPE = GRANT_TYPE
    TOKEN_ENDPOINT_AUTH_METHODS = list(METHODS)

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(GRANT_TYPE):
            raise UnauthorizedClientError
        self.request.client = client
        form = self.request.form
        if form.get("subject_token_type") not in TYPES or not form.get("subject_token"):
            raise InvalidRequestError
        if form.get("requested_token_type", ACCESS_TOKEN) not in TYPES or "actor_token" in form:
            raise InvalidRequestError
        if form.get("scope"):
            # The window says what the token allows. A scope would say something else.
            raise InvalidScopeError
        expected = operations.audience_of(client.row.service)
        if any(form[name] != expected for name in ("audience", "resource") if name in form):
            raise InvalidTargetError

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        try:
            made = operations.renew_grant_token(self.request.form["subject_token"], actor=actor_in(self.request))
        except DomainError as refusal:
            raise as_oauth_error(refusal) from refusal
        return 200, answer_with(made), self.TOKEN_RESPONSE_HEADER


def actor_in(request: Any) -> Actor:
    """Return the client that has authenticated at the token endpoint, as an actor."""
    call = request.call
    return actor_of_client(
        request.client.row, request_id=getattr(call, "request_id", ""), ip=call.META.get("REMOTE_ADDR", "")
    )


def as_oauth_error(refusal: DomainError, kind: type[OAuth2Error] = InvalidRequestError) -> Exception:
    """Return the refusal as an error of the token endpoint. Its description is the stable code of the refusal."""
    if refusal.status == StoreUnavailable.status:
        # The endpoint answers it as it answers every failure of the database.
        return refusal
    if isinstance(refusal, InsufficientScope):
        # The client was removed, or lost its scope, after it proved its secret.
        return InvalidClientError(description=refusal.code)
    return kind(description=refusal.code)


def answer_with(made: GrantToken) -> dict[str, Any]:
    return {
        "access_token": made.token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": made.expires_in,
    }
