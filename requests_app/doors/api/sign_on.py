"""Single sign-on of a tenant: its connection, its verified domains, and the identities of its people.

The identity provider can sign in as anybody of the tenant. So only a human can change these settings, after
`me/step-up`. No client can get the scope for the change.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.actors import Role
from requests_app.domain.acts.single_sign_on import (
    CLAIM_DOMAIN,
    REMOVE_DOMAIN,
    SET_SIGN_ON,
    UNLINK_IDENTITY,
    VERIFY_DOMAIN,
)
from requests_app.domain.errors import NotFound
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import Strict, Text, Uuid, YesNo
from requests_app.doors.api.schema import one, problems
from requests_app.doors.api.shapes import PersonRef
from requests_app.identity.sso import domains
from requests_app.models import Domain, Membership, SignOn, Tenant
from requests_app.platform.addresses import absolute
from requests_app.queries import single_sign_on as queries
from requests_app.queries import tenant as tenants

_TAGS = ["single sign-on"]
_IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag of the settings that you have read. It is required if single sign-on is already set up.",
)


class SignOnOut(serializers.Serializer):
    """Enter `redirect_uri` at the identity provider. No answer contains the client's secret."""

    issuer = serializers.CharField()
    client_id = serializers.CharField()
    scopes = serializers.CharField()
    key_claim = serializers.CharField()
    groups_claim = serializers.CharField()
    role_map = serializers.DictField(child=serializers.CharField())
    is_on = serializers.BooleanField()
    is_only = serializers.BooleanField()
    break_glass = PersonRef(allow_null=True)
    changed_at = serializers.DateTimeField()
    redirect_uri = serializers.SerializerMethodField()

    @extend_schema_field(serializers.URLField())
    def get_redirect_uri(self, row: SignOn) -> str:
        return queries.redirect_uri(str(row.tenant_id))


class SignOnIn(Strict):
    """The whole configuration. A value that is left out is empty or off. Without a secret, the current secret stays.

    `role_map` says which role a group of `groups_claim` gives. If `is_only` is true, all people must use single
    sign-on, except the administrator in `break_glass`.
    """

    issuer = Text()
    client_id = Text()
    client_secret = Text(required=False, allow_blank=True, default="", write_only=True)
    scopes = Text(required=False, default="openid profile email")
    key_claim = Text(required=False, default="sub")
    groups_claim = Text(required=False, allow_blank=True, default="")
    role_map = serializers.DictField(
        child=serializers.ChoiceField(choices=Membership.Role.values), required=False, default=dict
    )
    is_on = YesNo(required=False, default=False)
    is_only = YesNo(required=False, default=False)
    break_glass = Uuid(required=False, allow_null=True, default=None)


