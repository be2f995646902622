"""Who the caller is, and the step-up, which proves that the caller is still the same human."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.scopes import in_order
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.fields import Strict, Text
from requests_app.doors.api.schema import extend_schema
from requests_app.identity import verification
from requests_app.models import Person


class MeOut(serializers.Serializer):
    """`kind` is person or client. `roles` contains every role that the caller has anywhere."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=["person", "client"])
    name = serializers.CharField()
    email = serializers.CharField()
    side = serializers.ChoiceField(choices=["provider", "customer"])
    tenants = serializers.ListField(child=serializers.UUIDField())
    roles = serializers.ListField(child=serializers.CharField())
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField()


class StepUpIn(Strict):
    """`code` is a code of the authenticator app, or a recovery code. People with a second factor must send a code."""

    password = Text(trim_whitespace=False)
    code = Text(required=False, allow_blank=True)


class StepUpOut(serializers.Serializer):
    until = serializers.DateTimeField()


class Me(ApiView):
    for_approval_page = True

    @extend_schema(operation_id="me", summary="Read who the caller is", tags=["caller"], responses={200: MeOut})
    def get(self, request: Any) -> Response:
        actor = self.actor
        return self.shown(
            MeOut,
            {
                "id": self.token.account_id,
                "kind": "client" if actor.machine else "person",
                "name": actor.name,
                "email": "" if actor.machine else actor.email,
                "side": str(actor.side),
                "tenants": sorted(actor.tenant_ids),
                "roles": sorted(str(role) for role in actor.roles),
                "scopes": in_order(actor.scopes or ()),
                "expires_at": self.token.expires_at,
            },
        )


class StepUp(ApiView):
    """Before you decide with a personal token, send your password and your code here, with this token.

    The proof works for five minutes. You also need it to change who decides, and to change the tenant's rules. If a
    code of the authenticator app was already used, the code is refused as `code_already_used`. Then
    `current.wait_seconds` says after how many seconds the app shows the next code.
    """

    for_approval_page = True
    changes = False

    @extend_schema(
        operation_id="step_up",
        summary="Confirm with password and code, before you decide",
        tags=["caller"],
        request=StepUpIn,
        responses={200: StepUpOut},
        examples=[OpenApiExample("Confirm", request_only=True, value={"password": "{password}", "code": "{code}"})],
    )
    def post(self, request: Any) -> Response:
        given = self.body(StepUpIn)

        def is_proven(person: Person) -> bool:
            return verification.is_this_person(person, given["password"], given.get("code", ""), ip=self.actor.ip)

        until = operations.step_up_token(is_proven=is_proven, actor=self.actor)
        return Response(StepUpOut({"until": until}).data)
