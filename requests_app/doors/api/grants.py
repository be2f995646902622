"""Grants: the windows that were opened, the accesses in them, and their grant tokens. The API serves no content."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock, policy
from requests_app.domain.actors import Side
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.grant_tokens import ISSUE_GRANT_TOKEN
from requests_app.domain.errors import NotAllowed
from requests_app.domain.lifecycle import actions_from
from requests_app.domain.scopes import Scope
from requests_app.domain.states import State
from requests_app.doors.api import output
from requests_app.doors.api.access_requests import WindowOut
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import IdFilter, InstantFilter, Strict
from requests_app.doors.api.plain import words_of
from requests_app.doors.api.schema import extend_schema, one
from requests_app.doors.api.shapes import PersonRef, ResourceRef, ServiceRef, TenantRef
from requests_app.models import ContentAccess, Grant, Level
from requests_app.models.token_keys import ALGORITHMS
from requests_app.platform.secret_answers import secret_answer
from requests_app.queries import access
from requests_app.queries.merging import Parts, few

STATES = ("open", "closed")
LOOKS = ContentAccess.Kind.values
_READ = {"GET": Scope.GRANTS_READ}
_TAGS = ["grants"]
_WORDS = words_of(Noun.ACCESS_REQUEST)
_ENDING = [_WORDS[edge.act.name] for edge in actions_from(State.OPEN) if edge.act.name in _WORDS]

# --- Answers -------------------------------------------------------------------------------------------------


class AccessRequestRef(serializers.Serializer):
    id = serializers.UUIDField()
    reference = serializers.CharField()


class GrantLine(WindowOut):
    """`state` is the state at this moment. To close a window early, use the routes of its access request.

    `enforced_by` is the provider's own application that enforces the window. It is empty if the content is read through
    Lockbox.

    If `is_practice` is true, this is the window of a practice request: its content is made up.
    """

    state = serializers.SerializerMethodField()
    access_request = AccessRequestRef()
    is_practice = serializers.BooleanField(source="access_request.is_practice")
    tenant = TenantRef()
    service = ServiceRef(source="access_request.service")
    engineer = PersonRef()
    level = serializers.ChoiceField(choices=Level.values)
    resources = serializers.SerializerMethodField()
    enforced_by = serializers.CharField(source="access_request.enforced_by")
    closed_by = PersonRef(allow_null=True)

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, row: Grant) -> str:
        return "open" if row.is_live(self.context["at"]) else "closed"

    @extend_schema_field(ResourceRef(many=True))
    def get_resources(self, row: Grant) -> Any:
        return output.all_shown(ResourceRef, row.access_request.scoped)


class SeenOut(serializers.Serializer):
    """How much content was accessed. `opened` counts the different items that were shown on a page.

    `downloaded` counts the different items that were sent as a file, and `attachments` the downloaded attachments.
    `resources` counts the resources to which these items belong. `listed` is the number of listed names. `allowed` is
    how often another service was allowed to access content. What was opened there is not known. If the grant has an
    `enforced_by`, only `allowed` means something: it is the number of accesses that this application reported.
    """

    opened = serializers.IntegerField()
    downloaded = serializers.IntegerField()
    attachments = serializers.IntegerField()
    resources = serializers.IntegerField()
    listed = serializers.IntegerField()
    allowed = serializers.IntegerField()


class GrantOut(GrantLine):
    """`allowed_actions` names the acts on the access request that this caller is allowed to do now."""

    seen = serializers.SerializerMethodField()
    allowed_actions = serializers.SerializerMethodField()

    @extend_schema_field(SeenOut())
    def get_seen(self, row: Grant) -> Any:
        return SeenOut(access.seen_resources([row.pk])[row.pk]).data

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=_ENDING)))
    def get_allowed_actions(self, row: Grant) -> list[str]:
        found = access.allowed_actions(row.access_request, actor=self.context["actor"], at=self.context["at"])
        return [_WORDS[edge.act.name] for edge in found if edge.act.name in _WORDS]


class ContentAccessOut(serializers.Serializer):
    """`item` is a reference to the item, without its content. It is empty for a list.

    `names` is the number of listed names. `part` is an attachment of a message. The kind `opened` means shown on a
    page, and `downloaded` means sent as a file. A kind that ends with `_allowed` means that another service got
    permission; what happened there is not known. A kind with `reported` in its name is what an application says about
    its own requests: `names` is their number, and the log's entry has each of them. `resource` is null if a gate
    allowed a path that names none.
    """

    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=LOOKS)
    resource = ResourceRef(allow_null=True)
    item = serializers.CharField(source="item_ref")
    part = serializers.CharField()
    names = serializers.IntegerField(source="count")


# --- Filters -------------------------------------------------------------------------------------------------


class GrantFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=[(state, state) for state in STATES], method="in_state")
    tenant = IdFilter(field_name="tenant_id")
    service = IdFilter(field_name="access_request__service_id")
    engineer = IdFilter(field_name="engineer_id")
    access_request = IdFilter(field_name="access_request_id")
    opened_since = InstantFilter(field_name="opens_at", lookup_expr="gte")
    opened_before = InstantFilter(field_name="opens_at", lookup_expr="lt")
    closes_since = InstantFilter(field_name="closes_at", lookup_expr="gte")
    closes_before = InstantFilter(field_name="closes_at", lookup_expr="lt")

    def in_state(self, rows: Any, _name: str, value: str) -> Any:
        return rows.live(clock.now()) if value == "open" else rows.over(clock.now())


class ContentAccessFilter(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(choices=ContentAccess.Kind.choices)
    resource = IdFilter(field_name="resource_id")
    since = InstantFilter(field_name="at", lookup_expr="gte")
    before = InstantFilter(field_name="at", lookup_expr="lt")


# --- Routes --------------------------------------------------------------------------------------------------


class Grants(ListView):
    """The windows of the caller's tenants or queues."""

    scopes: ClassVar = _READ
    serializer_class = GrantLine
    filterset_class = GrantFilter
    orders = ("-opens_at", "opens_at", "closes_at", "-closes_at")
    # Windows that are closed, and the few that are not.
    parts: ClassVar = {"closes_at": Parts("closed_at__isnull", (False,), (True,), has_all_queues=True)}

    @extend_schema(operation_id="grants_list", summary="List windows", tags=_TAGS, responses=GrantLine(many=True))
    def get(self, request: Any) -> Response:
        in_parts = self.parts_of_order() is not None
        rows = access.listed_grants(self.actor, in_parts=in_parts, few=self.few(Grant.objects.all()))
        return self.listed(rows, at=clock.now())

    def few(self, rows: Any) -> Any:
        """Return the keys of a customer's windows that are not closed, for a list of the open ones.

        For the provider, the index of all windows that are not closed is enough.
        """
        is_needed = self.actor.side is Side.CUSTOMER and self.request.query_params.get("state") == "open"
        return few(rows.unclosed(), actor=self.actor) if is_needed and self.parts_of_order() is None else None

    def complete(self, found: list[Any]) -> None:
        access.add_scope([row.access_request for row in found])


