"""The token endpoint: a client sends its secret and gets a token for an hour (RFC 6749, section 4.4).

An application also gets grant tokens here: for a one-time code (`code_exchange`), and for a former token
(`token_exchange`).

Authlib implements the protocol, and this module reads and stores the rows. It stores only the hash of a token. A
removed client gets no token.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit

import structlog
from authlib.integrations.django_oauth2 import AuthorizationServer
from authlib.integrations.django_oauth2.requests import DjangoOAuth2Payload, DjangoOAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError, InvalidScopeError, OAuth2Request, grants
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from requests_app import operations
from requests_app.domain import api_secrets, one_time_codes
from requests_app.domain.errors import DomainError, NotFound
from requests_app.domain.scopes import Scope, in_order, known
from requests_app.doors.api import code_exchange, token_exchange
from requests_app.doors.api.quota import Quota
from requests_app.models import Client
from requests_app.platform import outcome
from requests_app.platform.addresses import absolute
from requests_app.platform.secret_answers import secret_answer
from requests_app.queries import restored

security_log = structlog.get_logger("security")
log = structlog.get_logger(__name__)

#: How many calls one address can make in a minute, in each web process. This only limits the load: nobody can guess a
#: secret of 238 bits.
TRIES, TRIES_MAX = Quota("token"), 120

#: The grants that only the client of an application can use.
_OF_GUARDS = (code_exchange.GRANT_TYPE, token_exchange.GRANT_TYPE)


class _Request(DjangoOAuth2Request):
    """Shows the request to Authlib with an https address, because Authlib refuses http.

    The site itself requires https (SSL_REDIRECT), except in a trial.
    """

    def __init__(self, request: HttpRequest) -> None:
        uri = urlsplit(absolute(request.get_full_path()))._replace(scheme="https").geturl()
        OAuth2Request.__init__(self, method=request.method, uri=uri, headers=request.headers)
        self.payload = DjangoOAuth2Payload(request)
        self._request = self.call = request


class _Caller(ClientMixin):
    """Adapts a client to the interface that Authlib needs."""

    def __init__(self, row: Client) -> None:
        self.row = row

    def get_client_id(self) -> str:
        return str(self.row.pk)

    def get_allowed_scope(self, scope: str) -> str:
        """Return the requested scopes that the client has, or all its scopes if none were requested."""
        held = known(self.row.scopes)
        wanted = known(scope.split()) if scope else held
        return " ".join(in_order(held & wanted))

    def check_client_secret(self, client_secret: str) -> bool:
        if not api_secrets.is_whole(client_secret, api_secrets.Kind.CLIENT_SECRET):
            return False
        # A secret that was replaced after the backup works again after a restore. So nobody uses one before people have
        # confirmed the clients.
        if restored.is_client_waiting(self.row):
            return False
        return secrets.compare_digest(self.row.secret_hash, api_secrets.hashed(client_secret))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in token_exchange.METHODS and endpoint == "token"

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether the client can use this grant. Only the client of an application gets grant tokens."""
        return grant_type == "client_credentials" or (grant_type in _OF_GUARDS and self.is_guard)

    @property
    def is_guard(self) -> bool:
        return Scope.GUARD in self.row.scopes and self.row.service is not None


class _Grant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = list(token_exchange.METHODS)

    def validate_requested_scope(self) -> None:
        """Refuse a scope that the client does not have.

        The scope is not silently left out, because the caller relies on it.
        """
        wanted = self.request.payload.scope
        allowed = self.request.client.get_allowed_scope(wanted or "")
        if wanted and set(wanted.split()) != set(allowed.split()):
            raise InvalidScopeError


