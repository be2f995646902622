"""Services, and a tenant's resources, which access requests name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.content.connectors.registry import KINDS as READ_HERE
from requests_app.domain import clock
from requests_app.domain.actors import Side
from requests_app.domain.acts.installation import CHECK_RESOURCE, SAVE_RESOURCE, SAVE_SERVICE
from requests_app.domain.levels import Level, Offer
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import IdFilter, Several, Strict, Text, Uuid, YesNo, YesNoFilter
from requests_app.doors.api.schema import extend_schema, one
from requests_app.doors.api.shapes import ServiceRef
from requests_app.models import IdempotencyKey, Resource, Service
from requests_app.platform.addresses import absolute
from requests_app.queries import tenant as queries

KINDS = Resource.Kind.values
CONNECTORS = [*READ_HERE, Service.EXTERNAL]
_READ = {"GET": Scope.TENANT_READ}

# --- Services ------------------------------------------------------------------------------------------------


class LevelOut(serializers.Serializer):
    """A level of access, with the service's own words about it. Customers get an empty `for_engineer`."""

    level = serializers.ChoiceField(choices=Level.values)
    for_customer = serializers.CharField()
    for_engineer = serializers.CharField()


class LevelIn(Strict):
    level = serializers.ChoiceField(choices=Level.values)
    for_customer = Text(required=False, allow_blank=True)
    for_engineer = Text(required=False, allow_blank=True)


class ServiceOut(ServiceRef):
    """If `is_covered` is false, no customer is asked about access to this service, even with Lockbox on.

    If `is_active` is false, nobody can ask for access to it. `connector` says how its content is reached. If
    `is_external` is true, the content stays in the provider's own `application`, which enforces the windows. Customers
    get an empty `link_template` and an empty `guidance`, which are for engineers. `levels` are the levels of access
    that an engineer can ask for, the smallest first. A service with `gate_rules` is a web tool behind a gate. Customers
    read the rules, too. With `gate_identity`, the gate tells the tool who the engineer is. `gate_upstream` is where the
    proxy of this product finds the tool. For customers, it is empty.
    """

    connector = serializers.CharField()
    is_covered = serializers.BooleanField()
    is_external = serializers.BooleanField()
    application = serializers.CharField()
    link_template = serializers.SerializerMethodField()
    guidance = serializers.SerializerMethodField()
    levels = serializers.SerializerMethodField()
    gate_rules = serializers.CharField()
    gate_identity = serializers.BooleanField()
    gate_upstream = serializers.SerializerMethodField()
    is_active = serializers.BooleanField()

    def get_link_template(self, row: Service) -> str:
        return self._of_provider(row.link_template)

    def get_guidance(self, row: Service) -> str:
        return self._of_provider(row.guidance)

    def get_gate_upstream(self, row: Service) -> str:
        return self._of_provider(row.gate_upstream)

    @extend_schema_field(LevelOut(many=True))
    def get_levels(self, row: Service) -> Any:
        return [
            {**asdict(offer), "for_engineer": self._of_provider(offer.for_engineer)} for offer in row.offers.values()
        ]

    def _of_provider(self, text: str) -> str:
        return text if self.context["actor"].side is Side.PROVIDER else ""


class _ServiceFields(Strict):
    """`application`, `link_template` and `guidance` belong to a service whose `connector` is `external`.

    `levels` are the levels of access that an engineer can ask for. Each can have words of the service for customers and
    for engineers. An empty list means the usual levels. `gate_rules` make the service a web tool
    behind a gate: one rule in each line, as in docs/web-tools.md. `gate_upstream` is where the
    proxy of this product finds the tool: scheme, host and port.
    """

    is_covered = YesNo(required=False)
    application = Text(required=False, allow_blank=True)
    link_template = Text(required=False, allow_blank=True)
    guidance = Text(required=False, allow_blank=True)
    levels = Several(child=LevelIn(), required=False, max_length=len(Level))
    gate_rules = Text(required=False, allow_blank=True)
    gate_identity = YesNo(required=False)
    gate_upstream = Text(required=False, allow_blank=True)

    def to_internal_value(self, data: Any) -> Any:
        found = super().to_internal_value(data)
        if "levels" in found:
            found["levels"] = [Offer(**level) for level in found["levels"]]
        return found


class ServiceIn(_ServiceFields):
    key = Text()
    name = Text()
    connector = serializers.ChoiceField(choices=CONNECTORS)


class ServiceChange(_ServiceFields):
    needs_a_member = True

    key = Text(required=False)
    name = Text(required=False)
    connector = serializers.ChoiceField(choices=CONNECTORS, required=False)
    is_active = YesNo(required=False)


