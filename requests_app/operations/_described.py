"""Describes what the provider has set up, for the log of a tenant that switches Lockbox on for the first time.

Until then, one member of staff alone can set up everything that this tenant depends on. So the tenant's log begins with
a description of it, in which the customer can read whom and what it starts with.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F

from audit_app import canonical
from requests_app.domain import clock
from requests_app.domain.actors import Side
from requests_app.models import (
    Client,
    GroupRole,
    Invitation,
    Person,
    QueueAssignment,
    Resource,
    Service,
    StaffTerm,
    Tenant,
    Token,
)
from requests_app.models.row_security import own_account
from requests_app.queries import callers, invitations

#: The most rows of one kind that the description lists. The digest covers all of them.
MOST_LISTED = invitations.MOST_NAMED
#: What only some services have.
_IF_ANY = ("levels", "gate_rules", "gate_identity", "gate_upstream")

Rows = list[dict[str, Any]]


def of_provider(tenant: Tenant) -> dict[str, Any]:
    """Return the fields of the entry: the plan, and what the provider and the tenant have set up.

    Each list has the number of its rows and their digest, so that the provider can show later what a shortened list
    left out.
    """
    invited = invitations.expected_of_provider(tenant, at=clock.now())
    # The provider's own rows belong to no tenant, and PostgreSQL hides some of them from a customer's connection.
    with own_account():
        found = {
            "staff": _staff(),
            "people": _people(),
            "invited": [_invited(each) for each in invited],
            "groups": _groups(),
            "clients": _clients(),
            "services": _services(),
            "resources": _resources(tenant),
        }
    lists = {name: _listed(rows) for name, rows in found.items()}
    return {"plan": tenant.plan.name, **lists}


def name_invitations(tenant: Tenant, detail: dict[str, Any]) -> None:
    """Store that the tenant's log names these invitations. So their roles need no announcement to this tenant."""
    links = Invitation.named_to.through
    listed = detail["invited"]["listed"]
    links.objects.bulk_create([links(invitation_id=each["id"], tenant_id=tenant.pk) for each in listed])


def _invited(row: invitations.Expected) -> dict[str, Any]:
    shown = {"id": str(row.id), "email": row.email, "role": row.role, "queues": ", ".join(row.queues)}
    return {**shown, "invited_by": row.invited_by, "since": _since(row.since), "until": _since(row.until)}


def _listed(rows: Rows) -> dict[str, Any]:
    return {"count": len(rows), "digest": canonical.digest({"rows": rows}).hex(), "listed": rows[:MOST_LISTED]}


def _since(at: datetime | None) -> str | None:
    return canonical.instant(at) if at is not None else None


def _copied() -> dict[UUID, dict[str, str]]:
    """Return who copied the link with which each of the provider's people accepted, for those who had a copied link.

    Somebody else may have accepted in that person's name.
    """
    rows = Invitation.objects.filter(tenant=None, accepted_by__isnull=False, link_copied_by__isnull=False)
    rows = rows.filter(link_copied_send=F("sends"))
    return {pk: {"link_copied_by": name} for pk, name in rows.values_list("accepted_by_id", "link_copied_by__name")}


def _staff() -> Rows:
    terms = dict(StaffTerm.objects.filter(until_at=None).values_list("person_id", "from_at"))
    people = Person.objects.active().humans().filter(is_staff=True).order_by("name", "pk")
    copied = _copied()
    return [
        {"id": str(each.pk), "name": each.name, "since": _since(terms.get(each.pk)), **copied.get(each.pk, {})}
        for each in people
    ]


def _people() -> Rows:
    """Return the roles in queues, and only those of accounts that are switched on."""
    roles = QueueAssignment.objects.filter(person__is_active=True, person__side=Side.PROVIDER)
    columns = ("person_id", "person__name", "role", "service__key", "given_at")
    rows: Iterable[Any] = roles.order_by("service__key", "role", "person__name", "pk").values_list(*columns)
    copied = _copied()
    return [
        {"id": str(pk), "name": name, "role": role, "service": service, "since": _since(given_at), **copied.get(pk, {})}
        for pk, name, role, service, given_at in rows
    ]


def _clients() -> Rows:
    """Return the clients. One that sets up customers or manages people counts as everybody who could use it."""
    clients = Client.objects.live().filter(tenant=None).select_related("account", "service", "created_by", "secret_by")
    rows: Rows = []
    for each in clients.order_by("created_at", "pk"):
        row: dict[str, Any] = {"id": str(each.pk), "name": each.account.name, "scopes": list(each.scopes)}
        row["since"] = _since(each.created_at)
        if each.service is not None:
            row["guards"] = each.service.key
        if not callers.PROVISIONING.isdisjoint(each.scopes):
            row |= {"made_by": each.created_by.name, "holder": each.holder.name if each.holder else None}
            row["token_readers"] = _readers(each)
        rows.append(row)
    return rows


def _readers(client: Client) -> list[str | None]:
    """Return who saw the long-lived tokens of this client that are still valid. None means somebody unknown."""
    live = Token.objects.filter(account=client.account_id).lasting().live(clock.now())
    names = set(live.values_list("made_by__name", flat=True))
    return sorted(names, key=lambda name: (name is None, name or ""))


def _groups() -> Rows:
    """Return which groups of the provider's directory give their members a role, without a further person."""
    columns = ("pk", "group__name", "role", "service__key", "made_at")
    rows = GroupRole.objects.order_by("service__key", "role", "group__name", "pk").values_list(*columns)
    return [
        {"id": str(pk), "group": group, "role": role, "service": service, "since": _since(made_at)}
        for pk, group, role, service, made_at in rows
    ]


def _services() -> Rows:
    columns = ("key", "name", "connector", "application", "is_covered", "is_active")
    rows = Service.objects.order_by("key").values(*columns, *_IF_ANY)
    # A service with the usual levels has no "levels", and a service without a gate has neither of the other two.
    return [{name: value for name, value in row.items() if value or name not in _IF_ANY} for row in rows]


def _resources(tenant: Tenant) -> Rows:
    columns = ("service__key", "kind", "name", "locator", "external_id", "is_active")
    rows = Resource.objects.filter(tenant=tenant).order_by("service__key", "name", "pk").values_list("pk", *columns)
    names = ("service", "kind", "name", "locator", "external_id", "is_active")
    return [{"id": str(pk), **dict(zip(names, values, strict=True))} for pk, *values in rows]
