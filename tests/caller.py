"""A caller of the API: a person or a client, with a token."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import resolve

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.scopes import OF_CLIENTS, OF_PROVIDER_CLIENTS, Scope, in_order
from requests_app.doors.api import oauth
from requests_app.models import Client, Token
from requests_app.models.people import actor_of_token
from tests.cast import PASSWORD, Cast
from tests.factors import anybodys_code
from tests.remembered import MEMORY, remembered


@dataclass
class Caller:
    """Calls the API with one token. For example, `call.get("me")` is a GET of /api/v1/me."""

    secret: str
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self._sent(Browser(raise_request_exception=False), method, path, body, headers)

    def to_view(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """Call the view of this URL without the middleware around it, which takes a third of the time of a call.

        An error that the site would answer with 500 is raised.
        """
        request = self._sent(RequestFactory(), method, path, body, headers)
        found = resolve(request.path)
        answer: HttpResponse = found.func(request, *found.args, **found.kwargs)
        return answer

    def _sent(self, by: Browser | RequestFactory, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        path = path if path.startswith("/") or "://" in path else f"/api/v1/{path}"
        named = {name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()}
        call = getattr(by, method)
        extra: dict[str, Any] = {"headers": {"Authorization": f"Bearer {self.secret}", **named}}
        if method in ("get", "head", "options"):
            return call(path, body or {}, **extra)
        return call(path, body if body is not None else {}, content_type="application/json", **extra)

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> Any:
        return self("get", path, query, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("post", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("delete", path, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self("patch", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        return self("put", path, body, **headers)

    def decide(self, verdict: str, row: Any, comment: str = "", **body: Any) -> Any:
        """Read the access request, then decide on the version that was read, as a client of the API does."""
        tag = self.get(f"access-requests/{row.pk}")["ETag"]
        return self.post(f"access-requests/{row.pk}/{verdict}", {"comment": comment, **body}, If_Match=tag)

    def step_up(self) -> Any:
        """Confirm with the password and, if the person has an app, with a code."""
        return self.post("me/step-up", {"password": PASSWORD, "code": anybodys_code()})


def token_of(cast: Cast, name: str, *scopes: Scope, days: int = 7, fresh: bool = True) -> str:
    """Return a new personal token with these scopes. Without scopes, it has all scopes.

    With `fresh`, the token's owner has just confirmed who they are.
    """
    made = _new_token(cast, name, *in_order(scopes or frozenset(Scope)), days=days)
    if fresh:
        Token.objects.filter(pk=made.row.pk).update(stepped_up_at=clock.now())
    return made.secret


@remembered
def _new_token(cast: Cast, name: str, *scopes: str, days: int) -> operations.Made:
    return operations.create_token(name="test", scopes=list(scopes), days=days, actor=cast.as_(name))


def client_of(cast: Cast, tenant: str | None = "contoso", *scopes: Scope, **options: Any) -> tuple[Client, str]:
    """Return a new client and its secret.

    The client belongs to this tenant, and its administrator creates it. With None, it belongs to the provider, and
    staff create it.
    """
    # The provider's client for a directory has no other scope, and its client for an application has a service.
    of_provider = OF_PROVIDER_CLIENTS - {Scope.MEMBERS_PROVISION, Scope.GUARD}
    wanted = in_order(scopes or (OF_CLIENTS if tenant else of_provider))
    made = _new_client(cast, tenant or "", *wanted, **options)
    return made.row, made.secret


@remembered
def _new_client(cast: Cast, tenant: str, *scopes: str, **options: Any) -> operations.Made:
    if not tenant:
        return cast.own_client("Help desk", list(scopes))
    by = {"contoso": "ines", "fabrikam": "finn", "northwind": "noah"}[tenant]
    return operations.create_client(
        tenant_id=cast.tenants[tenant].pk, name="Help desk", scopes=list(scopes), actor=cast.as_(by), **options
    )


def service_of(cast: Cast, tenant: str | None = None, scope: Scope = Scope.EVALUATE) -> Actor:
    """Return the actor of a new client with one scope. Without `scope`, it can only call the decision point.

    With None, the client belongs to the provider.
    """
    client, _secret = client_of(cast, tenant, scope)
    operations.issue_access_token(client, scopes=frozenset({scope}))
    token = Token.objects.select_related("account__client").get(account=client.account)
    # The token stays valid for the whole test, even if the test moves its clock.
    token.expires_at += dt.timedelta(days=2)
    token.save(update_fields=["expires_at"])
    return actor_of_token(token)


def access_token(client: Client, secret: str, scope: str = "") -> Any:
    """Ask the token endpoint for an access token, as a client does."""
    oauth.TRIES.clear()
    form = {"grant_type": "client_credentials", "client_id": str(client.pk), "client_secret": secret}
    return Browser().post("/oauth/token", {**form, **({"scope": scope} if scope else {})})


def caller_for(cast: Cast, name: str | None, *scopes: Scope, **options: Any) -> Caller:
    """Return a caller: a person by name, a tenant's client by the tenant's name, the provider's client for None."""
    if name is None or name in cast.tenants:
        client, secret = client_of(cast, name, *scopes, **options)
        key = ("access token", str(client.pk))
        return Caller(MEMORY.call(key, lambda: str(access_token(client, secret).json()["access_token"])))
    return Caller(token_of(cast, name, *scopes, **options))
