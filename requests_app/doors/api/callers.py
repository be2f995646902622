"""Clients and personal tokens: make, change and revoke them.

A secret is only in the answer to the call that makes it.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.acts.callers import (
    CHANGE_CLIENT,
    CREATE_CLIENT,
    CREATE_TOKEN,
    MAKE_LASTING_TOKEN,
    REMOVE_CLIENT,
    REVOKE_TOKEN,
    ROTATE_CLIENT_SECRET,
)
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import IdFilter, Scopes, Strict, Text, Uuid, Whole, YesNoFilter
from requests_app.doors.api.schema import extend_schema
from requests_app.doors.api.shapes import PersonRef, ServiceRef, TenantRef
from requests_app.platform.addresses import absolute
from requests_app.platform.secret_answers import secret_answer
from requests_app.queries import callers
from requests_app.queries import tenant as tenants

# --- Clients -------------------------------------------------------------------------------------------------


class ClientOut(serializers.Serializer):
    """`tenant` is null for a client of the provider. `decides_for` is the approver for whom the client decides.

    `service` is the external service whose application the client guards, with the scope `guard`.

    The client authenticates with `id`. In the log, in events and in other answers, `actor` is the client's id.
    """

    id = serializers.UUIDField()
    actor = serializers.UUIDField(source="account_id")
    name = serializers.CharField(source="account.name")
    tenant = TenantRef(allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())
    decides_for = PersonRef(allow_null=True)
    service = ServiceRef(allow_null=True)
    created_by = PersonRef()
    created_at = serializers.DateTimeField()
    secret_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)


class ClientWithSecret(ClientOut):
    """A client with its secret. Only this answer shows `secret`."""

    secret = serializers.SerializerMethodField()

    def get_secret(self, row: Any) -> str:
        return str(self.context["secret"])


class ClientIn(Strict):
    name = Text()
    scopes = Scopes()
    decides_for = Uuid(required=False, allow_null=True)
    service = Uuid(required=False, allow_null=True)


class ClientChange(Strict):
    needs_a_member = True

    scopes = Scopes(required=False)
    decides_for = Uuid(required=False, allow_null=True)
    service = Uuid(required=False, allow_null=True)


class _Clients(ListView):
    scopes: ClassVar = {"GET": Scope.TOKENS_MANAGE}
    acts: ClassVar = {"POST": (CREATE_CLIENT,)}
    serializer_class = ClientOut
    orders = ("-created_at",)

    def _made(self, tenant_id: UUID | None) -> Response:
        if tenant_id is not None:
            tenants.tenant(tenant_id, actor=self.actor)
        found = self.body(ClientIn)
        made = operations.create_client(
            tenant_id=tenant_id,
            name=found["name"],
            scopes=found["scopes"],
            decides_for_id=found.get("decides_for"),
            service_id=found.get("service"),
            actor=self.actor,
        )
        return _with_secret(self, made, status=201)


_MADE = {201: ClientWithSecret}
_EXAMPLES = [
    OpenApiExample("A SIEM", request_only=True, value={"name": "SIEM", "scopes": ["log:read"]}),
    OpenApiExample(
        "A help desk",
        request_only=True,
        value={"name": "Help desk", "scopes": ["tickets:read", "tickets:write", "requests:read"]},
    ),
]


class TenantClients(_Clients):
    @extend_schema(
        operation_id="clients_list", summary="List a tenant's clients", tags=["callers"], responses=ClientOut(many=True)
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        """Everybody in the tenant can read this list, because a client can decide for the tenant."""
        row = tenants.tenant(tenant, actor=self.actor)
        return self.listed(callers.clients(self.actor, tenant_id=row.pk))

    @extend_schema(
        operation_id="clients_create",
        summary="Add a client to a tenant",
        tags=["callers"],
        request=ClientIn,
        responses=_MADE,
        examples=_EXAMPLES,
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        return self._made(tenant)


class ProviderClients(_Clients):
    """The provider's own clients, which can call for every tenant. Only staff can read and add them."""

    @extend_schema(
        operation_id="provider_clients_list",
        summary="List the provider's clients",
        tags=["callers"],
        responses=ClientOut(many=True),
    )
    def get(self, request: Any) -> Response:
        return self.listed(callers.clients(self.actor))

    @extend_schema(
        operation_id="provider_clients_create",
        summary="Add a client of the provider",
        tags=["callers"],
        request=ClientIn,
        responses=_MADE,
        examples=_EXAMPLES,
    )
    def post(self, request: Any) -> Response:
        return self._made(None)


class OneClient(ApiView):
    scopes: ClassVar = {"GET": Scope.TOKENS_MANAGE}
    acts: ClassVar = {"PATCH": (CHANGE_CLIENT,), "DELETE": (REMOVE_CLIENT,)}

    @extend_schema(operation_id="clients_show", summary="Read one client", tags=["callers"], responses={200: ClientOut})
    def get(self, request: Any, pk: UUID) -> Response:
        return self.shown(ClientOut, callers.client(pk, actor=self.actor))

    @extend_schema(
        operation_id="clients_change",
        summary="Set what a client can do",
        tags=["callers"],
        request=ClientChange,
        responses={200: ClientOut},
        examples=[
            OpenApiExample(
                "Decide for an approver",
                request_only=True,
                value={"scopes": ["requests:read", "decisions:write"], "decides_for": "{approver}"},
            )
        ],
    )
    def patch(self, request: Any, pk: UUID) -> Response:
        found = self.body(ClientChange)
        wanted = {f"{name}_id": found[name] for name in ("decides_for", "service") if name in found}
        operations.change_client(pk, scopes=found.get("scopes"), actor=self.actor, **wanted)
        return self.shown(ClientOut, callers.client(pk, actor=self.actor))

    @extend_schema(
        operation_id="clients_remove", summary="Remove a client", tags=["callers"], request=None, responses={204: None}
    )
    def delete(self, request: Any, pk: UUID) -> Response:
        operations.remove_client(pk, actor=self.actor)
        return Response(status=204)


