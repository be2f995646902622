"""Invitations: send, send again and withdraw them. They can be accepted only on the page that the mail links to."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.invitations import INVITE_COLLEAGUE, INVITE_PERSON
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ListView
from requests_app.doors.api.fields import Strict, Text
from requests_app.doors.api.members import ROLES
from requests_app.doors.api.plain import Shape
from requests_app.doors.api.schema import extend_schema
from requests_app.models import Invitation
from requests_app.models.invitations import PROVIDER_ROLES
from requests_app.queries import invitations as provider_queries
from requests_app.queries import tenant as queries

_TAGS = ["members"]


_PROVIDER_ROLES = [role for role, _words in PROVIDER_ROLES]


class InvitationOut(serializers.Serializer):
    """`invited_by` is null if the invitation was sent with the recovery key, or if nobody has sent it yet.

    In this case, the link works only from `valid_from` on. `tenant` is null for one of the provider's people: then
    `services` has the keys of their queues, and `proposal` is the announced change that gives the role, or null if the
    role needs no second person. If an API client sent the invitation, `client` has its name, and `invited_by` is the
    person who holds its secret.
    """

    id = serializers.UUIDField()
    tenant = serializers.UUIDField(source="tenant_id", allow_null=True)
    email = serializers.CharField()
    role = serializers.ChoiceField(choices=[*ROLES, *_PROVIDER_ROLES])
    services = serializers.SerializerMethodField()
    proposal = serializers.UUIDField(source="proposal_id", allow_null=True)
    invited_by = serializers.SerializerMethodField()
    client = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    valid_from = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    times_sent = serializers.IntegerField(source="sends")
    withdrawn_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_services(self, row: Invitation) -> list[str]:
        return sorted(service.key for service in row.services.all()) if row.tenant_id is None else []

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_invited_by(self, row: Invitation) -> str | None:
        return row.invited_by.name if row.invited_by else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_client(self, row: Invitation) -> str | None:
        return row.invited_through.name if row.invited_through else None


class InvitationIn(Strict):
    email = Text()
    role = serializers.ChoiceField(choices=ROLES)


class ColleagueIn(Strict):
    email = Text()
    role = serializers.ChoiceField(choices=_PROVIDER_ROLES)
    services = serializers.ListField(child=serializers.UUIDField(), max_length=100, required=False)
    time_zone = Text(required=False)


class ProviderInvitations(ListView):
    """The open invitations of the provider's people. Only staff can read this."""

    scopes: ClassVar = {"GET": Scope.MEMBERS_MANAGE}
    acts: ClassVar = {"POST": (INVITE_COLLEAGUE,)}
    serializer_class = InvitationOut
    orders = ("-created_at",)

    @extend_schema(
        operation_id="provider_invitations_list",
        summary="List the open invitations of the provider's people",
        tags=_TAGS,
        responses=InvitationOut(many=True),
    )
    def get(self, request: Any) -> Response:
        return self.listed(provider_queries.of_provider(self.actor))

    @extend_schema(
        operation_id="provider_invitations_send",
        summary="Invite one of the provider's people",
        tags=_TAGS,
        request=ColleagueIn,
        responses={201: InvitationOut},
        examples=[OpenApiExample("Staff", request_only=True, value={"email": "sam@provider.example", "role": "staff"})],
    )
    def post(self, request: Any) -> Response:
        """Only staff can do this, with a fresh token of a person. A client uses `/provider/people`.

        `services` are the queues of an engineer or a provider approver. If any customer has ever switched Lockbox on,
        the role is proposed: `proposal` names the change that a second member of the staff must confirm.
        """
        sent = operations.invite_colleague(**self.body(ColleagueIn), actor=self.actor)
        return self.shown(InvitationOut, sent, status=201)


class Invitations(ListView):
    """The invitations that were not yet accepted or withdrawn. Only people who can invite can read this."""

    scopes: ClassVar = {"GET": Scope.MEMBERS_MANAGE}
    acts: ClassVar = {"POST": (INVITE_PERSON,)}
    serializer_class = InvitationOut
    orders = ("-created_at",)

    @extend_schema(
        operation_id="invitations_list",
        summary="List a tenant's open invitations",
        tags=_TAGS,
        responses=InvitationOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        return self.listed(queries.invitations(queries.tenant(tenant, actor=self.actor), actor=self.actor))

    @extend_schema(
        operation_id="invitations_send",
        summary="Invite an address to a role",
        tags=_TAGS,
        request=InvitationIn,
        responses={201: InvitationOut},
        examples=[
            OpenApiExample(
                "An approver", request_only=True, value={"email": "grace@contoso.example", "role": "approver"}
            )
        ],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this.

        Until the tenant has approvers or administrators, staff can do it too.

        The link in the mail can be used once, within 7 days. The answer does not show whether the address has an
        account elsewhere.
        """
        row = queries.tenant(tenant, actor=self.actor)
        sent = operations.invite_person(row.pk, **self.body(InvitationIn), actor=self.actor)
        return self.shown(InvitationOut, sent, status=201)


ACTS = Shape(
    noun=Noun.INVITATION,
    address="invitations/<uuid:pk>",
    tag=_TAGS[0],
    names="invitations",
    out=InvitationOut,
    show=lambda view, _pk, row: view.shown(InvitationOut, row),
    urls="invitation_",
)
