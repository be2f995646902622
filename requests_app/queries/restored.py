"""Reads what was restored from a backup, what people must confirm before a window can open, and who has confirmed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, UUIDField

from audit_app import canonical
from requests_app.domain import limits
from requests_app.domain.actors import Role
from requests_app.domain.levels import Level
from requests_app.models import (
    Client,
    GateProxy,
    GroupRole,
    Membership,
    Mute,
    Person,
    QueueAssignment,
    Restoration,
    RestoredConfirmation,
    RestoredTenant,
    Service,
    SignOn,
    StaffTerm,
    Tenant,
    Webhook,
)
from requests_app.platform.database.compiled import CompiledIn, CompiledQuery
from requests_app.queries import tenant as tenants

#: The roles in a tenant whose holders can confirm. An absent approver's deputy can't.
CONFIRMING = ("administrator", "approver")
NEEDED = 2
#: Who reads what was restored at a tenant. Its members only read that it was.
READERS = frozenset({Role.ADMINISTRATOR, Role.APPROVER, Role.AUDITOR, Role.STAFF})
Facts = dict[str, Any]


@dataclass(frozen=True)
class Waiting:
    """What keeps windows closed at a tenant since a restore: its own people's confirmations, or those of staff."""

    restoration: Restoration
    tenant: bool
    staff: bool


def waiting(tenant_id: UUID) -> Waiting | None:
    """Return what keeps windows of this tenant closed, or None."""
    of_tenant = RestoredTenant.objects.filter(of=OuterRef("pk"), tenant=tenant_id, confirmed_at=None)
    found = Restoration.objects.annotate(is_open_at_tenant=Exists(of_tenant)).order_by("-restored_at")
    rows = list(found.filter(Q(is_open_at_tenant=True) | Q(confirmed_at=None)))
    at_tenant = [row for row in rows if row.is_open_at_tenant]
    at_provider = [row for row in rows if row.confirmed_at is None]
    if not rows:
        return None
    return Waiting((at_tenant or at_provider)[0], bool(at_tenant), bool(at_provider))


def open_at(tenant_id: UUID) -> RestoredTenant | None:
    """Return the newest restoration that the tenant has not confirmed, or None."""
    rows = RestoredTenant.objects.filter(tenant=tenant_id, confirmed_at=None).select_related("of", "tenant")
    return rows.order_by("-of__restored_at").first()


def open_at_provider() -> Restoration | None:
    """Return the newest restoration after which staff have not confirmed the provider's people, or None."""
    found: list[Restoration] = _OPEN()
    return found[0] if found else None


_OPEN = CompiledQuery(lambda: Restoration.objects.filter(confirmed_at=None).order_by("-restored_at")[:1])


#: What somebody must still confirm: staff, and the people of any tenant.
UNCONFIRMED = (
    CompiledQuery(lambda: Restoration.objects.filter(confirmed_at=None).order_by().values_list("pk")),
    CompiledQuery(lambda: RestoredTenant.objects.filter(confirmed_at=None).order_by().values_list("pk")),
)


def newest() -> Restoration | None:
    return Restoration.objects.order_by("-restored_at").first()


def is_set_back() -> bool:
    """Return whether the database was set back without the program, and no operator has said so yet."""
    found = newest()
    return found is not None and found.pk == Restoration.SET_BACK


@dataclass(frozen=True)
class Unconfirmed:
    """What all restorations mean together that a tenant, or the provider without one, has not confirmed.

    A backup can be made of a restored database before anybody has confirmed it, and be restored, too. The second
    restore must not ask for fewer people than the first, count people who came between the two, or name a later backup.
    """

    taken_at: datetime
    restored_at: datetime
    people_needed: int


def unconfirmed(tenant_id: UUID | None) -> Unconfirmed | None:
    """Return the earliest times, and the largest number of people, of the restorations that are not confirmed."""
    if tenant_id is None:
        of_provider = Restoration.objects.filter(confirmed_at=None)
        found = list(of_provider.values_list("taken_at", "restored_at", "people_needed"))
    else:
        of_tenant = RestoredTenant.objects.filter(tenant=tenant_id, confirmed_at=None)
        found = list(of_tenant.values_list("of__taken_at", "of__restored_at", "people_needed"))
    if not found:
        return None
    taken, restored, needed = zip(*found, strict=True)
    return Unconfirmed(min(taken), min(restored), max(needed))


