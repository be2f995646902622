"""Out of office: which approver is away, until when, and who decides in their place."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.deputies import SET_OUT_OF_OFFICE
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ListView
from requests_app.doors.api.fields import Strict
from requests_app.doors.api.plain import Shape
from requests_app.doors.api.schema import extend_schema
from requests_app.doors.api.shapes import PersonRef
from requests_app.queries import tenant as queries

_TAGS = ["members"]


class AbsenceOut(serializers.Serializer):
    id = serializers.UUIDField()
    approver = PersonRef()
    deputy = PersonRef()
    from_at = serializers.DateTimeField()
    until_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class AbsenceIn(Strict):
    deputy = serializers.UUIDField(source="deputy_id")
    from_at = serializers.DateTimeField()
    until_at = serializers.DateTimeField()


class Absences(ListView):
    """Lists who is out of the office now or later."""

    scopes: ClassVar = {"GET": Scope.MEMBERS_READ}
    acts: ClassVar = {"POST": (SET_OUT_OF_OFFICE,)}
    serializer_class = AbsenceOut
    orders = ("from_at",)

    @extend_schema(
        operation_id="absences_list",
        summary="List who is out of the office, and who decides in their place",
        tags=_TAGS,
        responses=AbsenceOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        return self.listed(queries.absences(queries.tenant(tenant, actor=self.actor), at=clock.now()))

    @extend_schema(
        operation_id="absences_add",
        summary="Name a deputy for an absence",
        tags=_TAGS,
        request=AbsenceIn,
        responses={201: AbsenceOut},
        examples=[
            OpenApiExample(
                "A week",
                request_only=True,
                value={
                    "deputy": "{deputy}",
                    "from_at": "{soon}",
                    "until_at": "{later}",
                },
            )
        ],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only an approver can do this, for their own absence. The absence ends automatically at `until_at`.

        The deputy is another approver, or a person with the role `deputy`.
        """
        row = queries.tenant(tenant, actor=self.actor)
        made = operations.set_out_of_office(row.pk, **self.body(AbsenceIn), actor=self.actor)
        return self.shown(AbsenceOut, made, status=201)


ACTS = Shape(
    noun=Noun.DEPUTY,
    address="out-of-office/<uuid:pk>",
    tag=_TAGS[0],
    names="absences",
    out=AbsenceOut,
    show=lambda view, _pk, row: view.shown(AbsenceOut, row),
    urls="absence_",
)
