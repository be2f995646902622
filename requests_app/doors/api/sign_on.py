"""Single sign-on of a tenant: its connection, its verified domains, and the identities of its people.

The identity provider can sign in as anybody of the tenant. So only a human can change these settings, after
`me/step-up`. No client can get the scope for the change.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.actors import Role
from requests_app.domain.acts.single_sign_on import (
    CLAIM_DOMAIN,
    REMOVE_DOMAIN,
    RENEW_SIGN_ON_KEY,
    SET_SIGN_ON,
    UNLINK_IDENTITY,
    VERIFY_DOMAIN,
)
from requests_app.domain.errors import NotFound, Unacceptable
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import Strict, Text, Uuid, Whole, YesNo
from requests_app.doors.api.schema import extend_schema, one, problems
from requests_app.doors.api.shapes import PersonRef
from requests_app.identity.sso import domains
from requests_app.models import Domain, Membership, SignOn, Tenant
from requests_app.platform.addresses import absolute
from requests_app.queries import single_sign_on as queries
from requests_app.queries import tenant as tenants
from requests_app.queries.sign_on_metadata import pinned_of

_TAGS = ["single sign-on"]
_IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag of the settings that you have read. It is required if single sign-on is already set up.",
)


class SignOnOut(serializers.Serializer):
    """Enter `redirect_uri` at the identity provider. No answer contains the client's secret.

    With SAML, enter `entity_id` and `answer_url` there instead; the metadata is at `entity_id`. `issuer` and
    `certificates` (SHA-256) are the identity provider's. `own_certificates` are ours, the one that signs first. If
    `metadata_signer` is not empty, this certificate's key must have signed the metadata.
    """

    protocol = serializers.ChoiceField(choices=SignOn.Protocol.choices)
    issuer = serializers.CharField()
    client_id = serializers.CharField()
    scopes = serializers.CharField()
    key_claim = serializers.CharField()
    groups_claim = serializers.CharField()
    role_map = serializers.DictField(child=serializers.CharField())
    newcomer_role = serializers.CharField()
    is_on = serializers.BooleanField()
    is_only = serializers.BooleanField()
    break_glass = PersonRef(allow_null=True)
    changed_at = serializers.DateTimeField()
    redirect_uri = serializers.SerializerMethodField()
    entity_id = serializers.SerializerMethodField()
    answer_url = serializers.SerializerMethodField()
    metadata_url = serializers.CharField()
    metadata_signer = serializers.CharField()
    metadata_checked_at = serializers.DateTimeField(allow_null=True)
    metadata_problem = serializers.CharField()
    email_claim = serializers.CharField()
    is_proof = serializers.BooleanField()
    sso_url = serializers.SerializerMethodField()
    certificates = serializers.SerializerMethodField()
    own_certificates = serializers.SerializerMethodField()

    @extend_schema_field(serializers.URLField())
    def get_entity_id(self, row: SignOn) -> str:
        return queries.entity_id(str(row.tenant_id))

    @extend_schema_field(serializers.URLField())
    def get_answer_url(self, row: SignOn) -> str:
        return queries.acs(str(row.tenant_id))

    def get_sso_url(self, row: SignOn) -> str:
        pinned = pinned_of(row)
        return pinned.sso_url if pinned else ""

    def get_certificates(self, row: SignOn) -> list[str]:
        pinned = pinned_of(row)
        return pinned.fingerprints if pinned else []

    def get_own_certificates(self, row: SignOn) -> list[str]:
        found: list[str] = queries.saml_facts(row)["own_keys"]
        return found

    @extend_schema_field(serializers.URLField())
    def get_redirect_uri(self, row: SignOn) -> str:
        return queries.redirect_uri(str(row.tenant_id))


class SignOnIn(Strict):
    """The whole configuration. A value that is left out is empty or off. Without a secret, the current secret stays.

    `role_map` says which role a group of `groups_claim` gives. With `newcomer_role`, a person of a verified domain who
    has no account gets one at the first sign-in, with this role. If `is_only` is true, all people must use single
    sign-on, except the administrator in `break_glass`.

    With SAML, send the identity provider's metadata in `metadata`, or its address in `metadata_url`. The metadata names
    the issuer, so leave out issuer, client and secret. Claims are then names of attributes. With a certificate in
    `metadata_signer`, only metadata that its key has signed is used. With `is_proof`, a new sign-in there also counts
    as a proof of identity for acts.
    """

    needs_a_member = True

    protocol = serializers.ChoiceField(choices=SignOn.Protocol.choices, required=False, default="oidc")
    issuer = Text(required=False, allow_blank=True, default="")
    client_id = Text(required=False, allow_blank=True, default="")
    metadata = Text(required=False, allow_blank=True, default="", write_only=True)
    metadata_url = Text(required=False, allow_blank=True, default="")
    metadata_signer = Text(required=False, allow_blank=True, default="")
    email_claim = Text(required=False, allow_blank=True, default="")
    is_proof = YesNo(required=False, default=False)
    client_secret = Text(required=False, allow_blank=True, default="", write_only=True)
    scopes = Text(required=False, default="openid profile email")
    key_claim = Text(required=False, allow_blank=True)
    groups_claim = Text(required=False, allow_blank=True, default="")
    role_map = serializers.DictField(
        child=serializers.ChoiceField(choices=Membership.Role.values), required=False, default=dict
    )
    newcomer_role = serializers.ChoiceField(
        choices=SignOn.NewcomerRole.values, required=False, allow_blank=True, default=""
    )
    is_on = YesNo(required=False, default=False)
    is_only = YesNo(required=False, default=False)
    break_glass = Uuid(required=False, allow_null=True, default=None)


#: Settings that only one of the protocols has.
_ONLY_OIDC = ("issuer", "client_id", "client_secret")
_ONLY_SAML = ("metadata", "metadata_url", "metadata_signer", "email_claim", "is_proof")


class KeyIn(Strict):
    """`had` is the number of `own_certificates` that you have read."""

    had = Whole(min_value=1, max_value=2)


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
        self._require_one_protocol(data)
        data.setdefault("key_claim", "sub" if data["protocol"] == SignOn.Protocol.OIDC else "")
        connection = operations.Connection(break_glass_id=data.pop("break_glass"), **data)
        was = before.changed_at if before is not None else None
        operations.set_sign_on(row.pk, connection=connection, was=was, actor=self.actor)
        return self.shown(SignOnOut, self._row(row))

    @staticmethod
    def _require_one_protocol(data: dict[str, Any]) -> None:
        is_saml = data["protocol"] == SignOn.Protocol.SAML
        for name in _ONLY_OIDC if is_saml else _ONLY_SAML:
            if data.get(name):
                raise Unacceptable(_("This protocol has no such setting."), field=name)

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


class SignOnKey(ApiView):
    acts: ClassVar = {"POST": (RENEW_SIGN_ON_KEY,)}

    @extend_schema(
        operation_id="sign_on_renew_key",
        summary="Publish a second key for SAML, or remove the former one",
        tags=_TAGS,
        request=KeyIn,
        responses={200: SignOnOut},
        examples=[OpenApiExample("Publish a second key", request_only=True, value={"had": 1})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this, after `me/step-up`.

        With one key, a second one is published. With two, the former one is removed, and the second one signs.
        """
        row = tenants.tenant(tenant, actor=self.actor)
        made = operations.renew_sign_on_key(row.pk, **self.body(KeyIn), actor=self.actor)
        return self.shown(SignOnOut, made)


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
