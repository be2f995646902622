"""Redeems a one-time code for a grant token at the token endpoint (RFC 6749, section 4.1.3), with its proof key."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError, TokenEndpointMixin, UnauthorizedClientError
from authlib.oauth2.rfc6749.grants import BaseGrant

from requests_app import operations
from requests_app.domain.errors import DomainError
from requests_app.doors.api.token_exchange import METHODS, actor_in, answer_with, as_oauth_error
from requests_app.queries import receivers

GRANT_TYPE = "authorization_code"
#: What the form must have. `code_verifier` is the value in the cookie of the browser (RFC 7636, section 4.5).
_NEEDED = ("code", "redirect_uri", "code_verifier")


class CodeExchange(BaseGrant, TokenEndpointMixin):
    GRANT_TYPE = GRANT_TYPE
    TOKEN_ENDPOINT_AUTH_METHODS = list(METHODS)

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(GRANT_TYPE):
            raise UnauthorizedClientError
        self.request.client = client
        if not all(self.request.form.get(name) for name in _NEEDED):
            raise InvalidRequestError

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        form, actor = self.request.form, actor_in(self.request)
        receiver = receivers.find(str(actor.machine.client_id)) if actor.machine is not None else None
        if receiver is None:
            raise UnauthorizedClientError
        try:
            code = operations.redeem_code(
                form["code"],
                receiver=receiver,
                redirect_uri=form["redirect_uri"],
                verifier=form["code_verifier"],
                actor=actor,
            )
            made = operations.exchange_code(code.pk, actor=actor)
        except DomainError as refusal:
            raise as_oauth_error(refusal, InvalidGrantError) from refusal
        return 200, answer_with(made), self.TOKEN_RESPONSE_HEADER