def people_needed(tenant_id: UUID | None) -> int:
    """Return how many humans must confirm a restore of now: at a tenant, or of the staff without one."""
    humans = staff_humans() if tenant_id is None else humans_of(tenant_id)
    needed, earlier = min(NEEDED, len(humans)), unconfirmed(tenant_id)
    return needed if earlier is None else max(needed, earlier.people_needed)


def is_client_waiting(client: Client) -> bool:
    """Return whether nobody can use the secret of a client, because people have not confirmed the restored clients."""
    if client.tenant_id is None:
        return Restoration.objects.filter(confirmed_at=None).exists()
    return bool(RestoredTenant.objects.filter(tenant=client.tenant_id, confirmed_at=None).exists())


def waiting_tenants(tenant_ids: list[UUID]) -> list[RestoredTenant]:
    """Return those of these tenants that have not confirmed a restoration."""
    return _WAITING_TENANTS(tenant_ids)


def _waiting(tenants: list[Any]) -> QuerySet[RestoredTenant]:
    rows = RestoredTenant.objects.filter(tenant__id__in=tenants, confirmed_at=None).select_related("of", "tenant")
    return rows.order_by("tenant__name")


_WAITING_TENANTS = CompiledIn(_waiting, UUIDField())


def unconfirmed_tenants() -> QuerySet[Tenant]:
    """Return the tenants that have not confirmed what was restored from a backup."""
    return Tenant.objects.filter(pk__in=RestoredTenant.objects.filter(confirmed_at=None).values("tenant"))


def count_unconfirmed() -> int:
    """Return how many tenants have not confirmed what was restored from a backup."""
    return unconfirmed_tenants().count()


def facts_of_tenant(tenant: Tenant, at: datetime) -> Facts:
    """Return what a tenant's people confirm: everything that decides how a window can open at the tenant."""
    sign_on = SignOn.objects.filter(tenant=tenant).first()
    return {
        "lockbox_on": tenant.lockbox_on,
        # For these, the provider's approval alone opens a window, even where Lockbox is on.
        "not_covered": _not_covered(),
        "two_person_control": tenant.needs_two,
        "yes_rule": str(tenant.yes_rule),
        "approval_page": tenant.approval_origin,
        "own_keys_only": tenant.own_keys_only,
        "longest_window": tenant.window_cap,
        "cosigned_within": tenant.cosigned_within or 0,
        "levels": [str(level) for level in Level if tenant.allows(level)],
        "people": _people(tenant),
        "deputies": [
            {
                "approver": row.approver.name,
                "deputy": row.deputy.name,
                "from": canonical.instant(row.from_at),
                "until": canonical.instant(row.until_at),
            }
            for row in tenants.absences(tenant, at=at)
        ],
        "mutes": [
            {"name": row.engineer.name if row.engineer else "", "until": canonical.instant(row.until_at)}
            for row in Mute.objects.filter(tenant=tenant).live(at).select_related("engineer").order_by("until_at", "pk")
        ],
        "passkeys": [
            {"person": row.person.name, "name": row.name, "site": row.rp_id}
            for row in tenant.passkeys.live().select_related("person").order_by("created_at", "pk")
        ],
        "clients": _clients(tenant.pk),
        "webhooks": list(
            Webhook.objects.receivers().filter(tenant=tenant).order_by("created_at", "pk").values_list("url", flat=True)
        ),
        "addresses": list(tenant.notification_addresses.order_by("email").values_list("email", flat=True)),
        "sign_on": _sign_on(sign_on) if sign_on else {},
    }


def _not_covered() -> list[str]:
    rows = Service.objects.filter(is_active=True, is_covered=False).order_by("name", "pk")
    return list(rows.values_list("name", flat=True))


def facts_of_provider() -> Facts:
    """Return what staff confirm: the provider's people and machines that take part in opening a window."""
    staff = _staff().order_by("email")
    roles = QueueAssignment.objects.filter(person__is_active=True)
    # There can be thousands of them.
    columns = "person__name", "person__email", "role", "service__name"
    return {
        "staff": [{"name": one.name, "email": one.email, "superuser": one.is_superuser} for one in staff],
        "roles": [
            dict(zip(("name", "email", "role", "service"), row, strict=True))
            for row in roles.order_by("service__name", "role", "person__email", "pk").values_list(*columns)
        ],
        "not_covered": _not_covered(),
        "clients": _clients(None),
        "groups": [
            {"group": row.group.name, "role": str(row.role), "service": row.service.name}
            for row in GroupRole.objects.select_related("group", "service").order_by("group__name", "pk")
        ],
        "proxies": [
            {"name": row.name, "service": row.service.name, "secret": row.fingerprint}
            for row in GateProxy.objects.trusted().select_related("service").order_by("service__name", "name", "pk")
        ],
    }