class ServiceFilter(django_filters.FilterSet):
    key = django_filters.CharFilter(max_length=60)
    is_covered = YesNoFilter()
    is_active = YesNoFilter()


class Services(ListView):
    """Customers see all services. The provider's people see the services of their queues."""

    scopes: ClassVar = _READ
    acts: ClassVar = {"POST": (SAVE_SERVICE,)}
    shows = "service"
    serializer_class = ServiceOut
    filterset_class = ServiceFilter
    orders = ("name", "-name")

    @extend_schema(
        operation_id="services_list", summary="List services", tags=["services"], responses=ServiceOut(many=True)
    )
    def get(self, request: Any) -> Response:
        return self.listed(queries.service_rows(self.actor))

    @extend_schema(
        operation_id="services_create",
        summary="Add a service",
        tags=["services"],
        request=ServiceIn,
        responses={201: ServiceOut},
        examples=[
            OpenApiExample(
                "A covered service",
                request_only=True,
                value={"key": "teams", "name": "Teams", "connector": "folder"},
            )
        ],
    )
    def post(self, request: Any) -> Response:
        """Only staff and the provider's clients can do this.

        A service that Lockbox does not cover is proposed, if any tenant has ever had Lockbox on.
        """
        row = operations.save_service(**self.body(ServiceIn), actor=self.actor)
        return self.shown(ServiceOut, row, status=201, location=absolute(reverse("api:service", args=[row.pk])))


class OneService(ApiView):
    scopes: ClassVar = _READ
    acts: ClassVar = {"PATCH": (SAVE_SERVICE,)}

    @extend_schema(
        operation_id="services_show", summary="Read one service", tags=["services"], responses=one(ServiceOut)
    )
    def get(self, request: Any, pk: UUID) -> Response:
        return self.shown(ServiceOut, queries.service(pk, actor=self.actor))

    @extend_schema(
        operation_id="services_change",
        summary="Change a service, or switch it off or on",
        tags=["services"],
        request=ServiceChange,
        responses=one(ServiceOut),
        examples=[OpenApiExample("Switch it off", request_only=True, value={"is_active": False})],
    )
    def patch(self, request: Any, pk: UUID) -> Response:
        """Only staff and the provider's clients can do this.

        If any tenant has ever had Lockbox on, all changes are proposed except two: to cover the service, and to switch
        it off. To switch a covered service on again is immediate, too.
        """
        row = queries.service(pk, actor=self.actor)
        operations.save_service(service_id=row.pk, **self.body(ServiceChange), actor=self.actor)
        return self.shown(ServiceOut, queries.service(pk, actor=self.actor))


# --- Resources -----------------------------------------------------------------------------------------------


class ResourceOut(serializers.Serializer):
    """`locator` is the service's own name for the resource. It is empty if the service is external.

    `external_id` is its id in the provider's own records, and in the application of an external service.

    If a resource is not active, nobody can submit an access request for it, or access its content. If `is_practice` is
    true, the content is made up, and only a practice request can name the resource.

    `reachable` is the result of the last test, at `checked_at`. It is null if no test was done in the last two days. If
    it is false, `problem` says why (a code, see docs/connectors.md), and `failing_since` since when. Otherwise, these
    two are empty.
    """

    id = serializers.UUIDField()
    service = ServiceRef()
    kind = serializers.ChoiceField(choices=KINDS)
    name = serializers.CharField()
    locator = serializers.CharField()
    external_id = serializers.CharField()
    is_active = serializers.BooleanField()
    is_practice = serializers.BooleanField()
    reachable = serializers.BooleanField(source="is_reachable", allow_null=True)
    checked_at = serializers.DateTimeField(allow_null=True)
    problem = serializers.CharField(source="check_problem")
    failing_since = serializers.DateTimeField(source="check_failing_since", allow_null=True)

    def to_representation(self, row: Resource) -> dict[str, Any]:
        found: dict[str, Any] = super().to_representation(row)
        if row.is_test_old(self.context["at"]):
            # The caller may have asked for fewer members.
            unknown = {"reachable": None, "problem": "", "failing_since": None}
            found |= {name: value for name, value in unknown.items() if name in found}
        return found


class ResourceIn(Strict):
    """If the service already has a resource of this tenant with the same `external_id`, the call changes it."""

    service = Uuid()
    kind = serializers.ChoiceField(choices=KINDS)
    name = Text()
    locator = Text(required=False, allow_blank=True)
    external_id = Text(required=False, allow_blank=True)
    is_active = YesNo(required=False)


class ResourceChange(Strict):
    needs_a_member = True

    name = Text(required=False)
    locator = Text(required=False)
    external_id = Text(required=False, allow_blank=True)
    is_active = YesNo(required=False)