class OneSignOn(ApiView):
    scopes: ClassVar = {"GET": Scope.TENANT_READ}
    acts: ClassVar = {"PUT": (SET_SIGN_ON,)}

    @extend_schema(
        operation_id="sign_on_show",
        summary="Read where a tenant's people sign in",
        tags=_TAGS,
        responses=one(SignOnOut),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can read this. The answer is 404 if single sign-on is not set up."""
        return self.shown(SignOnOut, self._row(tenants.administered(tenant, actor=self.actor)))

    @extend_schema(
        operation_id="sign_on_set",
        summary="Set where a tenant's people sign in",
        tags=_TAGS,
        parameters=[_IF_MATCH],
        request=SignOnIn,
        responses=one(SignOnOut) | problems(412, 428),
        examples=[
            OpenApiExample(
                "Set it up, still off",
                request_only=True,
                value={
                    "issuer": "https://login.contoso.example/v2.0",
                    "client_id": "lockbox",
                    "client_secret": "what the identity provider gave you",
                    "groups_claim": "groups",
                    "role_map": {"Lockbox approvers": "approver"},
                },
            )
        ],
    )
    def put(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this, after `me/step-up`.

        If single sign-on is already set up, send `If-Match` with the ETag that you have read. If two people
        change the settings at the same time, the second person must read them again.
        """
        row = tenants.tenant(tenant, actor=self.actor)
        data = self.body(SignOnIn)
        before = queries.of_tenant(row)
        # The operation refuses everybody else. They must not learn from the answer whether there is a connection.
        if before is not None and self._may_set(row):
            self.require_match(SignOnOut, before)
        connection = operations.Connection(break_glass_id=data.pop("break_glass"), **data)
        was = before.changed_at if before is not None else None
        operations.set_sign_on(row.pk, connection=connection, was=was, actor=self.actor)
        return self.shown(SignOnOut, self._row(row))

    def _may_set(self, tenant: Tenant) -> bool:
        return self.actor.machine is None and Role.ADMINISTRATOR in self.actor.roles_on(
            tenant_id=tenant.pk, service_id=None
        )

    @staticmethod
    def _row(tenant: Tenant) -> SignOn:
        row = queries.of_tenant(tenant)
        if row is None:
            raise NotFound
        return row


# --- Domains -------------------------------------------------------------------------------------------------


class DomainOut(serializers.Serializer):
    """Show the line `challenge` at `proof_url`. `verified_at` is null until this server has seen this line there."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    challenge = serializers.CharField()
    proof_url = serializers.SerializerMethodField()
    claimed_at = serializers.DateTimeField()
    verified_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(serializers.URLField())
    def get_proof_url(self, row: Domain) -> str:
        return domains.url(row.name)


class DomainIn(Strict):
    name = Text()


class Domains(ListView):
    scopes: ClassVar = {"GET": Scope.TENANT_READ}
    acts: ClassVar = {"POST": (CLAIM_DOMAIN,)}
    serializer_class = DomainOut
    orders = ("name",)

    @extend_schema(
        operation_id="domains_list",
        summary="List the domains that a tenant claims",
        tags=_TAGS,
        responses=DomainOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can read this."""
        return self.listed(tenants.administered(tenant, actor=self.actor).domains.all())

    @extend_schema(
        operation_id="domains_claim",
        summary="Claim a domain for the tenant",
        tags=_TAGS,
        request=DomainIn,
        responses={201: DomainOut},
        examples=[OpenApiExample("A domain", request_only=True, value={"name": "people.contoso.example"})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this, after `me/step-up`.

        The domain counts after its web server shows the challenge.
        """
        row = tenants.tenant(tenant, actor=self.actor)
        made = operations.claim_domain(row.pk, **self.body(DomainIn), actor=self.actor)
        location = absolute(reverse("api:domain", args=[made.pk]))
        return self.shown(DomainOut, made, status=201, location=location)


class OneDomain(ApiView):
    scopes: ClassVar = {"GET": Scope.TENANT_READ}
    acts: ClassVar = {"DELETE": (REMOVE_DOMAIN,)}

    @extend_schema(operation_id="domains_show", summary="Read one domain", tags=_TAGS, responses=one(DomainOut))
    def get(self, request: Any, pk: UUID) -> Response:
        """Only the tenant's administrator can read this."""
        return self.shown(DomainOut, queries.domain(pk, actor=self.actor))

    @extend_schema(
        operation_id="domains_remove",
        summary="Remove a domain; people who were linked by it stay linked",
        tags=_TAGS,
        request=None,
        responses={204: None},
    )
    def delete(self, request: Any, pk: UUID) -> Response:
        """Only the tenant's administrator can do this, after `me/step-up`."""
        operations.remove_domain(pk, actor=self.actor)
        return Response(status=204)


class CheckDomain(ApiView):
    acts: ClassVar = {"POST": (VERIFY_DOMAIN,)}

    @extend_schema(
        operation_id="domains_check",
        summary="Check the domain's web server",
        tags=_TAGS,
        request=None,
        responses=one(DomainOut),
    )
    def post(self, request: Any, pk: UUID) -> Response:
        """Only the tenant's administrator can do this, after `me/step-up`. A 409 says what is wrong at `proof_url`."""
        self.body(Strict)
        return self.shown(DomainOut, operations.verify_domain(pk, actor=self.actor))


# --- Identities ----------------------------------------------------------------------------------------------


class IdentityOut(serializers.Serializer):
    """The identity provider's name for a person: `issuer` and `subject` together."""

    id = serializers.UUIDField()
    person = PersonRef()
    issuer = serializers.CharField()
    subject = serializers.CharField()
    linked_at = serializers.DateTimeField()


class Identities(ListView):
    scopes: ClassVar = {"GET": Scope.MEMBERS_READ}
    serializer_class = IdentityOut
    orders = ("linked_at",)

    @extend_schema(
        operation_id="identities_list",
        summary="List the identities by which a tenant's people are recognised",
        tags=_TAGS,
        responses=IdentityOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can read this."""
        row = tenants.administered(tenant, actor=self.actor)
        return self.listed(row.identities.select_related("person"))


class OneIdentity(ApiView):
    acts: ClassVar = {"DELETE": (UNLINK_IDENTITY,)}

    @extend_schema(
        operation_id="identities_unlink",
        summary="Remove an identity by which a person is recognised",
        tags=_TAGS,
        request=None,
        responses={204: None},
    )
    def delete(self, request: Any, pk: UUID) -> Response:
        """Only the tenant's administrator can do this, after `me/step-up`.

        For the provider's own people, staff can do it, also after `me/step-up`. The person is signed out
        immediately. Their next sign-in counts as their first sign-in.
        """
        operations.unlink_identity(pk, actor=self.actor)
        return Response(status=204)
