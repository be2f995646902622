"""What was restored from a backup at a tenant, and its confirmation."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock, policy
from requests_app.domain.acts.restored import CONFIRM_RESTORED
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.fields import Strict, Text
from requests_app.doors.api.schema import extend_schema, one
from requests_app.models import Tenant
from requests_app.queries import restored as queries
from requests_app.queries import tenant as tenants

_TAGS = ["tenants"]


class RestoredOut(serializers.Serializer):
    """If `waits_for_tenant` or `waits_for_staff` is true, no window opens at the tenant.

    `restored` is what the tenant's people confirm, and `shown` is its hash: SHA-256 of the canonical JSON (RFC 8785).
    Both are empty if nothing waits for the tenant. `confirmed_by` names the people who have confirmed exactly this, and
    `needed` is how many people must.
    """

    waits_for_tenant = serializers.BooleanField()
    waits_for_staff = serializers.BooleanField()
    backup_taken_at = serializers.DateTimeField(allow_null=True)
    restored_at = serializers.DateTimeField(allow_null=True)
    needed = serializers.IntegerField()
    confirmed_by = serializers.ListField(child=serializers.CharField())
    shown = serializers.CharField()
    restored = serializers.DictField()


class ShownIn(Strict):
    shown = Text(help_text="The value of `shown` that you got with what you have read.")


class Restored(ApiView):
    """The tenant's administrators, approvers and auditors can read this, and staff."""

    scopes: ClassVar = {"GET": Scope.TENANT_READ}
    acts: ClassVar = {"POST": (CONFIRM_RESTORED,)}

    @extend_schema(
        operation_id="tenants_restored",
        summary="Read what was restored from a backup and waits for a confirmation",
        tags=_TAGS,
        responses=one(RestoredOut),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        row = tenants.tenant(tenant, actor=self.actor)
        policy.require_role(self.actor, queries.READERS, tenant_id=row.pk)
        return self.shown(RestoredOut, _found(row))

    @extend_schema(
        operation_id="tenants_confirm_restored",
        summary="Confirm what was restored from a backup",
        tags=_TAGS,
        request=ShownIn,
        responses=one(RestoredOut),
        examples=[OpenApiExample("What was read", request_only=True, value={"shown": "5f" * 32})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only an administrator or an approver can do this, after `me/step-up`. A client can't.

        If something has changed since it was read, the answer is `facts_changed`: read it again.
        """
        row = tenants.tenant(tenant, actor=self.actor)
        operations.confirm_restored(row.pk, **self.body(ShownIn), actor=self.actor)
        return self.shown(RestoredOut, _found(Tenant.objects.get(pk=row.pk)))


def _found(row: Tenant) -> dict[str, Any]:
    found, staff, at = queries.open_at(row.pk), queries.open_at_provider(), clock.now()
    of = found.of if found is not None else staff
    earliest = queries.unconfirmed(row.pk if found is not None else None)
    answer: dict[str, Any] = {
        "waits_for_tenant": found is not None,
        "waits_for_staff": staff is not None,
        "backup_taken_at": earliest.taken_at if earliest is not None else None,
        "restored_at": of.restored_at if of is not None else None,
        "needed": 0,
        "confirmed_by": [],
        "shown": "",
        "restored": {},
    }
    if found is None:
        return answer
    facts = queries.facts_of_tenant(row, at)
    shown = queries.digest(facts)
    needed = queries.still_needed(found.people_needed, queries.humans_of(row.pk), found.of.restored_at, at)
    confirmed = [each.name for each in queries.confirmations(found.of, row.pk, shown)]
    return {**answer, "needed": needed, "confirmed_by": confirmed, "shown": shown, "restored": facts}
