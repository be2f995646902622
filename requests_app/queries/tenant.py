"""Reads a tenant for its own people: Lockbox, the people and their roles, invitations and notification addresses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from django.db.models import Count, DateTimeField, Exists, F, OuterRef, Prefetch, Q, QuerySet, UUIDField

from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.errors import NotFound
from requests_app.domain.states import State
from requests_app.models import (
    AccessRequest,
    Invitation,
    Membership,
    Mute,
    NotificationAddress,
    OutOfOffice,
    Person,
    Proposal,
    RecoveryKey,
    Resource,
    Service,
    Tenant,
)
from requests_app.platform.database.compiled import CompiledQuery, together

#: What is shown with an announced change.
_SHOWN_WITH = ("proposed_by", "confirmed_by", "proposed_through")
#: The most people that a page shows. The search finds the others.
SHOWN = 100
#: The most engineers that a form offers, and how many of the latest access requests are read to find them. A search
#: finds the others.
CHOICES, _LATEST = 25, 500
#: The roles that must always have at least one holder.
GUARDED = (Role.APPROVER, Role.ADMINISTRATOR)


@dataclass(frozen=True)
class UnderWay:
    """How many access requests wait, and how many windows are open, when Lockbox is switched on or off.

    `bound_for_customer` counts those access requests in `with_provider` that will also need the customer's approval.
    """

    with_provider: int
    bound_for_customer: int
    with_customer: int
    open: int


@dataclass(frozen=True)
class People:
    rows: list[Person]
    has_more: bool


def tenants(actor: Actor) -> QuerySet[Tenant]:
    """Return the tenants whose names this actor may see: their own tenants, or all tenants for staff and engineers.

    An engineer may choose from all tenants, because any customer can call.
    """
    rows = cast(QuerySet[Tenant], Tenant.objects.visible_to(actor))
    if actor.side is Side.PROVIDER and not actor.is_staff and Role.ENGINEER not in actor.roles:
        return rows.none()
    return rows


def tenant(tenant_id: object, *, actor: Actor) -> Tenant:
    """Return the tenant for its own people and for staff. Raise NotFound for everybody else.

    That includes engineers. When a customer calls, an engineer can choose any tenant. But an engineer may not see a
    tenant's settings or its log.
    """
    if actor.side is Side.PROVIDER and not actor.is_staff:
        raise NotFound
    return cast(Tenant, Tenant.objects.visible_to(actor).select_related("plan").find(tenant_id))


def administered(tenant_id: object, *, actor: Actor) -> Tenant:
    """Return the tenant, if the actor is its administrator. Raise NotAllowed for the tenant's other people."""
    row = tenant(tenant_id, actor=actor)
    policy.require_role(actor, frozenset({Role.ADMINISTRATOR}), tenant_id=row.pk)
    return row


def services(actor: Actor) -> list[Service]:
    return list(service_rows(actor).order_by("name"))


def service_rows(actor: Actor) -> QuerySet[Service]:
    return cast(QuerySet[Service], Service.objects.visible_to(actor))


def service(service_id: object, *, actor: Actor) -> Service:
    return cast(Service, Service.objects.visible_to(actor).find(service_id))


def resources(tenant_id: object, *, actor: Actor) -> QuerySet[Resource]:
    """Return the tenant's resources that the actor may see, including those that are no longer in use.

    An engineer sees the resources in their queues. Raise NotFound if a person of the provider sees none, so that this
    person can't learn whether the tenant exists.
    """
    row = Tenant.objects.visible_to(actor).find(tenant_id)
    rows = Resource.objects.visible_to(actor).filter(tenant=row).select_related("service")
    if actor.side is Side.PROVIDER and not actor.is_staff and not rows.exists():
        raise NotFound
    return cast(QuerySet[Resource], rows)


def resource(tenant_id: object, resource_id: object, *, actor: Actor) -> Resource:
    rows = Resource.objects.visible_to(actor).filter(tenant=tenant_id).select_related("service")
    return cast(Resource, rows.find(resource_id))


def under_way(tenant: Tenant, *, at: datetime) -> UnderWay:
    """Count, in one query, the access requests that wait and the windows that are open. Practice is left out.

    Access requests and windows after their deadline do not count, even if no sweep has ended them yet.
    """
    waiting = Q(decide_by__gt=at)
    provider = Q(state=State.PENDING_PROVIDER) & waiting
    rows = AccessRequest.objects.real().filter(
        tenant=tenant, state__in=[State.PENDING_PROVIDER, State.PENDING_CUSTOMER, State.OPEN]
    )
    found = rows.aggregate(
        with_provider=Count("pk", filter=provider),
        bound_for_customer=Count("pk", filter=provider & Q(needs_customer_approval=True)),
        with_customer=Count("pk", filter=Q(state=State.PENDING_CUSTOMER) & waiting),
        open=Count("pk", filter=Q(state=State.OPEN, grant__closes_at__gt=at)),
    )
    return UnderWay(**found)