def digest(facts: Facts) -> str:
    """Return the hash of what a person confirms, in hexadecimal digits."""
    return canonical.digest(facts).hex()


def confirmations(of: Restoration, tenant_id: UUID | None, shown: str) -> list[RestoredConfirmation]:
    """Return the confirmations that count for what is shown now, one for each human, the earliest first."""
    rows = RestoredConfirmation.objects.filter(of=of, tenant=tenant_id, digest=shown).order_by("at")
    return list({row.human_id: row for row in rows}.values())


def humans_of(tenant_id: UUID, *, before: datetime | None = None) -> set[UUID]:
    """Return the humans who can confirm at a tenant. With `before`, only those who had their role before that time."""
    rows = Membership.objects.filter(tenant=tenant_id, role__in=CONFIRMING)
    rows = rows.filter(person__is_active=True, person__kind=Person.Kind.HUMAN)
    if before is not None:
        rows = rows.filter(given_at__lte=before)
    return set(rows.values_list("person__human_id", flat=True))


def staff_humans(*, before: datetime | None = None) -> set[UUID]:
    """Return the humans on the staff. With `before`, only those who were on the staff before that time."""
    rows = _staff()
    if before is not None:
        rows = rows.filter(Exists(StaffTerm.objects.filter(person=OuterRef("pk"), until_at=None, from_at__lte=before)))
    return set(rows.values_list("human_id", flat=True))


def recent_staff_humans(at: datetime) -> set[UUID]:
    """Return the humans on the staff, and those who were on it during the last waiting time.

    So nobody can switch the others off and then confirm alone.
    """
    terms = StaffTerm.objects.since(at - limits.staff_change_wait()).values_list("human_id", flat=True)
    return staff_humans() | set(terms)


def still_needed(needed: int, humans: set[UUID], restored_at: datetime, at: datetime) -> int:
    """Return how many humans must confirm. `humans` are those who can confirm now.

    At first, that is the number that the restore has stored. So nobody who was restored can take the others' roles
    away and then confirm alone. After the waiting time, the people who are there now count.
    """
    if at >= restored_at + limits.staff_change_wait():
        needed = min(NEEDED, len(humans))
    return max(1, needed)


def _staff() -> QuerySet[Person]:
    return Person.objects.get_queryset().active().humans().filter(is_staff=True)


def _sign_on(row: SignOn) -> Facts:
    """Return how people sign in elsewhere. The keys of the identity provider are in the digest of its metadata."""
    return {
        "issuer": row.identity_issuer,
        "protocol": str(row.protocol),
        "on": row.is_on,
        "only": row.is_only,
        "counts_as_proof": row.is_proof,
        "metadata_address": row.metadata_url,
        "claims": [row.email_claim, row.key_claim, row.groups_claim],
        "newcomers": str(row.newcomer_role),
        "metadata": digest(
            {
                "metadata": json.dumps(_lasting(row.identity_provider), sort_keys=True),
                **({"signer": row.metadata_signer} if row.metadata_signer else {}),
            }
        ),
        "roles": sorted(f"{group}: {role}" for group, role in row.role_map.items()),
    }


def _lasting(metadata: Facts | None) -> Facts | None:
    """Return metadata without its end, which can be another one at each reading: two people must confirm the same."""
    if metadata is None:
        return None
    return {name: value for name, value in metadata.items() if name != "cache_seconds"} | {"valid_until": None}


def _people(tenant: Tenant) -> list[Facts]:
    found: dict[UUID, Facts] = {}
    rows = tenant.memberships.order_by("person__email", "person", "role")
    for person, name, email, is_on, role in rows.values_list(
        "person", "person__name", "person__email", "person__is_active", "role"
    ):
        found.setdefault(person, {"name": name, "email": email, "is_on": is_on, "roles": []})["roles"].append(role)
    return list(found.values())


def _clients(tenant_id: UUID | None) -> list[Facts]:
    rows = Client.objects.live().filter(tenant=tenant_id).select_related("account", "decides_for", "service")
    return [
        {
            "name": row.account.name,
            "scopes": sorted(row.scopes),
            "decides_for": row.decides_for.name if row.decides_for else "",
            "service": row.service.name if row.service else "",
        }
        for row in rows.order_by("created_at", "pk")
    ]
