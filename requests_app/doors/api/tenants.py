"""Tenants: their settings, Lockbox, the maximum length of windows, and the notification addresses."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.acts.tenants import (
    ADD_ADDRESS,
    ALLOW_LEVEL,
    CHANGE_TENANT,
    CREATE_TENANT,
    REMOVE_ADDRESS,
    RULE_OUT_LEVEL,
    SET_WINDOW_CAP,
    SET_YES_RULE,
    SWITCH_LOCKBOX,
    SWITCH_OFF_TENANT,
    SWITCH_ON_TENANT,
)
from requests_app.domain.errors import Unacceptable
from requests_app.domain.levels import Level
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.errors import in_words_of
from requests_app.doors.api.fields import Strict, Text, Uuid, Whole, YesNoFilter
from requests_app.doors.api.schema import IF_MATCH, extend_schema, one, problems
from requests_app.doors.api.shapes import TenantRef
from requests_app.models import IdempotencyKey, Tenant
from requests_app.platform.addresses import absolute
from requests_app.queries import invitations
from requests_app.queries import tenant as queries

_TAGS = ["tenants"]

# --- Answers -------------------------------------------------------------------------------------------------


class PlanOut(serializers.Serializer):
    name = serializers.CharField()
    includes_lockbox = serializers.BooleanField()


class TenantOut(serializers.Serializer):
    """`longest_window_seconds` applies to windows that open from now on.

    `yes_rule` says whether approvals must be signed: no (`any`), with a passkey (`signed`), or with a passkey that
    can't leave its device (`device_bound`). `cosigned_within_hours` is null if windows don't depend on a witness.
    `log_kept_days` is null if the log's entries are never removed. `external_id` is the tenant's id in the provider's
    own records. Nobody can ask for one of `ruled_out_levels`. If `is_active` is false, nobody can open a ticket or ask
    for access.
    """

    id = serializers.UUIDField()
    name = serializers.CharField()
    short_name = serializers.CharField(source="slug")
    plan = PlanOut()
    lockbox_on = serializers.BooleanField()
    ruled_out_levels = serializers.SerializerMethodField()
    longest_window_seconds = serializers.IntegerField(source="window_cap")
    yes_rule = serializers.ChoiceField(choices=Tenant.YesRule.values)
    two_person_control = serializers.BooleanField(source="needs_two")
    time_zone = serializers.CharField()
    external_id = serializers.CharField()
    is_active = serializers.BooleanField()
    cosigned_within_hours = serializers.IntegerField(source="cosigned_within", allow_null=True)
    log_kept_days = serializers.IntegerField(source="log_retention_days", allow_null=True)
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=Level.values)))
    def get_ruled_out_levels(self, row: Tenant) -> list[str]:
        return [str(level) for level in Level if not row.allows(level)]


class LevelOfTenantIn(Strict):
    level = serializers.ChoiceField(choices=Level.values)


class ExpectedOut(serializers.Serializer):
    """An open invitation of one of the provider's people, who gets the role by accepting until `until`."""

    email = serializers.CharField()
    role = serializers.CharField()
    queues = serializers.ListField(child=serializers.CharField())
    invited_by = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()


class UnderWayOut(serializers.Serializer):
    """How many access requests and windows are open now, and whom the provider has invited.

    `with_provider` is the number of access requests that wait for the provider. `bound_for_customer` counts how many of
    these need the customer's approval at present. `with_customer` is the number of access requests that wait for the
    customer. `open` is the number of open windows. `invited` lists the provider's open invitations that give their role
    at once. It is empty after Lockbox was first switched on: later roles are announced.
    """

    with_provider = serializers.IntegerField()
    bound_for_customer = serializers.IntegerField()
    with_customer = serializers.IntegerField()
    open = serializers.IntegerField()
    invited = ExpectedOut(many=True)


class AddressOut(serializers.Serializer):
    id = serializers.UUIDField()
    email = serializers.CharField()
    label = serializers.CharField()
    created_at = serializers.DateTimeField()


# --- Bodies --------------------------------------------------------------------------------------------------


