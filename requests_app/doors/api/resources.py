"""Services, and a tenant's resources, which access requests name."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import IdFilter, YesNoFilter
from requests_app.doors.api.schema import one
from requests_app.doors.api.shapes import ServiceRef
from requests_app.models import Resource
from requests_app.queries import tenant as queries

KINDS = Resource.Kind.values
_READ = {"GET": Scope.TENANT_READ}

# --- Services ------------------------------------------------------------------------------------------------


class ServiceOut(ServiceRef):
    """If `is_covered` is false, no customer is asked about access to this service, even with Lockbox on.

    If `is_external` is true, the content stays in the provider's own `application`, which enforces the windows.
    """

    is_covered = serializers.BooleanField()
    is_external = serializers.BooleanField()
    application = serializers.CharField()


class ServiceFilter(django_filters.FilterSet):
    key = django_filters.CharFilter(max_length=60)
    is_covered = YesNoFilter()


class Services(ListView):
    """Customers see all services. The provider's people see the services of their queues."""

    scopes: ClassVar = _READ
    serializer_class = ServiceOut
    filterset_class = ServiceFilter
    orders = ("name", "-name")

    @extend_schema(
        operation_id="services_list", summary="List services", tags=["services"], responses=ServiceOut(many=True)
    )
    def get(self, request: Any) -> Response:
        return self.listed(queries.service_rows(self.actor))


class OneService(ApiView):
    scopes: ClassVar = _READ

    @extend_schema(
        operation_id="services_show", summary="Read one service", tags=["services"], responses=one(ServiceOut)
    )
    def get(self, request: Any, pk: UUID) -> Response:
        return self.shown(ServiceOut, queries.service(pk, actor=self.actor))


# --- Resources -----------------------------------------------------------------------------------------------


class ResourceOut(serializers.Serializer):
    """`locator` is the service's own name for the resource. It is empty if the service is external.

    `external_id` is its id in the provider's own records, and in the application of an external service.

    If a resource is not active, nobody can submit an access request for it, or access its content. If `is_practice` is
    true, the content is made up, and only a practice request can name the resource.
    """

    id = serializers.UUIDField()
    service = ServiceRef()
    kind = serializers.ChoiceField(choices=KINDS)
    name = serializers.CharField()
    locator = serializers.CharField()
    external_id = serializers.CharField()
    is_active = serializers.BooleanField()
    is_practice = serializers.BooleanField()


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
        return self.listed(queries.resources(tenant, actor=self.actor))


class OneResource(ApiView):
    scopes: ClassVar = _READ

    @extend_schema(
        operation_id="resources_show", summary="Read one resource", tags=["services"], responses=one(ResourceOut)
    )
    def get(self, request: Any, tenant: UUID, resource: UUID) -> Response:
        return self.shown(ResourceOut, queries.resource(tenant, resource, actor=self.actor))
