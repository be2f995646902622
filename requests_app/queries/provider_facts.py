"""Reads the facts that show how far the provider's set-up is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, DateTimeField, Exists, OuterRef, Q, QuerySet, When

from audit_app.models import LogKey
from requests_app.domain.actors import Role
from requests_app.models import (
    Installation,
    Invitation,
    Membership,
    Plan,
    Resource,
    Service,
    StaffTerm,
    Tenant,
)
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.queries import answered, applications, mail, practice
from requests_app.queries.invitations import overtaken, prepared_addresses

#: How many names a sentence has, and how many rows are read to find them.
SHOWN, READ = 5, 500


@dataclass(frozen=True)
class Queue:
    """A service, and how many humans have each role in its queue, and any role there.

    `is_reached` says whether a test has reached one of its resources. Nothing can test an external service from here.
    """

    pk: UUID
    key: str
    name: str
    connector: str
    has_resource: bool
    is_reached: bool
    engineers: int
    approvers: int
    humans: int
    is_external: bool

    @property
    def is_staffed(self) -> bool:
        """Whether somebody can ask, and another human can confirm."""
        return bool(self.engineers and self.approvers) and self.humans > 1


@dataclass(frozen=True)
class FirstTenant:
    """`is_only` says whether there is no other tenant. `can_switch_on` says whether Lockbox is off and can be on."""

    pk: UUID
    name: str
    slug: str
    is_only: bool
    can_switch_on: bool
    administrator: str
    invited: str
    invited_at: datetime | None


@dataclass(frozen=True)
class Invited:
    """An open invitation to one of the provider's people.

    `is_overtaken` says whether its link ended because a customer switched Lockbox on.
    """

    email: str
    role: str
    at: datetime
    is_overtaken: bool


@dataclass(frozen=True)
class Coming:
    """A role that a person gets when its proposal takes effect. The person has accepted the invitation.

    Without `at`, a second member of the staff must confirm the proposal first.
    """

    name: str
    role: str
    at: datetime | None
    proposal: UUID


@dataclass(frozen=True)
class Practising:
    """A practice request that is under way. `names` has names of people who can act next."""

    tenant: str
    ticket_id: UUID
    turn: practice.Turn
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ProviderFacts:
    """`is_in_use` is true as soon as a tenant has switched Lockbox on.

    `asked` has the keys of the external services about which an application has asked. `example` is such a question.
    `client_scopes` is what the provider's clients can do. `signs` has the last sign of each service's guard or proxy,
    by the service's key.
    `reader` is the person who reads the facts. A command has none.
    """

    at: datetime
    reader: UUID | None
    installation: Installation
    key_used_at: datetime | None
    key_changed_at: datetime | None
    plans: list[str]
    has_lockbox_plan: bool
    staff: list[tuple[str, UUID, datetime]]
    invited: list[Invited]
    coming: list[Coming]
    # The people whose invitations a file has prepared, and nobody has sent yet.
    prepared: int
    queues: list[Queue]
    unreachable: list[Resource]
    asked: frozenset[str]
    signs: dict[str, applications.Sign]
    client_scopes: frozenset[str]
    example: applications.Example | None
    first_tenant: FirstTenant | None
    is_in_use: bool
    is_practised: bool
    practising: Practising | None
    failing: mail.Failing | None


def read(at: datetime, *, reader: UUID | None = None) -> ProviderFacts:
    used = [first_used_at for (first_used_at,) in _KEYS_USED()]
    queues = [Queue(*row) for row in _QUEUES()]
    external = any(queue.is_external for queue in queues)
    return ProviderFacts(
        at=at,
        reader=reader,
        installation=next(iter(_INSTALLATION()), None) or Installation(),
        key_used_at=used[0] if used else None,
        key_changed_at=used[-1] if len(used) > 1 else None,
        plans=[name for (name,) in _PLANS()],
        has_lockbox_plan=bool(_LOCKBOX_PLAN()),
        staff=_STAFF(),
        invited=[Invited(*row) for row in _INVITED(at=at)],
        coming=[Coming(*row) for row in _COMING(at=at)],
        prepared=len(prepared_addresses()),
        queues=queues,
        unreachable=_UNREACHABLE(),
        # Only external services have applications.
        asked=applications.asked_services() if external else frozenset(),
        signs=applications.signs() if external else {},
        client_scopes=applications.scopes_of_clients() if external else frozenset(),
        example=applications.example() if external else None,
        first_tenant=_tenant(at),
        is_in_use=bool(_EVER_ON()),
        is_practised=answered.is_any(),
        practising=_practising(at),
        failing=mail.failing(),
    )


def _staff() -> QuerySet[Any, Any]:
    """Return each member of staff with their human and the beginning of their term, the earliest first."""
    terms = StaffTerm.objects.filter(until_at=None, person__is_active=True, person__is_staff=True).order_by("from_at")
    return terms.values_list("person__name", "person__human_id", "from_at")[:READ]


def _invited(at: Any) -> QuerySet[Any, Any]:
    rows = Invitation.objects.open(at).filter(tenant=None, beside=None).order_by("created_at")
    rows = rows.annotate(is_overtaken=Exists(overtaken(at).filter(pk=OuterRef("pk"))))
    return rows.values_list("email", "role", "created_at", "is_overtaken")[:READ]


def _coming(at: Any) -> QuerySet[Any, Any]:
    is_possible = Q(proposal__effective_at__isnull=False) | Q(proposal__expires_at__gt=at)
    rows = Invitation.objects.filter(tenant=None, accepted_by__is_active=True, proposal__isnull=False)
    rows = rows.filter(is_possible, proposal__ended_at=None).order_by("accepted_at", "pk")
    return rows.values_list("accepted_by__name", "role", "proposal__effective_at", "proposal")[:READ]


def _queues() -> QuerySet[Any, Any]:
    resources = Resource.objects.real().filter(service=OuterRef("pk"), is_active=True)
    reached = resources.filter(checked_at__isnull=False, check_problem="")
    rows = Service.objects.filter(is_active=True)
    rows = rows.annotate(has_resource=Exists(resources), is_reached=Exists(reached))
    rows = rows.annotate(
        engineers=_humans(Role.ENGINEER),
        approvers=_humans(Role.PROVIDER_APPROVER),
        humans=_humans(Role.ENGINEER, Role.PROVIDER_APPROVER),
    )
    is_external = Case(When(connector=Service.EXTERNAL, then=True), default=False)
    rows = rows.annotate(is_elsewhere=is_external)
    names = ("is_elsewhere" if field.name == "is_external" else field.name for field in fields(Queue))
    return rows.order_by("name").values_list(*names)[:READ]


def _humans(*roles: Role) -> Count:
    """Return how many humans have one of these roles in the queue of a service. One human counts once."""
    held = Q(queue_assignments__role__in=roles, queue_assignments__person__is_active=True)
    return Count("queue_assignments__person__human_id", filter=held, distinct=True)


def _tenant(at: datetime) -> FirstTenant | None:
    """Return the tenant that is set up furthest: one with an administrator, else with an invited one, else any."""
    row, *others = [*_TENANTS(at=at)] or [None]
    if row is None:
        return None
    role = Membership.Role.ADMINISTRATOR
    holder = _held_of(row, role) if row.is_held else ""
    invitation = row.invitations.open(at).filter(role=role).first() if row.is_invited and not holder else None
    invited = (invitation.email, invitation.created_at) if invitation else ("", None)
    can_switch_on = row.plan.includes_lockbox and not row.lockbox_on
    return FirstTenant(row.pk, row.name, row.slug, not others, can_switch_on, holder, *invited)


def _tenants(at: Any) -> QuerySet[Any, Any]:
    role = Membership.Role.ADMINISTRATOR
    held = Membership.objects.filter(tenant=OuterRef("pk"), role=role, person__is_active=True)
    sent = Invitation.objects.open(at).filter(tenant=OuterRef("pk"), role=role)
    rows = Tenant.objects.filter(is_active=True).select_related("plan")
    rows = rows.annotate(is_held=Exists(held), is_invited=Exists(sent))
    return rows.order_by("-is_held", "-is_invited", "created_at")[:2]


def _practising(at: datetime) -> Practising | None:
    tenant = practice.newest_tenant()
    found = practice.state_of(tenant, at=at) if tenant else None
    if tenant is None or found is None or found.ticket_id is None or found.turn is None:
        return None
    return Practising(tenant.name, found.ticket_id, found.turn, found.waits_for)


# Staff see this checklist on their first pages, until it is complete.
_KEYS_USED = CompiledQuery(lambda: LogKey.objects.order_by("first_used_at").values_list("first_used_at"))
_INSTALLATION = CompiledQuery(lambda: Installation.objects.filter(pk=1))
_PLANS = CompiledQuery(lambda: Plan.objects.order_by("name").values_list("name")[:SHOWN])
_LOCKBOX_PLAN = CompiledQuery(lambda: Plan.objects.filter(includes_lockbox=True).order_by().values_list("pk")[:1])
_STAFF = CompiledQuery(_staff)
_INVITED = CompiledQuery(_invited, at=DateTimeField())
_COMING = CompiledQuery(_coming, at=DateTimeField())
_QUEUES = CompiledQuery(_queues)
_UNREACHABLE = CompiledQuery(
    lambda: Resource.objects.real().unreachable().select_related("service").order_by("check_failing_since")[:SHOWN]
)
_TENANTS = CompiledQuery(_tenants, at=DateTimeField())
_EVER_ON = CompiledQuery(lambda: Tenant.objects.ever_on().order_by().values_list("pk")[:1])


def _held_of(tenant: Tenant, role: str) -> str:
    """Return the name of the person who has had this role in the tenant for longest."""
    rows = Membership.objects.filter(tenant=tenant, role=role, person__is_active=True).order_by("given_at")
    return rows.values_list("person__name", flat=True).first() or ""
