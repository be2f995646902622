"""Reads which access requests had an answer. An answer is the last decision, whether it approves or denies."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from requests_app.models import AccessRequest, Decision, Tenant

#: The last decision on an access request: the customer's, or the provider's where the customer is not asked.
_ASKED = Q(stage=Decision.Stage.CUSTOMER)
_ALONE = Q(stage=Decision.Stage.PROVIDER, access_request__needs_customer_approval=False)


def is_any() -> bool:
    """Return whether an access request of any tenant has been answered."""
    # The look-up goes from tenant to tenant, because the indexes over access requests begin with the tenant.
    found = _answered(_ASKED | _ALONE).filter(tenant=OuterRef("pk"))
    return bool(Tenant.objects.filter(Exists(found)).exists())


def of_tenant(tenant: Tenant) -> QuerySet[AccessRequest]:
    """Return the access requests of this tenant that have been answered."""
    return _answered(_ASKED if tenant.lockbox_on else _ASKED | _ALONE).filter(tenant=tenant)


def _answered(last: Q) -> QuerySet[AccessRequest]:
    """Return the access requests that have such a last decision."""
    decisions = Decision.objects.filter(last, access_request=OuterRef("pk"))
    return AccessRequest.objects.filter(Exists(decisions))
