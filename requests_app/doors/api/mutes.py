"""Mutes: for some hours, a tenant accepts no access requests from one engineer, or from anybody.

A new mute denies the pending access requests of everybody who is muted.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.mutes import DENY_ALL_AND_MUTE
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ListView
from requests_app.doors.api.fields import Strict
from requests_app.doors.api.plain import Shape
from requests_app.doors.api.schema import extend_schema
from requests_app.doors.api.shapes import PersonRef
from requests_app.queries import tenant as queries

_TAGS = ["access requests"]


class MuteOut(serializers.Serializer):
    id = serializers.UUIDField()
    engineer = PersonRef(allow_null=True, help_text="Null if everybody is muted.")
    set_by = PersonRef()
    set_at = serializers.DateTimeField()
    until_at = serializers.DateTimeField()
    lifted_at = serializers.DateTimeField(allow_null=True)
    denied = serializers.IntegerField(help_text="How many access requests were denied when the mute began.")
    note = serializers.CharField()


class MuteIn(Strict):
    engineer = serializers.UUIDField(
        source="engineer_id", allow_null=True, help_text="An engineer who has asked before; null for everybody."
    )
    hours = serializers.ChoiceField(choices=limits.MUTE_HOURS)
    note = serializers.CharField(required=False, allow_blank=True, max_length=limits.COMMENT_MAX)


class Mutes(ListView):
    """The engineers from whom the tenant accepts no access requests now."""

    scopes: ClassVar = {"GET": Scope.REQUESTS_READ}
    acts: ClassVar = {"POST": (DENY_ALL_AND_MUTE,)}
    serializer_class = MuteOut
    orders = ("until_at",)

    @extend_schema(
        operation_id="mutes_list",
        summary="List the engineers whose access requests the tenant does not accept now",
        tags=_TAGS,
        responses=MuteOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        return self.listed(queries.mutes(queries.tenant(tenant, actor=self.actor), at=clock.now()))

    @extend_schema(
        operation_id="mutes_add",
        summary="Deny all access requests that wait for the tenant's answer, and accept no more for some hours",
        tags=_TAGS,
        request=MuteIn,
        responses={201: MuteOut},
        examples=[
            OpenApiExample(
                "Everybody, for four hours",
                request_only=True,
                value={"engineer": None, "hours": 4, "note": "Nobody here asked for any of this."},
            )
        ],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only an approver can add a mute. It denies each pending access request with a separate decision.

        The approver must call `me/step-up` first only if the new mute ends before the mute that it replaces. Until
        the mute ends, a new access request that would need this tenant's approval is refused as `muted`. Also, the
        provider's approvers can't approve an access request that the tenant would then have to decide.
        """
        row = queries.tenant(tenant, actor=self.actor)
        made = operations.deny_all_and_mute(row.pk, **self.body(MuteIn), actor=self.actor)
        return self.shown(MuteOut, made, status=201)


ACTS = Shape(
    noun=Noun.MUTE,
    address="mutes/<uuid:pk>",
    tag=_TAGS[0],
    names="mutes",
    out=MuteOut,
    show=lambda view, _pk, row: view.shown(MuteOut, row),
    urls="mute_",
)
