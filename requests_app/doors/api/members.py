"""A tenant's people: give and take their roles, and switch their accounts off and on.

A client of the API can read here, but can't change anything. Only a human may change who decides.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.acts.members import (
    GIVE_ROLE,
    RESET_SECOND_FACTORS,
    SWITCH_OFF_PERSON,
    SWITCH_ON_PERSON,
    TAKE_ROLE,
)
from requests_app.domain.scopes import Scope
from requests_app.doors.api import output
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import Strict, YesNoFilter
from requests_app.doors.api.schema import extend_schema, one
from requests_app.identity import factors
from requests_app.models import Membership, Person
from requests_app.models.row_security import own_account
from requests_app.queries import tenant as queries

ROLES = Membership.Role.values
_TAGS = ["members"]

# --- Answers -------------------------------------------------------------------------------------------------


class RoleOut(serializers.Serializer):
    role = serializers.ChoiceField(choices=ROLES)
    since = serializers.DateTimeField(source="given_at")


class MemberOut(serializers.Serializer):
    """If `is_active` is false, the roles have no effect until the account is switched on again."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.CharField()
    is_active = serializers.BooleanField()
    roles = serializers.SerializerMethodField()

    @extend_schema_field(RoleOut(many=True))
    def get_roles(self, row: Any) -> Any:
        return output.all_shown(RoleOut, row.shown_memberships)


# --- Bodies --------------------------------------------------------------------------------------------------


class RoleIn(Strict):
    role = serializers.ChoiceField(choices=ROLES)


class MemberFilter(django_filters.FilterSet):
    role = django_filters.ChoiceFilter(choices=Membership.Role.choices, method="in_role")
    is_active = YesNoFilter()
    search = django_filters.CharFilter(max_length=120, method="named")

    def in_role(self, rows: Any, _name: str, value: str) -> Any:
        return queries.in_role(rows, self.request.parser_context["kwargs"]["tenant"], value)

    def named(self, rows: Any, _name: str, value: str) -> Any:
        return queries.named(rows, value)


# --- Routes --------------------------------------------------------------------------------------------------


class Members(ListView):
    """Everybody who has a role in the tenant. The tenant's people and staff can read this."""

    scopes: ClassVar = {"GET": Scope.MEMBERS_READ}
    serializer_class = MemberOut
    filterset_class = MemberFilter
    orders = ("name", "-name")

    @extend_schema(
        operation_id="members_list",
        summary="List a tenant's people and their roles",
        tags=_TAGS,
        responses=MemberOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        return self.listed(queries.members(queries.tenant(tenant, actor=self.actor)))


class OneMember(ApiView):
    scopes: ClassVar = {"GET": Scope.MEMBERS_READ}

    @extend_schema(
        operation_id="members_show",
        summary="Read which roles one person holds",
        tags=_TAGS,
        responses=one(MemberOut),
    )
    def get(self, request: Any, tenant: UUID, person: UUID) -> Response:
        return _shown(self, tenant, person)


class GiveRole(ApiView):
    acts: ClassVar = {"POST": (GIVE_ROLE,)}

    @extend_schema(
        operation_id="members_give_role",
        summary="Give a person a role",
        tags=_TAGS,
        request=RoleIn,
        responses=one(MemberOut),
        examples=[OpenApiExample("To decide", request_only=True, value={"role": "approver"})],
    )
    def post(self, request: Any, tenant: UUID, person: UUID) -> Response:
        """Only the tenant's administrator can do this. Staff can give roles to a tenant's first people."""
        row = queries.tenant(tenant, actor=self.actor)
        operations.give_role(row.pk, person, **self.body(RoleIn), actor=self.actor)
        return _shown(self, tenant, person)


class TakeRole(ApiView):
    acts: ClassVar = {"POST": (TAKE_ROLE,)}

    @extend_schema(
        operation_id="members_take_role",
        summary="Take a role from a person",
        tags=_TAGS,
        request=RoleIn,
        responses=one(MemberOut),
        examples=[OpenApiExample("To decide no more", request_only=True, value={"role": "approver"})],
    )
    def post(self, request: Any, tenant: UUID, person: UUID) -> Response:
        """Only the tenant's administrator can do this.

        A tenant's last approver and last administrator must keep this role, and every person must keep at least one
        role.
        """
        row = queries.tenant(tenant, actor=self.actor)
        operations.take_role(row.pk, person, **self.body(RoleIn), actor=self.actor)
        return _shown(self, tenant, person)


class SwitchOff(ApiView):
    acts: ClassVar = {"POST": (SWITCH_OFF_PERSON,)}

    @extend_schema(
        operation_id="members_switch_off",
        summary="Switch a person's account off; from then on, nobody can use the account",
        tags=_TAGS,
        request=None,
        responses=one(MemberOut),
    )
    def post(self, request: Any, tenant: UUID, person: UUID) -> Response:
        """The tenant's administrator and staff can do this. The person's tokens stop working too."""
        operations.switch_off_person(_member(self, tenant, person).pk, actor=self.actor)
        return _shown(self, tenant, person)


class SwitchOn(ApiView):
    acts: ClassVar = {"POST": (SWITCH_ON_PERSON,)}

    @extend_schema(
        operation_id="members_switch_on",
        summary="Switch a person's account on again",
        tags=_TAGS,
        request=None,
        responses=one(MemberOut),
    )
    def post(self, request: Any, tenant: UUID, person: UUID) -> Response:
        """The tenant's administrator can do this.

        Staff can do it for people who are not approvers or administrators.
        """
        operations.switch_on_person(_member(self, tenant, person).pk, actor=self.actor)
        return _shown(self, tenant, person)


class ResetSecondFactors(ApiView):
    acts: ClassVar = {"POST": (RESET_SECOND_FACTORS,)}

    @extend_schema(
        operation_id="members_reset_second_factors",
        summary="Reset the second factors of a person who has lost them",
        tags=_TAGS,
        request=None,
        responses=one(MemberOut),
    )
    def post(self, request: Any, tenant: UUID, person: UUID) -> Response:
        """Only the tenant's administrator can do this. Nobody at the provider can do it.

        The person's sessions and tokens end.
        """
        member = _member(self, tenant, person)
        # If a key was added before the person's first role, its entry is in the provider's log, which needs
        # `own_account`.
        with own_account():
            operations.reset_second_factors(member.pk, actor=self.actor, keep=factors.drops_all)
        return _shown(self, tenant, person)


def _member(view: ApiView, tenant: UUID, person: UUID) -> Person:
    """Return a person of this tenant, and refuse a body with members.

    Raise NotFound for an account that has no role in this tenant. Otherwise staff could act on any account through this
    tenant's address.
    """
    row = queries.tenant(tenant, actor=view.actor)
    view.body(Strict)
    return queries.person(row, person)


def _shown(view: ApiView, tenant: UUID, person: UUID) -> Response:
    found = queries.person(queries.tenant(tenant, actor=view.actor), person)
    return view.shown(MemberOut, found)
