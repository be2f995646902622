"""The routes of SCIM. It describes itself in its own way, so none of them is in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.urls import path, re_path
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from requests_app import operations
from requests_app.api.base import ApiView
from requests_app.api.scim import bodies, discovery, shapes
from requests_app.api.scim.filters import filtered
from requests_app.errors import NotAllowed, NotFound
from requests_app.models import Person, Tenant
from requests_app.queries import directory
from requests_app.scopes import Scope

_SCOPE = Scope.MEMBERS_PROVISION
_SHOWN = frozenset({"attributes", "excludedAttributes"})


class NotImplementedHere(exceptions.APIException):
    """RFC 7644, section 3.11 and 3.7: what need not be there answers so."""

    status_code, default_detail = 501, "This is not offered here."


@extend_schema(exclude=True)
class ScimView(ApiView):
    """A caller of one tenant, who administers it or is a client that was made to keep its people."""

    scopes: ClassVar = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), _SCOPE)
    parser_classes = (shapes.ScimParser, JSONParser)
    renderer_classes = (shapes.ScimRenderer, JSONRenderer)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return shapes.handle

    def tenant(self) -> Tenant:
        return directory.tenant(self.actor)

    def found(self, pk: UUID) -> tuple[Tenant, Person]:
        """Absent and another tenant's are told apart by nobody: they come before the question who may do what."""
        try:
            tenant = self.tenant()
        except NotAllowed:
            raise NotFound from None
        person = directory.person(tenant, pk)
        directory.require_administrator(self.actor, tenant)
        return tenant, person

    def shown_user(self, pk: Any, *, status: int = 200) -> Response:
        resource = shapes.user(directory.person(self.tenant(), pk))
        query = self.request.query_params
        data = shapes.selected(resource, query.get("attributes"), query.get("excludedAttributes"))
        return Response(data, status=status, headers={"Location": resource["meta"]["location"]})


class Users(ScimView):
    parameters: ClassVar = _SHOWN | {"filter", "startIndex", "count", "sortBy", "sortOrder"}

    def get(self, request: Any) -> Response:
        tenant, query = self.tenant(), request.query_params
        directory.require_administrator(self.actor, tenant)
        start = max(1, _whole(query.get("startIndex"), "startIndex", default=1))
        count = min(discovery.MOST, max(0, _whole(query.get("count"), "count", default=100)))
        rows = directory.people(tenant)
        if (raw := query.get("filter")) is not None:
            rows = filtered(rows, raw)
        page = rows.order_by("created_at", "pk")[start - 1 : start - 1 + count] if count else []
        found = [
            shapes.selected(shapes.user(each), query.get("attributes"), query.get("excludedAttributes"))
            for each in page
        ]
        return Response(shapes.listed(found, total=rows.count(), start=start))

    def post(self, request: Any) -> Response:
        tenant = self.tenant()
        profile = bodies.profile_of(bodies.replaced(request.data))
        person = operations.provision_member(tenant.pk, profile=profile, actor=self.actor)
        return self.shown_user(person.pk, status=201)


class OneUser(ScimView):
    parameters: ClassVar = _SHOWN

    def get(self, request: Any, pk: UUID) -> Response:
        self.found(pk)
        return self.shown_user(pk)

    def put(self, request: Any, pk: UUID) -> Response:
        return self._changed(pk, lambda before: bodies.replaced(request.data, before), is_whole=True)

    def patch(self, request: Any, pk: UUID) -> Response:
        return self._changed(pk, lambda before: bodies.patched(before, request.data))

    def delete(self, request: Any, pk: UUID) -> Response:
        tenant, person = self.found(pk)
        operations.remove_provisioned(tenant.pk, person.pk, actor=self.actor)
        return Response(status=204)

    def _changed(self, pk: UUID, change: Callable[[bodies.State], bodies.State], *, is_whole: bool = False) -> Response:
        tenant, person = self.found(pk)
        before = shapes.user(person)
        # Of a whole one nothing is compared: the names that it gives are all there are.
        profile = bodies.profile_of(change(before), before=None if is_whole else before)
        # What is as it was read is left as it is now: somebody else may have changed it meanwhile.
        profile = bodies.difference(bodies.profile_of(before), profile)
        operations.change_provisioned(tenant.pk, person.pk, profile=profile, actor=self.actor)
        return self.shown_user(person.pk)


class Config(ScimView):
    def get(self, request: Any) -> Response:
        return Response(discovery.service_provider_config())


class ResourceTypes(ScimView):
    def get(self, request: Any) -> Response:
        return Response(shapes.listed([discovery.resource_type()], total=1))


class OneResourceType(ScimView):
    def get(self, request: Any, name: str) -> Response:
        if name != "User":
            raise NotFound
        return Response(discovery.resource_type())


class Schemas(ScimView):
    def get(self, request: Any) -> Response:
        return Response(shapes.listed([discovery.user_schema()], total=1))


class OneSchema(ScimView):
    def get(self, request: Any, urn: str) -> Response:
        if urn != shapes.USER:
            raise NotFound
        return Response(discovery.user_schema())


class NotOffered(ScimView):
    """`/Me`, `/Bulk` and searches by POST."""

    def get(self, request: Any, **_named: Any) -> Response:
        raise NotImplementedHere

    post = put = patch = delete = get

    def known_parameters(self) -> frozenset[str]:
        return frozenset(self.request.query_params)


class NothingOfScim(NotOffered):
    def get(self, request: Any, **_named: Any) -> Response:
        raise NotFound

    post = put = patch = delete = get


def _whole(raw: str | None, name: str, *, default: int) -> int:
    if raw is None:
        return default
    digits = raw.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        raise shapes.Fault("invalidValue", f"{name} is a whole number.")
    return int(raw)


_ROOT = "scim/v2"
urlpatterns = [
    path(f"{_ROOT}/ServiceProviderConfig", Config.as_view(), name="scim_config"),
    path(f"{_ROOT}/ResourceTypes", ResourceTypes.as_view(), name="scim_resource_types"),
    path(f"{_ROOT}/ResourceTypes/<str:name>", OneResourceType.as_view(), name="scim_resource_type"),
    path(f"{_ROOT}/Schemas", Schemas.as_view(), name="scim_schemas"),
    path(f"{_ROOT}/Schemas/<str:urn>", OneSchema.as_view(), name="scim_schema"),
    path(f"{_ROOT}/Users", Users.as_view(), name="scim_users"),
    path(f"{_ROOT}/Users/<uuid:pk>", OneUser.as_view(), name="scim_user"),
    re_path(rf"^{_ROOT}/(?:Me|Bulk|(?:Users/)?\.search)$", NotOffered.as_view(), name="scim_not_offered"),
    re_path(r"^scim(?:/.*)?$", NothingOfScim.as_view(), name="scim_nothing"),
]
