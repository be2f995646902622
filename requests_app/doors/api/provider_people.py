"""The provider's own people: their roles in the queues of services, and whether their accounts are switched on."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.acts.installation import GIVE_QUEUE_ROLE, TAKE_QUEUE_ROLE
from requests_app.domain.acts.invitations import INVITE_COLLEAGUE
from requests_app.domain.acts.members import SWITCH_OFF_PERSON, SWITCH_ON_PERSON
from requests_app.domain.scopes import Scope
from requests_app.doors.api import output
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import IdFilter, Strict, Text, Uuid, YesNoFilter
from requests_app.doors.api.invitations import InvitationOut
from requests_app.doors.api.schema import extend_schema, one
from requests_app.doors.api.shapes import ServiceRef
from requests_app.models import QueueAssignment
from requests_app.queries import provider as queries
from requests_app.queries.tenant import named

ROLES = QueueAssignment.Role.values
_TAGS = ["provider"]


class QueueRoleOut(serializers.Serializer):
    role = serializers.ChoiceField(choices=ROLES)
    service = ServiceRef()
    since = serializers.DateTimeField(source="given_at")
    #: Whether the role came only through a group of the provider's directory.
    is_through_group = serializers.BooleanField()


class ProviderPersonOut(serializers.Serializer):
    """If `is_active` is false, the roles have no effect until the account is switched on again."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.CharField()
    is_active = serializers.BooleanField()
    is_staff = serializers.BooleanField()
    roles = serializers.SerializerMethodField()

    @extend_schema_field(QueueRoleOut(many=True))
    def get_roles(self, row: Any) -> Any:
        return output.all_shown(QueueRoleOut, row.shown_assignments)


class NewPersonIn(Strict):
    email = Text()
    role = serializers.ChoiceField(choices=ROLES)
    services = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=100)
    time_zone = Text(required=False)


class QueueRoleIn(Strict):
    role = serializers.ChoiceField(choices=ROLES)
    service = Uuid()


class ProviderPersonFilter(django_filters.FilterSet):
    email = django_filters.CharFilter(lookup_expr="iexact", max_length=254)
    role = django_filters.ChoiceFilter(choices=QueueAssignment.Role.choices, method="in_role")
    service = IdFilter(method="of_service")
    is_active = YesNoFilter()
    is_staff = YesNoFilter()
    search = django_filters.CharFilter(max_length=120, method="named")

    def in_role(self, rows: Any, _name: str, value: str) -> Any:
        return queries.in_queue(rows, role=value)

    def of_service(self, rows: Any, _name: str, value: UUID) -> Any:
        return queries.in_queue(rows, service=value)

    def named(self, rows: Any, _name: str, value: str) -> Any:
        return named(rows, value)


class ProviderPeople(ListView):
    """Only staff and the provider's clients can call this. For everybody else, the list is empty."""

    scopes: ClassVar = {"GET": Scope.PROVISION}
    acts: ClassVar = {"POST": (INVITE_COLLEAGUE,)}
    is_of_provider = True
    serializer_class = ProviderPersonOut
    filterset_class = ProviderPersonFilter
    orders = ("name", "-name")

    @extend_schema(
        operation_id="provider_people_list",
        summary="List the provider's people and their roles",
        tags=_TAGS,
        responses=ProviderPersonOut(many=True),
    )
    def get(self, request: Any) -> Response:
        return self.listed(queries.people(self.actor))

    @extend_schema(
        operation_id="provider_people_invite",
        summary="Invite somebody to be an engineer or a provider approver",
        tags=_TAGS,
        request=NewPersonIn,
        responses={201: InvitationOut},
        examples=[
            OpenApiExample(
                "An engineer",
                request_only=True,
                value={"email": "sam@provider.example", "role": "engineer", "services": ["{service}"]},
            )
        ],
    )
    def post(self, request: Any) -> Response:
        """The mail names the client, and the person who holds its secret. Nobody is made staff through the API.

        If any customer has ever switched Lockbox on, the role is proposed: `proposal` names the change that a second
        member of the staff must confirm.
        """
        sent = operations.invite_colleague(**self.body(NewPersonIn), actor=self.actor)
        return self.shown(InvitationOut, sent, status=201)