class _Server(AuthorizationServer):
    def __init__(self) -> None:
        super().__init__(Client, None)
        self.register_grant(_Grant)
        self.register_grant(token_exchange.TokenExchange)
        self.register_grant(code_exchange.CodeExchange)
        self.register_token_generator("default", _issued)

    def query_client(self, client_id: str) -> _Caller | None:
        try:
            return _Caller(Client.objects.live().select_related("account", "service").find(client_id))
        except NotFound:
            return None

    def create_oauth2_request(self, request: HttpRequest) -> _Request:
        return _Request(request)

    def handle_response(self, status_code: int, payload: Any, headers: Any) -> HttpResponse:
        """Answer an unknown client, a removed client and a wrong secret in the same way, with the same status."""
        if isinstance(payload, dict) and payload.get("error") == "invalid_client":
            security_log.warning("api.client_refused", why=payload.get("error_description"))
            status_code, payload = 401, {"error": "invalid_client"}
            headers = [*headers, ("WWW-Authenticate", 'Basic realm="lockbox"')]
        found: HttpResponse = super().handle_response(status_code, payload, headers)
        return found

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Do nothing: the token was stored when it was made."""


def _issued(grant_type: str, client: _Caller, user: Any = None, scope: str | None = None, **_options: Any) -> Any:
    granted = known(client.get_allowed_scope(scope or "").split())
    try:
        made = operations.issue_access_token(client.row, scopes=granted)
    except NotFound as error:
        raise InvalidClientError(description="The secret was changed in the meantime.") from error
    return {
        "token_type": "Bearer",
        "access_token": made.secret,
        "expires_in": int(operations.integrations.ACCESS_TOKEN_FOR.total_seconds()),
        "scope": " ".join(in_order(granted)),
    }


_server = _Server()


@csrf_exempt
@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """Answer a call for a token. Answers and errors have the format of RFC 6749, sections 5.1 and 5.2."""
    standing = TRIES.take(request.META.get("REMOTE_ADDR", ""), TRIES_MAX)
    if standing.is_over:
        found: HttpResponse = JsonResponse({"error": "temporarily_unavailable"}, status=429)
        found["Retry-After"] = str(standing.reset)
        return found
    if request.GET or _is_ambiguous(request):
        # The secret would be in an address, and addresses are written to logs (RFC 6749, section 2.3.1).
        return JsonResponse({"error": "invalid_request"}, status=400, headers={"Cache-Control": "no-store"})
    if _is_readable(request):
        try:
            found = _server.create_token_response(request)
        except (OperationalError, InterfaceError) as error:
            return _store_failed(request, error, outcome.refusal_of(error))
        except DomainError as error:
            return _store_failed(request, error, error)
    else:
        found = _server.handle_response(401, {"error": "invalid_client"}, [("Content-Type", "application/json")])
    return secret_answer(found)


def _store_failed(request: HttpRequest, error: Exception, refusal: DomainError) -> HttpResponse:
    """Answer 503 in the format of RFC 6749, after the database failed.

    RFC 6749 defines no error for this at the token endpoint, so the error of its section 4.1.2.1 is used.
    """
    log.error("store.unavailable", error=type(error).__name__, path=request.path)
    body = {"error": "temporarily_unavailable", "error_description": str(refusal)}
    return JsonResponse(body, status=503, headers={"Cache-Control": "no-store", "Retry-After": "5"})


def _is_ambiguous(request: HttpRequest) -> bool:
    """Return whether a parameter or the client's secret is sent twice (RFC 6749, sections 2.3 and 3.2)."""
    is_repeated = any(len(values) > 1 for _name, values in request.POST.lists())
    return is_repeated or bool(request.POST.get("client_secret") and "Authorization" in request.headers)


def _is_readable(request: HttpRequest) -> bool:
    """Return whether Authlib can read the client's id and secret.

    If they are not text, Authlib would fail with a server error.
    """
    try:
        extract_basic_authorization(request.headers)
    except ValueError:
        return False
    return True


@require_safe
def metadata(request: HttpRequest) -> JsonResponse:
    """Return the metadata of RFC 8414: the addresses of the endpoints, and what they accept."""
    return JsonResponse(
        {
            "issuer": settings.BASE_URL,
            "token_endpoint": settings.BASE_URL + reverse("api:token"),
            "jwks_uri": settings.BASE_URL + reverse("api:jwks"),
            "token_endpoint_auth_methods_supported": list(token_exchange.METHODS),
            "authorization_endpoint": settings.BASE_URL + reverse("web:authorize"),
            "grant_types_supported": ["client_credentials", *_OF_GUARDS],
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": [one_time_codes.METHOD],
            "authorization_response_iss_parameter_supported": True,
            "scopes_supported": in_order(Scope),
            "service_documentation": settings.BASE_URL + reverse("api:reader"),
        }
    )
