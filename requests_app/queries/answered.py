"""Reads whether any access request had an answer. An answer is the last decision, whether it approves or denies."""

from __future__ import annotations

from django.db.models import Q

from requests_app.models import AccessRequest, Decision, Tenant
from requests_app.models.access import DecisionQuerySet
from requests_app.models.scoping import without_index

#: The last decision on an access request: the customer's, or the provider's where the customer is not asked.
_ASKED = Q(stage=Decision.Stage.CUSTOMER)
_ALONE = Q(stage=Decision.Stage.PROVIDER, access_request__needs_customer_approval=False)


def is_any() -> bool:
    """Return whether an access request of any tenant has been answered."""
    return _is_in(Decision.objects.all(), is_alone=True)


def is_in(tenant: Tenant) -> bool:
    """Return whether an access request of this tenant has been answered."""
    return _is_in(Decision.objects.filter(tenant=tenant), is_alone=not tenant.lockbox_on)


def is_practised(tenant: Tenant) -> bool:
    """Return whether a practice request of this tenant has been answered. There are few practice requests."""
    practice = AccessRequest.objects.alias(of=without_index("tenant_id")).filter(of=tenant.pk, is_practice=True)
    rows = Decision.objects.filter(access_request__in=list(practice.values_list("pk", flat=True)))
    return _is_in(rows, is_alone=not tenant.lockbox_on)


def _is_in(rows: DecisionQuerySet, *, is_alone: bool) -> bool:
    # Each query begins with the newest decision and stops at the first that fits. One query with both conditions would
    # join all rows first.
    newest = rows.order_by("-at").values_list("pk")
    return bool(newest.filter(_ASKED)[:1]) or (is_alone and bool(newest.filter(_ALONE)[:1]))