class OneGrant(ApiView):
    scopes: ClassVar = _READ

    @extend_schema(operation_id="grants_show", summary="Read one window", tags=_TAGS, responses=one(GrantOut))
    def get(self, request: Any, pk: UUID) -> Response:
        return self.shown(GrantOut, access.grant(pk, actor=self.actor), at=clock.now())


class GrantTokenIn(Strict):
    alg = serializers.ChoiceField(choices=ALGORITHMS, required=False, default=ALGORITHMS[0])


class GrantTokenOut(serializers.Serializer):
    """`token` is a JWT (RFC 9068) for the application that `audience` names. Only this answer shows it."""

    token = serializers.CharField()
    audience = serializers.CharField()
    expires_at = serializers.DateTimeField()
    expires_in = serializers.IntegerField()


class GrantToken(ApiView):
    """Only the engineer of the window can do this, with a personal token that has the scope `grants:token`."""

    acts: ClassVar = {"POST": (ISSUE_GRANT_TOKEN,)}
    has_no_etag: ClassVar[bool] = True

    @extend_schema(
        operation_id="grants_token",
        summary="Get a grant token for an open window of your own",
        tags=_TAGS,
        request=GrantTokenIn,
        responses={200: GrantTokenOut},
        examples=[OpenApiExample("A short signature", request_only=True, value={"alg": "EdDSA"})],
    )
    def post(self, request: Any, pk: UUID) -> Response:
        """The token ends with the window, and after 5 minutes at most. Each call is an entry in the tenant's log."""
        made = operations.issue_grant_token(pk, **self.body(GrantTokenIn), actor=self.actor)
        return secret_answer(Response(GrantTokenOut(made).data))


class Accesses(ListView):
    """The window's engineer, the provider's approvers, staff, and all readers of the tenant's log can read this list.

    Other people of the tenant can read only the totals, in `seen` of the window.
    """

    scopes: ClassVar = _READ
    serializer_class = ContentAccessOut
    filterset_class = ContentAccessFilter
    orders = ("-at", "at")

    @extend_schema(
        operation_id="grants_accesses",
        summary="List the accesses to content in a window",
        tags=_TAGS,
        responses=ContentAccessOut(many=True),
    )
    def get(self, request: Any, pk: UUID) -> Response:
        row = access.grant(pk, actor=self.actor)
        if not policy.sees_looks(self.actor, row.access_request):
            raise NotAllowed
        return self.listed(access.looks(row))
