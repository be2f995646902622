"""Says which changes of tenants and resources reduce a customer's protection, and describes them for a proposal.

An act on one row uses these rules, and so does an import of many rows.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import ADD_RESOURCE, CHANGE_PLAN, CHANGE_RESOURCE, RENAME_RESOURCE
from requests_app.domain.acts.tenants import MOVE_TENANT
from requests_app.models import HeldRow, Plan, Proposal, Resource, Tenant
from requests_app.operations._announced import Terms
from requests_app.operations._rows import differing


def move(tenant: Tenant, plan: Plan) -> tuple[Change, Terms] | None:
    """Return the announcement for a change to a plan without Lockbox, or None if there is no such change."""
    if not tenant.plan.includes_lockbox or plan.includes_lockbox:
        return None
    terms = {"tenant": str(tenant.pk), "name": tenant.name, "plan": str(plan.pk), "plan_name": plan.name}
    return MOVE_TENANT, {**terms, "was": str(tenant.plan_id), "plan_before": tenant.plan.name}


def addition(resource: Resource, wanted: Terms) -> tuple[Change, Terms] | None:
    """Return the announcement of a new resource, or None if its service is covered."""
    if resource.service.is_covered:
        return None
    of = {"tenant": str(resource.tenant_id), "tenant_name": resource.tenant.name}
    of |= {"service": str(resource.service_id), "service_name": resource.service.name}
    return ADD_RESOURCE, {**of, "name": wanted.get("name", ""), "wanted": wanted}


def change(resource: Resource, changed: Terms) -> tuple[Change, Terms]:
    """Return the announcement of these changes, for a resource that exists."""
    if changed.keys() == {"name"}:
        return RENAME_RESOURCE, {"resource": str(resource.pk), "was": resource.name, "name": changed["name"]}
    terms = differing(resource, changed)
    terms |= {"resource": terms.pop("row"), "tenant": str(resource.tenant_id), "tenant_name": resource.tenant.name}
    return CHANGE_RESOURCE, terms


#: What an approver reads about a resource, and what says which content it is.
_IDENTIFYING = frozenset({"name", "locator", "external_id"})


def weakens(changed: Collection[str], *, is_covered: bool) -> bool:
    """Return whether a change of these fields of a resource that exists can reduce its tenant's protection.

    A new name can hide which content somebody asks for. This also applies to a resource that no access request has
    named: one could name it the next minute. The first external id counts too, because applications ask with it.

    The customer is not asked about accesses to a resource of a service that is not covered. So switching one on counts.
    Switching off is done before this rule is asked.
    """
    return not _IDENTIFYING.isdisjoint(changed) or ("is_active" in changed and not is_covered)


def pending(at: datetime, *changes: Change) -> list[tuple[str, Terms]]:
    """Return all changes of these kinds that wait, proposed alone or by an import: the name and the terms of each."""
    names = [change.name for change in changes]
    alone = Proposal.objects.of_staff().pending(at).filter(act__in=names).values_list("act", "said")
    return [*alone, *HeldRow.objects.open(at).filter(act__in=names).values_list("act", "terms")]


def loses_lockbox(act: str, terms: Terms) -> bool:
    """Return whether this is a change that removes Lockbox from a plan.

    A tenant that gets such a plan while the change waits did not get the announcement.
    """
    return act == CHANGE_PLAN.name and terms["set"].get("includes_lockbox") is False
