"""Who the caller is, and the proof that it is still the same human."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.api.base import ApiView
from requests_app.api.fields import Strict, Text
from requests_app.scopes import Scope, in_order


class MeOut(serializers.Serializer):
    """`kind` is person or client. `roles` holds every role that is held anywhere."""

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
    password = Text(trim_whitespace=False)


class StepUpOut(serializers.Serializer):
    until = serializers.DateTimeField()


class Me(ApiView):
    @extend_schema(operation_id="me", summary="Who the caller is", tags=["caller"], responses={200: MeOut})
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
    """A decision with a personal token needs the password, as it does on a page: for five minutes after this."""

    scopes: ClassVar = {"POST": Scope.DECISIONS_WRITE}
    changes = False

    @extend_schema(
        operation_id="step_up",
        summary="Confirm with the password, so as to decide",
        tags=["caller"],
        request=StepUpIn,
        responses={200: StepUpOut},
        examples=[OpenApiExample("Confirm", request_only=True, value={"password": "{password}"})],
    )
    def post(self, request: Any) -> Response:
        until = operations.step_up_token(password=self.body(StepUpIn)["password"], actor=self.actor)
        return Response(StepUpOut({"until": until}).data)