class RotateSecret(ApiView):
    acts: ClassVar = {"POST": (ROTATE_CLIENT_SECRET,)}

    @extend_schema(
        operation_id="clients_rotate_secret",
        summary="Give a client a new secret; the previous secret stops working immediately",
        tags=["callers"],
        request=None,
        responses={200: ClientWithSecret},
    )
    def post(self, request: Any, pk: UUID) -> Response:
        self.body(Strict)
        return _with_secret(self, operations.rotate_client_secret(pk, actor=self.actor), status=200)


def _with_secret(view: ApiView, made: operations.Made, *, status: int) -> Response:
    row = callers.client(made.row.pk, actor=view.actor)
    location = absolute(reverse("api:client", args=[row.pk])) if status == 201 else ""
    return secret_answer(view.shown(ClientWithSecret, row, status=status, location=location, secret=made.secret))


# --- Personal tokens -----------------------------------------------------------------------------------------


class TokenOut(serializers.Serializer):
    """`hint` is the end of the token, by which its owner can recognise the token. `kind` is personal or lasting.

    A lasting token is a long-lived token for a directory. Its owner is the directory's client.
    """

    id = serializers.UUIDField()
    kind = serializers.CharField()
    name = serializers.CharField()
    owner = PersonRef(source="account")
    scopes = serializers.ListField(child=serializers.CharField())
    hint = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class TokenWithSecret(TokenOut):
    """`secret` is the token itself. Only this answer shows it."""

    secret = serializers.SerializerMethodField()

    def get_secret(self, row: Any) -> str:
        return str(self.context["secret"])


@extend_schema_field({"type": "integer", "enum": list(operations.integrations.LIFETIMES)})
class Days(Whole):
    """The number of days for which a token works."""


class TokenIn(Strict):
    name = Text()
    scopes = Scopes()
    days = Days()


class TokenFilter(django_filters.FilterSet):
    owner = IdFilter(field_name="account_id")
    is_live = YesNoFilter(method="live")

    def live(self, rows: Any, _name: str, value: bool) -> Any:
        live = rows.live(clock.now())
        return live if value else rows.exclude(pk__in=live.values("pk"))


class Tokens(ListView):
    """The caller's own tokens. An administrator also sees the tokens of the tenant's people and directories."""

    scopes: ClassVar = {"GET": Scope.TOKENS_MANAGE}
    acts: ClassVar = {"POST": (CREATE_TOKEN,)}
    serializer_class = TokenOut
    filterset_class = TokenFilter
    orders = ("-created_at", "created_at")

    @extend_schema(
        operation_id="tokens_list",
        summary="List personal tokens, and tokens of directories",
        tags=["callers"],
        responses=TokenOut(many=True),
    )
    def get(self, request: Any) -> Response:
        return self.listed(callers.tokens(self.actor))

    @extend_schema(
        operation_id="tokens_create",
        summary="Make a personal token",
        tags=["callers"],
        request=TokenIn,
        responses={201: TokenWithSecret},
        examples=[
            OpenApiExample(
                "A week, to read",
                request_only=True,
                value={"name": "laptop", "scopes": ["requests:read", "grants:read"], "days": 7},
            )
        ],
    )
    def post(self, request: Any) -> Response:
        made = operations.create_token(**self.body(TokenIn), actor=self.actor)
        row = callers.token(made.row.pk, actor=self.actor)
        location = absolute(reverse("api:token_of", args=[row.pk]))
        return secret_answer(self.shown(TokenWithSecret, row, status=201, location=location, secret=made.secret))


class OneToken(ApiView):
    scopes: ClassVar = {"GET": Scope.TOKENS_MANAGE}
    acts: ClassVar = {"DELETE": (REVOKE_TOKEN,)}

    @extend_schema(operation_id="tokens_show", summary="Read one token", tags=["callers"], responses={200: TokenOut})
    def get(self, request: Any, pk: UUID) -> Response:
        return self.shown(TokenOut, callers.token(pk, actor=self.actor))

    @extend_schema(
        operation_id="tokens_revoke",
        summary="Revoke a token",
        tags=["callers"],
        request=None,
        responses={204: None},
    )
    def delete(self, request: Any, pk: UUID) -> Response:
        operations.revoke_token(pk, actor=self.actor)
        return Response(status=204)


# --- Long-lived tokens of directories ----------------------------------------------------------------------------


@extend_schema_field({"type": "integer", "minimum": 30, "maximum": 365})
class LastingDays(Whole):
    """The number of days for which a directory's token works: 30, 90, 180 or 365."""


class LastingIn(Strict):
    days = LastingDays()


class LastingToken(ApiView):
    acts: ClassVar = {"POST": (MAKE_LASTING_TOKEN,)}

    @extend_schema(
        operation_id="clients_make_token",
        summary="Make a long-lived token for a directory; the previous token works for another week",
        tags=["callers"],
        request=LastingIn,
        responses={201: TokenWithSecret},
        examples=[OpenApiExample("A year", request_only=True, value={"days": 365})],
    )
    def post(self, request: Any, pk: UUID) -> Response:
        """Only the tenant's administrator can do this, after `me/step-up`.

        The client's only scope must be `members:provision`.
        """
        made = operations.make_lasting_token(pk, **self.body(LastingIn), actor=self.actor)
        row = callers.token(made.row.pk, actor=self.actor)
        location = absolute(reverse("api:token_of", args=[row.pk]))
        return secret_answer(self.shown(TokenWithSecret, row, status=201, location=location, secret=made.secret))