def approvers(tenant: Tenant) -> QuerySet[Person]:
    """Return the people who can decide on the tenant's access requests now."""
    return Person.objects.get_queryset().deciding_for(tenant.pk, clock.now()).order_by("name")


# --- People --------------------------------------------------------------------------------------------------


def people(tenant: Tenant, *, words: str = "", limit: int = SHOWN) -> People:
    """Return the people who have a role in this tenant, by name, each with `shown_memberships`.

    People whose accounts are switched off are included.
    """
    rows = named(members(tenant), words) if words else members(tenant)
    found = list(rows.order_by("name", "pk")[: limit + 1])
    return People(found[:limit], len(found) > limit)


def named(rows: QuerySet[Person], words: str) -> QuerySet[Person]:
    """Filter people by a part of their name or of their address."""
    return rows.filter(Q(name__icontains=words) | Q(email__icontains=words))


def in_role(rows: QuerySet[Person], tenant_id: UUID, role: str) -> QuerySet[Person]:
    return rows.filter(Exists(Membership.objects.filter(tenant=tenant_id, role=role, person=OuterRef("pk"))))


def person(tenant: Tenant, person_id: UUID) -> Person:
    """Return one of the tenant's people. Raise NotFound for anybody who has no role in the tenant."""
    found = members(tenant).filter(pk=person_id).first()
    if found is None:
        raise NotFound
    return found


def last_in(tenant: Tenant) -> dict[str, UUID]:
    """Return those GUARDED roles that only one active person holds, each with the id of that person."""
    memberships = tenant.memberships.filter(role__in=GUARDED, person__is_active=True).values_list("role", "person_id")
    holders: dict[str, list[UUID]] = {}
    for role, person_id in memberships:
        holders.setdefault(role, []).append(person_id)
    return {role: people[0] for role, people in holders.items() if len(people) == 1}


def members(tenant: Tenant) -> QuerySet[Person]:
    """Return a queryset of the people who have a role in this tenant, each with `shown_memberships`.

    People whose accounts are switched off are included.
    """
    memberships = Membership.objects.filter(tenant=tenant).order_by("given_at", "role")
    rows = Person.objects.get_queryset().filter(memberships__tenant=tenant).distinct()
    return rows.prefetch_related(Prefetch("memberships", queryset=memberships, to_attr="shown_memberships"))


def absences(tenant: Tenant, *, at: datetime) -> QuerySet[OutOfOffice]:
    """Return the absences of approvers that are current or planned, the earliest first."""
    rows = tenant.absences.to_come_or_live(at).select_related("approver", "deputy").order_by("from_at")
    return cast(QuerySet[OutOfOffice], rows)


def absence(tenant: Tenant, absence_id: object) -> OutOfOffice:
    return cast(OutOfOffice, OutOfOffice.objects.filter(tenant=tenant).find(absence_id))


def mutes(tenant: Tenant, *, at: datetime) -> QuerySet[Mute]:
    """Return the tenant's mutes that apply now. The next one to end comes first."""
    return cast(QuerySet[Mute], Mute.objects.filter(tenant=tenant).live(at).select_related("engineer", "set_by"))


def mute(tenant: Tenant, mute_id: object) -> Mute:
    return cast(Mute, Mute.objects.filter(tenant=tenant).find(mute_id))


class Askers(NamedTuple):
    """Engineers to choose from. `has_more` says whether there may be others, whom a search by name finds."""

    people: list[Person]
    has_more: bool


def askers(tenant: Tenant, *, at: datetime, find: str = "", chosen: UUID | None = None) -> Askers:
    """Return engineers who submitted access requests to this tenant during the last week.

    These are those who wait for the customer and the latest ones, with the one who is `chosen`. With `find`, it is
    those with this text in their name, or with this address. `waiting` on each person is the number of their access
    requests that wait for the customer. The person with the most comes first.
    """
    rows = AccessRequest.objects.filter(tenant=tenant)
    week = rows.filter(submitted_at__gt=at - timedelta(days=7))
    waits = rows.real().filter(state=State.PENDING_CUSTOMER, decide_by__gt=at).order_by()
    counted = waits.values_list("requester_human", "requested_by").annotate(n=Count("pk")).order_by("-n")
    waiting: Counter[UUID] = Counter()
    for human, _engineer, n in counted:
        waiting[human] += n
    if find:
        people = Person.objects.get_queryset().filter(Q(name__icontains=find) | Q(email=find.lower()))
        found = people.filter(Exists(week.filter(requested_by=OuterRef("pk")))).order_by("name")
        shown, has_more = list(found[:CHOICES]), found[CHOICES : CHOICES + 1].exists()
    else:
        latest = list(week.order_by("-submitted_at").values_list("requested_by", flat=True)[:_LATEST])
        first = [chosen] if chosen and week.filter(requested_by=chosen).exists() else []
        keys = list(dict.fromkeys([*first, *(engineer for _human, engineer, _n in counted), *latest]))
        shown = list(Person.objects.get_queryset().filter(pk__in=keys[:CHOICES]).order_by("name"))
        has_more = len(keys) > CHOICES or len(latest) == _LATEST
    for person in shown:
        person.waiting = waiting[person.human_id]  # type: ignore[attr-defined]  # for the form
    return Askers(sorted(shown, key=lambda person: -person.waiting), has_more)  # type: ignore[attr-defined]  # as above