class TenantChange(Strict):
    """Send exactly one of the members."""

    needs_a_member = True

    longest_window_seconds = Whole(required=False)
    yes_rule = serializers.ChoiceField(choices=Tenant.YesRule.values, required=False)


class TenantIn(Strict):
    name = Text()
    short_name = serializers.RegexField(r"^[-a-zA-Z0-9_]+$", max_length=60)
    plan = Uuid()
    time_zone = Text(required=False, default="UTC")
    external_id = Text(required=False, allow_blank=True, default="")


class TenantRecord(Strict):
    needs_a_member = True

    name = Text(required=False)
    plan = Uuid(required=False)
    time_zone = Text(required=False)
    external_id = Text(required=False, allow_blank=True)


class AddressIn(Strict):
    email = Text()
    label = Text(required=False, allow_blank=True, default="")


class TenantFilter(django_filters.FilterSet):
    name = django_filters.CharFilter(lookup_expr="icontains", max_length=120)
    external_id = django_filters.CharFilter(max_length=200)
    is_active = YesNoFilter()


#: The operations' names of fields, and the API's.
_FIELDS = {"slug": "short_name", "plan_id": "plan"}

# --- Tenants -------------------------------------------------------------------------------------------------


class Tenants(ListView):
    """A customer sees only its own tenant. The provider's engineers and staff see the names of all tenants."""

    scopes: ClassVar = {"GET": Scope.TENANT_READ}
    acts: ClassVar = {"POST": (CREATE_TENANT,)}
    serializer_class = TenantRef
    filterset_class = TenantFilter
    orders = ("name", "-name")

    @extend_schema(operation_id="tenants_list", summary="List tenants", tags=_TAGS, responses=TenantRef(many=True))
    def get(self, request: Any) -> Response:
        return self.listed(queries.tenants(self.actor))

    @extend_schema(
        operation_id="tenants_create",
        summary="Set up a tenant",
        tags=_TAGS,
        request=TenantIn,
        responses={201: TenantOut},
        examples=[
            OpenApiExample(
                "A new customer",
                request_only=True,
                value={"name": "Adatum", "short_name": "adatum", "plan": "{plan}", "external_id": "C-4711"},
            )
        ],
    )
    def post(self, request: Any) -> Response:
        """Only staff and the provider's clients can do this.

        Nobody can do anything in the tenant until its first administrator is invited. Its short name never changes.
        """
        wanted = self.body(TenantIn)
        slug, plan_id = wanted.pop("short_name"), wanted.pop("plan")
        with in_words_of(_FIELDS):
            row = operations.create_tenant(slug=slug, plan_id=plan_id, **wanted, actor=self.actor)
        return self.shown(TenantOut, row, status=201, location=absolute(reverse("api:tenant", args=[row.pk])))

    def address_of_what(self, done: IdempotencyKey) -> str:
        return reverse("api:tenant", args=[done.subject_id])


