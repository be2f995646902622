"""The routes of SCIM. SCIM describes itself in its own way, so these routes are not in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.urls import path, re_path
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from requests_app.domain.actors import Side
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.errors import NotTheSame
from requests_app.doors.api.schema import extend_schema
from requests_app.doors.api.scim import bodies, directories, discovery, filters, groups, shapes
from requests_app.doors.api.scim.directories import Directory
from requests_app.models import Person

_SCOPE = Scope.MEMBERS_PROVISION
_SHOWN = frozenset({"attributes", "excludedAttributes"})


class NotImplementedHere(exceptions.APIException):
    """The answer for optional parts of SCIM that this server does not have (RFC 7644, sections 3.7 and 3.11)."""

    status_code, default_detail = 501, "This server does not support this."


@extend_schema(exclude=True)
class ScimView(ApiView):
    """The base of SCIM's routes.

    The caller is a tenant's administrator, the client that manages the tenant's people, or the provider's client that
    manages the provider's people.
    """

    scopes: ClassVar = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), _SCOPE)
    parser_classes = (shapes.ScimParser, JSONParser)
    renderer_classes = (shapes.ScimRenderer, JSONRenderer)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return shapes.handle

    def directory(self) -> Directory:
        return directories.of(self.actor)

    def found(self, pk: UUID, read: Callable[[Directory, UUID], dict[str, Any]]) -> tuple[Directory, dict[str, Any]]:
        """Return the caller's directory, and one User or Group as `read` shows it. Raise NotFound if it has none.

        The caller's rights are checked after that. So a missing person, and a person of another tenant or of the
        provider, get the same answer.
        """
        try:
            directory = self.directory()
        except NotAllowed:
            raise NotFound from None
        resource = read(directory, pk)
        directory.require_entitled()
        return directory, resource

    def shown_user(self, directory: Directory, pk: Any, *, status: int = 200) -> Response:
        return self.answered(directories.user(directory, pk), status=status)

    def answered(self, resource: dict[str, Any], *, status: int = 200) -> Response:
        """Answer with one resource and its version (RFC 7644, section 3.14).

        If the caller already has this version, answer 304.
        """
        version, query = resource["meta"]["version"], self.request.query_params
        is_read = self.request.method in ("GET", "HEAD")
        if is_read and _names(version, self.request.META.get("HTTP_IF_NONE_MATCH", "")):
            return Response(status=304, headers={"ETag": version})
        data = shapes.selected(resource, query.get("attributes"), query.get("excludedAttributes"))
        headers = {"ETag": version, "Location": resource["meta"]["location"]}
        return Response(data, status=status, headers=headers)

    def require_version(self, resource: dict[str, Any]) -> None:
        """Raise NotTheSame if the call has an `If-Match` that does not name the resource's version."""
        wanted = self.request.META.get("HTTP_IF_MATCH", "")
        if wanted.strip() and not _names(resource["meta"]["version"], wanted):
            raise NotTheSame

    def still(self, read: Callable[[], dict[str, Any]]) -> Callable[[], None] | None:
        """Return a function that checks `If-Match` again, or None if the call has no `If-Match`.

        The operation calls this function under its locks. `read` must return the resource as it is then.
        """
        if not self.request.META.get("HTTP_IF_MATCH", "").strip():
            return None
        return lambda: self.require_version(read())

    def window(self) -> tuple[int, int]:
        """Return where the requested page begins and ends, counted from 0 (RFC 7644, section 3.4.2.4)."""
        query = self.request.query_params
        start = max(1, _whole(query.get("startIndex"), "startIndex", default=1))
        count = min(discovery.MOST, max(0, _whole(query.get("count"), "count", default=100)))
        return start - 1, start - 1 + count

    def listed(self, resources: Iterable[dict[str, Any]], *, total: int) -> Response:
        query = self.request.query_params
        wanted = query.get("attributes"), query.get("excludedAttributes")
        found = [shapes.selected(each, *wanted) for each in resources]
        return Response(shapes.listed(found, total=total, start=self.window()[0] + 1))


class Users(ScimView):
    parameters: ClassVar = _SHOWN | {"filter", "startIndex", "count", "sortBy", "sortOrder"}

    def get(self, request: Any) -> Response:
        directory = self.directory()
        directory.require_entitled()
        rows = directory.people()
        if (raw := request.query_params.get("filter")) is not None:
            return self._filtered(directory, rows, raw)
        start, end = self.window()
        page = rows.order_by("created_at", "pk")[start:end] if end > start else []
        return self.listed([directory.user(each) for each in page], total=rows.count())

    def _filtered(self, directory: Directory, rows: QuerySet[Person], raw: str) -> Response:
        """Answer with one page of the rows that match the filter, and with their total number.

        The filter may need all rows. So they are read in portions, and only one page stays in memory.
        """
        among, test = filters.people(rows, raw)
        (start, end), page, total = self.window(), [], 0
        for person in among.order_by("created_at", "pk").iterator(chunk_size=500):
            if not test(shown := directory.user(person)):
                continue
            if start <= total < end:
                page.append(shown)
            total += 1
        return self.listed(page, total=total)

    def post(self, request: Any) -> Response:
        directory = self.directory()
        person = directory.add(bodies.profile_of(bodies.replaced(request.data)))
        return self.shown_user(directory, person.pk, status=201)


