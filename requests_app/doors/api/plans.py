"""Plans, which say whether a tenant can switch Lockbox on."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.acts.installation import SAVE_PLAN
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import Strict, Text, YesNo, YesNoFilter
from requests_app.doors.api.schema import extend_schema, one
from requests_app.platform.addresses import absolute
from requests_app.queries import provider as queries

_TAGS = ["provider"]


class PlanRow(serializers.Serializer):
    """If `includes_lockbox` is true, tenants with this plan can switch Lockbox on."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    includes_lockbox = serializers.BooleanField()


class PlanIn(Strict):
    name = Text()
    includes_lockbox = YesNo()


class PlanChange(Strict):
    needs_a_member = True

    name = Text(required=False)
    includes_lockbox = YesNo(required=False)


class PlanFilter(django_filters.FilterSet):
    name = django_filters.CharFilter(max_length=60)
    includes_lockbox = YesNoFilter()


class Plans(ListView):
    """Only staff and the provider's clients can call this. For everybody else, the list is empty."""

    scopes: ClassVar = {"GET": Scope.PROVISION}
    acts: ClassVar = {"POST": (SAVE_PLAN,)}
    # A new plan reduces nobody's protection.
    is_never_proposed = True
    shows = "plan"
    serializer_class = PlanRow
    filterset_class = PlanFilter
    orders = ("name", "-name")

    @extend_schema(operation_id="plans_list", summary="List plans", tags=_TAGS, responses=PlanRow(many=True))
    def get(self, request: Any) -> Response:
        return self.listed(queries.plans(self.actor))

    @extend_schema(
        operation_id="plans_create",
        summary="Add a plan",
        tags=_TAGS,
        request=PlanIn,
        responses={201: PlanRow},
        examples=[OpenApiExample("With Lockbox", request_only=True, value={"name": "E7", "includes_lockbox": True})],
    )
    def post(self, request: Any) -> Response:
        row = operations.save_plan(**self.body(PlanIn), actor=self.actor)
        return self.shown(PlanRow, row, status=201, location=absolute(reverse("api:plan", args=[row.pk])))


class OnePlan(ApiView):
    scopes: ClassVar = {"GET": Scope.PROVISION}
    acts: ClassVar = {"PATCH": (SAVE_PLAN,)}

    @extend_schema(operation_id="plans_show", summary="Read one plan", tags=_TAGS, responses=one(PlanRow))
    def get(self, request: Any, pk: UUID) -> Response:
        return self.shown(PlanRow, queries.plan(pk, actor=self.actor))

    @extend_schema(
        operation_id="plans_change",
        summary="Change a plan",
        tags=_TAGS,
        request=PlanChange,
        responses=one(PlanRow),
        examples=[OpenApiExample("Another name", request_only=True, value={"name": "E5 (2027)"})],
    )
    def patch(self, request: Any, pk: UUID) -> Response:
        """A plan that no longer includes Lockbox is proposed, if a tenant of the plan has ever had Lockbox on."""
        given = self.body(PlanChange)
        row = queries.plan(pk, actor=self.actor)
        operations.save_plan(plan_id=row.pk, **given, actor=self.actor)
        return self.shown(PlanRow, queries.plan(pk, actor=self.actor))