class OneTenant(ApiView):
    """Only the tenant's own people and staff can read this."""

    scopes: ClassVar = {"GET": Scope.TENANT_READ}
    acts: ClassVar = {"PATCH": (SET_YES_RULE, SET_WINDOW_CAP)}

    @extend_schema(
        operation_id="tenants_show", summary="Read how a tenant is set up", tags=_TAGS, responses=one(TenantOut)
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        return _shown(self, tenant)

    @extend_schema(
        operation_id="tenants_change",
        summary="Set the maximum length of windows, or the approval requirements",
        tags=_TAGS,
        parameters=[IF_MATCH],
        request=TenantChange,
        responses=one(TenantOut) | problems(412, 428),
        examples=[OpenApiExample("Two hours", request_only=True, value={"longest_window_seconds": 7200})],
    )
    def patch(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this. To set `yes_rule`, a step-up is needed.

        The allowed lengths of a window are the same as on the pages.
        """
        row = queries.tenant(tenant, actor=self.actor)
        found = self.body(TenantChange)
        self.require_match(TenantOut, row)
        if len(found) != 1:
            raise Unacceptable(
                _("Send exactly one of the fields longest_window_seconds and yes_rule."), field="longest_window_seconds"
            )
        try:
            if "yes_rule" in found:
                operations.set_yes_rule(row.pk, rule=found["yes_rule"], actor=self.actor)
            else:
                seconds = found["longest_window_seconds"]
                operations.set_window_cap(row.pk, seconds=seconds, was=row.window_cap, actor=self.actor)
        except Unacceptable as refusal:
            refusal.field = "longest_window_seconds"
            raise
        return _shown(self, tenant)


class ChangeTenant(ApiView):
    acts: ClassVar = {"POST": (CHANGE_TENANT,)}
    shows = "tenant"

    @extend_schema(
        operation_id="tenants_change_record",
        summary="Change a tenant's name, plan, time zone or external id",
        tags=_TAGS,
        request=TenantRecord,
        responses=one(TenantOut),
        examples=[OpenApiExample("Another name", request_only=True, value={"name": "Contoso AG"})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only staff and the provider's clients can do this.

        A plan without Lockbox is proposed, if the tenant has ever had Lockbox on.
        """
        row, wanted = queries.tenant(tenant, actor=self.actor), self.body(TenantRecord)
        if "plan" in wanted:
            wanted["plan_id"] = wanted.pop("plan")
        operations.change_tenant(row.pk, **wanted, actor=self.actor)
        return _shown(self, tenant)


class SwitchOffTenant(ApiView):
    acts: ClassVar = {"POST": (SWITCH_OFF_TENANT,)}
    shows = "tenant"

    @extend_schema(
        operation_id="tenants_switch_off",
        summary="Switch a tenant off: nobody can open a ticket or ask for access",
        tags=_TAGS,
        request=None,
        responses=one(TenantOut),
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only staff and the provider's clients can do this.

        Waiting access requests are withdrawn, and open windows close. The tenant's people can still read and export the
        log. This is proposed, if the tenant has ever had Lockbox on.
        """
        row = queries.tenant(tenant, actor=self.actor)
        self.body(Strict)
        operations.switch_off_tenant(row.pk, actor=self.actor)
        return _shown(self, tenant)


class SwitchOnTenant(ApiView):
    acts: ClassVar = {"POST": (SWITCH_ON_TENANT,)}
    shows = "tenant"

    @extend_schema(
        operation_id="tenants_switch_on",
        summary="Switch a tenant on again",
        tags=_TAGS,
        request=None,
        responses=one(TenantOut),
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only staff and the provider's clients can do this. It restores nothing that ended.

        This is proposed, if the tenant has ever had Lockbox on.
        """
        row = queries.tenant(tenant, actor=self.actor)
        self.body(Strict)
        operations.switch_on_tenant(row.pk, actor=self.actor)
        return _shown(self, tenant)


class UnderWay(ApiView):
    """Only the tenant's own people and staff can read this."""

    scopes: ClassVar = {"GET": Scope.TENANT_READ}

    @extend_schema(
        operation_id="tenants_under_way",
        summary="Count the access requests and windows that a switch of Lockbox would affect",
        tags=_TAGS,
        responses=one(UnderWayOut),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        row = queries.tenant(tenant, actor=self.actor)
        at = clock.now()
        found = queries.under_way(row, at=at)
        invited = invitations.expected_of_provider(row, at=at)
        return self.shown(UnderWayOut, {**asdict(found), "invited": [each._asdict() for each in invited]})


class _Lockbox(ApiView):
    acts: ClassVar = {"POST": (SWITCH_LOCKBOX,)}

    def _switched(self, tenant: UUID, *, on: bool) -> Response:
        row = queries.tenant(tenant, actor=self.actor)
        self.body(Strict)
        operations.switch_lockbox(row.pk, on=on, actor=self.actor)
        return _shown(self, tenant)


class EnableLockbox(_Lockbox):
    # Only switching Lockbox off can need a second person.
    is_never_proposed = True

    @extend_schema(
        operation_id="tenants_enable_lockbox",
        summary="Switch Lockbox on",
        tags=_TAGS,
        request=None,
        responses=one(TenantOut),
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this.

        Lockbox then applies to access requests that the provider has not approved yet.
        """
        return self._switched(tenant, on=True)


class DisableLockbox(_Lockbox):
    @extend_schema(
        operation_id="tenants_disable_lockbox",
        summary="Switch Lockbox off",
        tags=_TAGS,
        request=None,
        responses=one(TenantOut),
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this.

        Access requests that already need the customer's approval still need it.
        """
        return self._switched(tenant, on=False)


class RuleOutLevel(ApiView):
    acts: ClassVar = {"POST": (RULE_OUT_LEVEL,)}

    @extend_schema(
        operation_id="tenants_rule_out_level",
        summary="Rule a level of access out",
        tags=_TAGS,
        request=LevelOfTenantIn,
        responses=one(TenantOut),
        examples=[OpenApiExample("Files", request_only=True, value={"level": "read"})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this.

        Waiting access requests with this level are withdrawn, and open windows with it close.
        """
        row = queries.tenant(tenant, actor=self.actor)
        operations.rule_out_level(row.pk, **self.body(LevelOfTenantIn), actor=self.actor)
        return _shown(self, tenant)


class AllowLevel(ApiView):
    acts: ClassVar = {"POST": (ALLOW_LEVEL,)}

    @extend_schema(
        operation_id="tenants_allow_level",
        summary="Allow a level of access that was ruled out",
        tags=_TAGS,
        request=LevelOfTenantIn,
        responses=one(TenantOut),
        examples=[OpenApiExample("View again", request_only=True, value={"level": "view"})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this. Nothing that ended is restored."""
        row = queries.tenant(tenant, actor=self.actor)
        operations.allow_level(row.pk, **self.body(LevelOfTenantIn), actor=self.actor)
        return _shown(self, tenant)


# --- Notification addresses ----------------------------------------------------------------------------------


class Addresses(ListView):
    """An address gets the same mails as the approvers, but nobody can decide with it."""

    scopes: ClassVar = {"GET": Scope.TENANT_READ}
    acts: ClassVar = {"POST": (ADD_ADDRESS,)}
    serializer_class = AddressOut
    orders = ("email", "-email", "created_at", "-created_at")

    @extend_schema(
        operation_id="addresses_list",
        summary="List the notification addresses",
        tags=_TAGS,
        responses=AddressOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        return self.listed(queries.addresses(queries.tenant(tenant, actor=self.actor)))

    @extend_schema(
        operation_id="addresses_add",
        summary="Add a notification address",
        tags=_TAGS,
        request=AddressIn,
        responses={201: AddressOut},
        examples=[
            OpenApiExample(
                "A security team", request_only=True, value={"email": "soc@contoso.example", "label": "Security team"}
            )
        ],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this."""
        row = queries.tenant(tenant, actor=self.actor)
        address = operations.add_address(row.pk, **self.body(AddressIn), actor=self.actor)
        location = absolute(reverse("api:address", args=[row.pk, address.pk]))
        return self.shown(AddressOut, address, status=201, location=location)


class OneAddress(ApiView):
    scopes: ClassVar = {"GET": Scope.TENANT_READ}
    acts: ClassVar = {"DELETE": (REMOVE_ADDRESS,)}

    @extend_schema(operation_id="addresses_show", summary="Read one address", tags=_TAGS, responses=one(AddressOut))
    def get(self, request: Any, tenant: UUID, address: UUID) -> Response:
        row = queries.tenant(tenant, actor=self.actor)
        return self.shown(AddressOut, queries.address(row, address))

    @extend_schema(
        operation_id="addresses_remove",
        summary="Remove an address; it gets no more mails",
        tags=_TAGS,
        request=None,
        responses={204: None},
    )
    def delete(self, request: Any, tenant: UUID, address: UUID) -> Response:
        """Only the tenant's administrator can do this."""
        row = queries.tenant(tenant, actor=self.actor)
        operations.remove_address(queries.address(row, address).pk, actor=self.actor)
        return Response(status=204)


def _shown(view: ApiView, tenant: UUID) -> Response:
    return view.shown(TenantOut, queries.tenant(tenant, actor=view.actor))