class ResourceFilter(django_filters.FilterSet):
    service = IdFilter(field_name="service_id")
    kind = django_filters.ChoiceFilter(choices=Resource.Kind.choices)
    name = django_filters.CharFilter(lookup_expr="icontains", max_length=200)
    locator = django_filters.CharFilter(max_length=400)
    external_id = django_filters.CharFilter(max_length=200)
    is_active = YesNoFilter()
    is_practice = YesNoFilter()


class Resources(ListView):
    """The tenant's people and staff see all resources.

    Engineers see the resources of their queues. They can submit access requests for these resources.
    """

    scopes: ClassVar = _READ
    acts: ClassVar = {"POST": (SAVE_RESOURCE,)}
    serializer_class = ResourceOut
    filterset_class = ResourceFilter
    orders = ("name", "-name")

    @extend_schema(
        operation_id="resources_list",
        summary="List a tenant's resources",
        tags=["services"],
        responses=ResourceOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        return self.listed(queries.resources(tenant, actor=self.actor), at=clock.now())

    @extend_schema(
        operation_id="resources_save",
        summary="Add a resource, or change the one with the same external id",
        tags=["services"],
        request=ResourceIn,
        responses={201: ResourceOut, 200: ResourceOut},
        examples=[
            OpenApiExample(
                "A mailbox",
                request_only=True,
                value={
                    "service": "{service}",
                    "kind": "mailbox",
                    "name": "Legal",
                    "locator": "contoso/mail/legal",
                    "external_id": "M-4711",
                },
            )
        ],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only staff and the provider's clients can do this. The answer is 201 for a new resource, and 200 otherwise.

        For a tenant that has ever had Lockbox on, some changes are proposed: a new name, locator or external id of a
        resource that exists, and a new resource of a service that is not covered.
        """
        row, wanted = queries.tenant(tenant, actor=self.actor), self.body(ResourceIn)
        service_id, external_id = wanted.pop("service"), wanted.get("external_id", "").strip()
        same = queries.resources(row.pk, actor=self.actor).filter(service=service_id, external_id=external_id)
        is_known = bool(external_id) and same.exists()
        made = operations.save_resource(
            tenant_id=row.pk, service_id=service_id, is_upsert=True, actor=self.actor, **wanted
        )
        location = "" if is_known else absolute(reverse("api:resource", args=[row.pk, made.pk]))
        return self.shown(ResourceOut, made, status=200 if is_known else 201, location=location, at=clock.now())

    def address_of_what(self, done: IdempotencyKey) -> str:
        return reverse("api:resource", args=[self.kwargs["tenant"], done.subject_id])


class OneResource(ApiView):
    scopes: ClassVar = _READ
    acts: ClassVar = {"PATCH": (SAVE_RESOURCE,)}

    @extend_schema(
        operation_id="resources_show", summary="Read one resource", tags=["services"], responses=one(ResourceOut)
    )
    def get(self, request: Any, tenant: UUID, resource: UUID) -> Response:
        return self.shown(ResourceOut, queries.resource(tenant, resource, actor=self.actor), at=clock.now())

    @extend_schema(
        operation_id="resources_change",
        summary="Change a resource, or switch it off or on",
        tags=["services"],
        request=ResourceChange,
        responses=one(ResourceOut),
        examples=[OpenApiExample("Switch it off", request_only=True, value={"is_active": False})],
    )
    def patch(self, request: Any, tenant: UUID, resource: UUID) -> Response:
        """Only staff and the provider's clients can do this. The same changes are proposed as with POST."""
        row = queries.resource(tenant, resource, actor=self.actor)
        operations.save_resource(resource_id=row.pk, **self.body(ResourceChange), actor=self.actor)
        return self.shown(ResourceOut, queries.resource(tenant, resource, actor=self.actor), at=clock.now())


class CheckResource(ApiView):
    acts: ClassVar = {"POST": (CHECK_RESOURCE,)}

    @extend_schema(
        operation_id="resources_check",
        summary="Test whether a resource can be reached",
        tags=["services"],
        request=None,
        responses=one(ResourceOut),
    )
    def post(self, request: Any, tenant: UUID, resource: UUID) -> Response:
        """Only staff and the provider's clients can do this. The test reads no content, and takes some seconds at most.

        If the resource can't be reached, the answer is 200 too: see `reachable` and `problem`.
        """
        self.body(Strict)
        row = queries.resource(tenant, resource, actor=self.actor)
        operations.check_resource(row.pk, actor=self.actor)
        return self.shown(ResourceOut, queries.resource(tenant, resource, actor=self.actor), at=clock.now())

    def address_of_what(self, done: IdempotencyKey) -> str:
        return reverse("api:resource", args=[self.kwargs["tenant"], done.subject_id])
