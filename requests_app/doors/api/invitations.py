"""Invitations: send, send again and withdraw them. They can be accepted only on the page that the mail links to."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.invitations import INVITE_PERSON
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ListView
from requests_app.doors.api.fields import Strict, Text
from requests_app.doors.api.members import ROLES
from requests_app.doors.api.plain import Shape
from requests_app.models import Invitation
from requests_app.queries import tenant as queries

_TAGS = ["members"]


class InvitationOut(serializers.Serializer):
    """`invited_by` is null if the invitation was sent with the recovery key.

    In this case, the link works only from `valid_from` on.
    """

    id = serializers.UUIDField()
    email = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES)
    invited_by = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    valid_from = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    times_sent = serializers.IntegerField(source="sends")
    withdrawn_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_invited_by(self, row: Invitation) -> str | None:
        return row.invited_by.name if row.invited_by else None


class InvitationIn(Strict):
    email = Text()
    role = serializers.ChoiceField(choices=ROLES)


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