def deputies(tenant: Tenant, *, actor: Actor) -> QuerySet[Person]:
    """Return the people whom this approver may choose as a deputy.

    They are other humans who are approvers or deputies of the tenant.
    """
    is_deputy = {"memberships__tenant": tenant, "memberships__role__in": [Role.APPROVER, Role.DEPUTY]}
    people = Person.objects.active().humans().filter(**is_deputy).exclude(human_id=actor.human)
    return people.distinct().order_by("name")


def proposals(tenant: Tenant, *, at: datetime) -> QuerySet[Proposal]:
    """Return the proposals that wait for a second person, the next to expire first."""
    return cast(QuerySet[Proposal], tenant.proposals.pending(at).select_related("proposed_by").order_by("expires_at"))


def proposal(tenant: Tenant, proposal_id: object) -> Proposal:
    return cast(Proposal, Proposal.objects.filter(tenant=tenant).find(proposal_id))


def has_announced(tenant_ids: Iterable[UUID], *, at: datetime) -> bool:
    """Return whether `announced` has any changes. Every home page asks, and hardly ever is there one."""
    return any(together([(_ANNOUNCED, {"tenant": tenant, "at": at}) for tenant in tenant_ids]))


_ANNOUNCED = CompiledQuery(
    lambda tenant, at: Proposal.objects.of_staff().pending(at).filter(touched__id=tenant).values_list("pk")[:1],
    tenant=UUIDField(),
    at=DateTimeField(),
)


def announced(tenant_ids: Iterable[UUID]) -> QuerySet[Proposal]:
    """Return the announced changes by staff that concern these tenants and may still take effect.

    The change that takes effect next comes first. Changes that nobody has confirmed come last.
    """
    rows = Proposal.objects.announced_to(tenant_ids).pending(clock.now())
    soonest = F("effective_at").asc(nulls_last=True)
    return cast(QuerySet[Proposal], rows.select_related(*_SHOWN_WITH).order_by(soonest, "expires_at"))


# --- Invitations ---------------------------------------------------------------------------------------------


def invitations(tenant: Tenant, *, actor: Actor) -> QuerySet[Invitation]:
    """Return the invitations that are neither accepted nor withdrawn, newest first, if the actor may invite people.

    Approvers see only the invitations that were made with the recovery key, because they may stop these. For everybody
    else the list is empty: other people must not see whom a tenant wants to invite.
    """
    roles = actor.roles_on(tenant_id=tenant.pk, service_id=None)
    rows = tenant.invitations.unanswered().select_related("invited_by", "invited_through").order_by("-created_at")
    if roles & {Role.ADMINISTRATOR, Role.STAFF}:
        return cast(QuerySet[Invitation], rows)
    return cast(QuerySet[Invitation], rows.filter(invited_by=None) if Role.APPROVER in roles else rows.none())


def invitation(tenant: Tenant, invitation_id: object) -> Invitation:
    return cast(Invitation, Invitation.objects.filter(tenant=tenant).find(invitation_id))


def recovery_key(tenant: Tenant) -> RecoveryKey | None:
    """Return the row of the current recovery key.

    The row says who made the key, and when. It does not contain the key.
    """
    return cast("RecoveryKey | None", tenant.recovery_keys.live().select_related("made_by").first())


# --- Addresses -----------------------------------------------------------------------------------------------


def addresses(tenant: Tenant) -> QuerySet[NotificationAddress]:
    return tenant.notification_addresses.order_by("email")


def address(tenant: Tenant, address_id: object) -> NotificationAddress:
    """Return one address of this tenant.

    Raise NotFound for an address of another tenant, even if the actor manages both.
    """
    return cast(NotificationAddress, NotificationAddress.objects.filter(tenant=tenant).find(address_id))