class OneUser(ScimView):
    parameters: ClassVar = _SHOWN

    def get(self, request: Any, pk: UUID) -> Response:
        return self.answered(self.found(pk, directories.user)[1])

    def put(self, request: Any, pk: UUID) -> Response:
        return self._changed(pk, lambda before: bodies.replaced(request.data, before), is_whole=True)

    def patch(self, request: Any, pk: UUID) -> Response:
        return self._changed(pk, lambda before: bodies.patched(before, request.data))

    def delete(self, request: Any, pk: UUID) -> Response:
        directory, user = self.found(pk, directories.user)
        self.require_version(user)
        directory.remove(pk, still=self.still(lambda: directories.user(directory, pk)))
        return Response(status=204)

    def _changed(self, pk: UUID, change: Callable[[bodies.State], bodies.State], *, is_whole: bool = False) -> Response:
        directory, before = self.found(pk, directories.user)
        self.require_version(before)
        # A whole User contains all names, so its names are not compared with the earlier names.
        profile = bodies.profile_of(change(before), before=None if is_whole else before)
        # Attributes that the caller did not change stay as they are now: somebody else may have changed them meanwhile.
        profile = bodies.difference(bodies.profile_of(before), profile)
        directory.change(pk, profile, still=self.still(lambda: directories.user(directory, pk)))
        return self.shown_user(directory, pk)


class Groups(ScimView):
    parameters: ClassVar = Users.parameters

    def get(self, request: Any) -> Response:
        directory = self.directory()
        directory.require_entitled()
        rows = list(directory.groups())
        if (raw := request.query_params.get("filter")) is not None:
            test = filters.test_of(raw, shapes.GROUP)
            rows = [each for each in rows if test(each)]
        start, end = self.window()
        return self.listed(rows[start:end], total=len(rows))

    def post(self, request: Any) -> Response:
        """Refuse a new group. A group gives a role, and only people choose which groups there are."""
        self.directory().require_entitled()
        raise _no_other_groups()


class OneGroup(ScimView):
    parameters: ClassVar = _SHOWN

    def get(self, request: Any, pk: UUID) -> Response:
        return self.answered(self.found(pk, directories.group)[1])

    def put(self, request: Any, pk: UUID) -> Response:
        return self._changed(pk, groups.replaced)

    def patch(self, request: Any, pk: UUID) -> Response:
        return self._changed(pk, groups.patched)

    def delete(self, request: Any, pk: UUID) -> Response:
        self.found(pk, directories.group)
        raise _no_other_groups()

    def _changed(self, pk: UUID, change: Callable[[dict[str, Any], Any], groups.Members]) -> Response:
        directory, before = self.found(pk, directories.group)
        self.require_version(before)
        was, wanted = groups.members_of(before), change(before, self.request.data)
        still = self.still(lambda: directories.group(directory, pk))
        directory.change_members(pk, to=wanted - was, away_from=was - wanted, still=still)
        return self.answered(directories.group(directory, pk))


def _no_other_groups() -> NotImplementedHere:
    return NotImplementedHere(
        _("You can’t add or remove a group, because each group gives a role. Find a group by its displayName.")
    )


class Config(ScimView):
    def get(self, request: Any) -> Response:
        return Response(discovery.service_provider_config())


class ResourceTypes(ScimView):
    def get(self, request: Any) -> Response:
        found = list(discovery.resource_types().values())
        return Response(shapes.listed(found, total=len(found)))


class OneResourceType(ScimView):
    def get(self, request: Any, name: str) -> Response:
        if name not in discovery.resource_types():
            raise NotFound
        return Response(discovery.resource_types()[name])


class Schemas(ScimView):
    def get(self, request: Any) -> Response:
        found = list(discovery.schemas(of_provider=self.actor.side is Side.PROVIDER).values())
        return Response(shapes.listed(found, total=len(found)))


class OneSchema(ScimView):
    def get(self, request: Any, urn: str) -> Response:
        found = discovery.schemas(of_provider=self.actor.side is Side.PROVIDER)
        if urn not in found:
            raise NotFound
        return Response(found[urn])


class NotOffered(ScimView):
    """Refuses `/Me`, `/Bulk` and searches by POST."""

    def get(self, request: Any, **_named: Any) -> Response:
        raise NotImplementedHere

    post = put = patch = delete = get

    def known_parameters(self) -> frozenset[str]:
        return frozenset(self.request.query_params)


class NothingOfScim(NotOffered):
    def get(self, request: Any, **_named: Any) -> Response:
        raise NotFound

    post = put = patch = delete = get


def _names(version: str, header: str) -> bool:
    """Return whether the header `If-Match` or `If-None-Match` names this version.

    Tags are compared as weak tags, as in the standard's examples of If-Match.
    """
    plain = version.removeprefix("W/")
    return any(each.strip().removeprefix("W/") in (plain, "*") for each in header.split(","))


def _whole(raw: str | None, name: str, *, default: int) -> int:
    if raw is None:
        return default
    digits = raw.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        raise shapes.Fault("invalidValue", f"{name} must be a whole number.")
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
    path(f"{_ROOT}/Groups", Groups.as_view(), name="scim_groups"),
    path(f"{_ROOT}/Groups/<uuid:pk>", OneGroup.as_view(), name="scim_group"),
    re_path(rf"^{_ROOT}/(?:Me|Bulk|(?:(?:Users|Groups)/)?\.search)$", NotOffered.as_view(), name="scim_not_offered"),
    re_path(r"^scim(?:/.*)?$", NothingOfScim.as_view(), name="scim_nothing"),
]