class OneProviderPerson(ApiView):
    scopes: ClassVar = {"GET": Scope.PROVISION}

    @extend_schema(
        operation_id="provider_people_show",
        summary="Read which roles one of the provider's people holds",
        tags=_TAGS,
        responses=one(ProviderPersonOut),
    )
    def get(self, request: Any, person: UUID) -> Response:
        return _shown(self, person)


class GiveQueueRole(ApiView):
    acts: ClassVar = {"POST": (GIVE_QUEUE_ROLE,)}
    shows = "provider_person"

    @extend_schema(
        operation_id="provider_people_give_role",
        summary="Give one of the provider's people a role in the queue of a service",
        tags=_TAGS,
        request=QueueRoleIn,
        responses=one(ProviderPersonOut),
        examples=[
            OpenApiExample(
                "An approver", request_only=True, value={"role": "provider_approver", "service": "{service}"}
            )
        ],
    )
    def post(self, request: Any, person: UUID) -> Response:
        """This is proposed, if any tenant has ever had Lockbox on. Nobody is made staff through the API."""
        wanted, row = self.body(QueueRoleIn), queries.person(person, actor=self.actor)
        operations.give_queue_role(wanted["service"], row.pk, role=wanted["role"], actor=self.actor)
        return _shown(self, person)


class TakeQueueRole(ApiView):
    acts: ClassVar = {"POST": (TAKE_QUEUE_ROLE,)}
    shows = "provider_person"

    @extend_schema(
        operation_id="provider_people_take_role",
        summary="Take one of the provider's people out of the queue of a service",
        tags=_TAGS,
        request=QueueRoleIn,
        responses=one(ProviderPersonOut),
        examples=[OpenApiExample("An engineer", request_only=True, value={"role": "engineer", "service": "{service}"})],
    )
    def post(self, request: Any, person: UUID) -> Response:
        """An engineer's waiting access requests and open windows in this queue end, too."""
        wanted, row = self.body(QueueRoleIn), queries.person(person, actor=self.actor)
        operations.take_queue_role(wanted["service"], row.pk, role=wanted["role"], actor=self.actor)
        return _shown(self, person)


class SwitchOffProviderPerson(ApiView):
    acts: ClassVar = {"POST": (SWITCH_OFF_PERSON,)}
    is_of_provider = True
    # Only a tenant under two-person control needs a second person.
    is_never_proposed = True
    shows = "provider_person"

    @extend_schema(
        operation_id="provider_people_switch_off",
        summary="Switch the account of one of the provider's people off",
        tags=_TAGS,
        request=None,
        responses=one(ProviderPersonOut),
    )
    def post(self, request: Any, person: UUID) -> Response:
        """The person's waiting access requests, open windows and tokens end, too."""
        self.body(Strict)
        operations.switch_off_person(queries.person(person, actor=self.actor).pk, actor=self.actor)
        return _shown(self, person)


class SwitchOnProviderPerson(ApiView):
    acts: ClassVar = {"POST": (SWITCH_ON_PERSON,)}
    is_of_provider = True
    shows = "provider_person"

    @extend_schema(
        operation_id="provider_people_switch_on",
        summary="Switch the account of one of the provider's people on again",
        tags=_TAGS,
        request=None,
        responses=one(ProviderPersonOut),
    )
    def post(self, request: Any, person: UUID) -> Response:
        """This is proposed, if the person has a role and any tenant has ever had Lockbox on.

        A client can't do it for a member of the staff.
        """
        self.body(Strict)
        operations.switch_on_person(queries.person(person, actor=self.actor).pk, actor=self.actor)
        return _shown(self, person)


def _shown(view: ApiView, person: UUID) -> Response:
    return view.shown(ProviderPersonOut, queries.person(person, actor=view.actor))
