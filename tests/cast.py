"""The people of all tests, and the acts that bring an access request into a state.

Lockbox is on for Contoso and Fabrikam, and off for Northwind. People and tenants are written as rows. Access requests,
which have a life cycle, are made with the product's operations.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import sha256
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db.models import UUIDField
from django.db.models.base import ModelState

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.errors import ChangeProposed
from requests_app.models import (
    AccessRequest,
    GateProxy,
    Grant,
    Invitation,
    Membership,
    OutboxMessage,
    Person,
    Plan,
    Proposal,
    QueueAssignment,
    Resource,
    Service,
    StaffTerm,
    Tenant,
    Ticket,
)
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.queries import actor_of
from tests import factors
from tests.remembered import remembered

PASSWORD = "correct horse battery staple 9"
JUSTIFICATION = "The invoices of November are missing from the mailbox's index; nothing else shows why."
TRIED = "Rebuilt the index, read the service's own log, asked for a screenshot."

#: The values of an external service.
QUILLO: dict[str, Any] = {
    "connector": "external",
    "application": "Quillo",
    "link_template": "https://quillo.example/{tenant}/support/{external_id}?for={access_request}",
    "guidance": "Open Quillo, choose Support, and enter the id.",
}

#: What the external service says to customers about its level “act as”.
ACT_AS_WORDS = "work in Quillo as one of your users"

#: What makes Quillo a web tool behind a gate.
GATE_RULES = (
    "list GET /tenants/{resource}/\n"
    "view GET /tenants/{resource}/** query=secret\n"
    "act_as POST,DELETE /tenants/{resource}/** query=secret"
)

#: The secret of the web tool's proxy.
PROXY_SECRET = "0123456789abcdef" * 4

CUSTOMERS = {
    "contoso": {
        "mia": ["member"],
        "ada": ["member", "approver"],
        "alan": ["approver"],
        "otto": ["auditor"],
        "ines": ["administrator"],
    },
    "fabrikam": {"fred": ["member"], "frida": ["approver"], "fatima": ["auditor"], "finn": ["administrator"]},
    "northwind": {"nora": ["member"], "nils": ["approver"], "nadia": ["auditor"], "noah": ["administrator"]},
}
QUEUES = {
    "priya": [("exchange-online", "engineer"), ("sharepoint-online", "engineer")],
    "erik": [("exchange-online", "engineer")],
    "samir": [("sharepoint-online", "engineer")],
    "pat": [("exchange-online", "provider_approver"), ("sharepoint-online", "provider_approver")],
    "paula": [("exchange-online", "provider_approver")],
    # She has both roles in one queue. Still she must never decide on an access request that she raised.
    "bea": [("exchange-online", "engineer"), ("exchange-online", "provider_approver")],
}


@dataclass
class Cast:
    """The people and tenants.

    `cast.priya` is a person, `cast.as_("priya")` the same person as an actor, `cast.contoso` a tenant.
    """

    people: dict[str, Person] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        for group in ("people", "tenants"):
            found = self.__dict__.get(group, {}).get(name)
            if found is not None:
                return found
        raise AttributeError(name)

    @cached_property
    def exchange(self) -> Service:
        return self.services["exchange-online"]

    @cached_property
    def sharepoint(self) -> Service:
        return self.services["sharepoint-online"]

    def resource(self, tenant: str = "contoso", name: str = "finance") -> Resource:
        return Resource.objects.get(tenant=self.tenants[tenant], name__startswith=name)

    def quillo(self) -> Service:
        """Return the external service, with Contoso’s resource (external id 7) and Fabrikam’s (f-7)."""
        return Service.objects.filter(key="quillo").first() or self._new_quillo()

    @remembered
    def _new_quillo(self) -> Service:
        service = operations.save_service(actor=self.as_("stella"), key="quillo", name="Quillo Cloud", **QUILLO)
        for tenant, external_id in (("contoso", "7"), ("fabrikam", "f-7")):
            operations.save_resource(
                actor=self.as_("stella"),
                tenant_id=self.tenants[tenant].pk,
                service_id=service.pk,
                kind="workspace",
                name=f"notes of {tenant}",
                external_id=external_id,
            )
        for name, role in (("priya", "engineer"), ("pat", "provider_approver")):
            QueueAssignment.objects.create(service=service, person=self.people[name], role=role, given_at=clock.now())
        return service

    def web_tool(self, **gate: Any) -> Service:
        """Return the external service as a web tool behind a gate. Call this before anybody asks for access to it."""
        service = self.quillo()
        return service if service.has_gate else self._new_gate(service, **{"gate_rules": GATE_RULES, **gate})

    @remembered
    def _new_gate(self, service: Service, **gate: Any) -> Service:
        self.agreed(lambda: operations.save_service(service_id=service.pk, actor=self.as_("stella"), **gate))
        return Service.objects.get(pk=service.pk)

    @remembered
    def proxy(self, secret: str = PROXY_SECRET) -> GateProxy:
        """Return a proxy of the web tool that has this secret."""
        service, found = self.web_tool(), sha256(secret.encode()).hexdigest()
        self.agreed(
            lambda: operations.add_proxy(service.pk, name="Frankfurt", secret_hash=found, actor=self.as_("stella"))
        )
        return GateProxy.objects.get(secret_hash=found)

    @remembered
    def in_quillo(self, **fields: Any) -> Grant:
        """Return an open window on Contoso's resource of the external service."""
        ticket = self.ticket(service_id=self.quillo().pk)
        return self.opened(ticket=ticket, **fields)

    @remembered
    def with_act_as(self, *, allowed: bool = True) -> Service:
        """Return the external service with the level “act as”, which Contoso’s administrator has allowed."""
        service = self.quillo()
        levels = f"names\nview\nread\nact_as | {ACT_AS_WORDS} | log in as the user"
        self.agreed(lambda: operations.save_service(actor=self.as_("stella"), service_id=service.pk, levels=levels))
        if allowed:
            operations.allow_level(self.contoso.pk, level="act_as", actor=self.as_("ines"))
        return Service.objects.get(pk=service.pk)

    # --- Acting ----------------------------------------------------------------------------------------

    def as_(self, name: str, *, door: str = "pages", fresh: bool = True) -> Actor:
        """Return the person as an actor who uses this interface. With `fresh`, they have just proved their identity."""
        person = Person.objects.get(pk=self.people[name].pk)
        return actor_of(person, door=door, stepped_up_at=clock.now() if fresh else None)

    @staticmethod
    def system(name: str = "test") -> Actor:
        return Actor.system(name)

    @remembered
    def ticket(self, tenant: str = "contoso", by: str = "mia", **fields: Any) -> Ticket:
        report = operations.Report(
            tenant_id=self.tenants[tenant].pk,
            service_id=fields.pop("service_id", self.exchange.pk),
            title=fields.pop("title", "Invoices are missing"),
            body=fields.pop("body", "Since Monday the search finds no invoice of November."),
            **fields,
        )
        return operations.open_ticket(report, actor=self.as_(by))

    def stranger(self, email: str = "x@contoso.example", *, side: str = "customer") -> Person:
        """Return a new account that belongs to no tenant yet."""
        return Person.objects.create_user(email, PASSWORD, name="Stranger", side=side)

    def invited(self, email: str = "grace@contoso.example", role: str = "member", *, by: str = "ines") -> Invitation:
        return operations.invite_person(self.contoso.pk, email=email, role=role, actor=self.as_(by))

    def invited_colleague(
        self, email: str = "new@provider.example", role: str = "engineer", *, by: str = "stella"
    ) -> Invitation:
        services = [] if role == "staff" else [self.exchange.pk]
        return operations.invite_colleague(email=email, role=role, services=services, actor=self.as_(by))

    def peaceful(self) -> None:
        """Make it so that no tenant has ever had Lockbox on. Then staff need no second person for their changes."""
        Tenant.objects.update(lockbox_on=False)

    @staticmethod
    def link_of(row: Invitation) -> str:
        """Return the secret in the newest link that was sent for this invitation."""
        row.refresh_from_db()
        return link_secrets.of(row.pk, row.sends)

    def colleague(self, name: str = "sten", *, hours: float = 1000) -> Person:
        """Return another member of staff, who joined this number of hours ago."""
        at = clock.now()
        person = Person(email=f"{name}@provider.example", name=f"{name.title()} Test", side="provider", is_staff=True)
        person.created_at = person.email_verified_at = person.totp_set_up_at = at
        person.password = _password(settings.PASSWORD_HASHERS[0])
        person.save(force_insert=True)
        Authenticator.objects.bulk_create(factors.rows_for([person]))
        StaffTerm.objects.create(person=person, human_id=person.human_id, from_at=at - dt.timedelta(hours=hours))
        self.people[name] = person
        return person

    def own_client(self, name: str, scopes: list[str]) -> operations.Made:
        """Return a client of the provider with these scopes, as if they had been announced and confirmed."""
        made = operations.create_client(name=name, scopes=["grants:read"], actor=self.as_("stella"))
        made.row.scopes = scopes
        # A client that guards belongs to the application of a service.
        made.row.service = self.quillo() if "guard" in scopes else None
        made.row.save(update_fields=["scopes", "service"])
        return made

    @remembered
    def guard(self, service: Service | None = None, *, scopes: tuple[str, ...] = ("guard",)) -> operations.Made:
        """Return the client of an application. Without a service, it guards the external service."""
        made = self.own_client("Quillo", list(scopes))
        if service is not None:
            made.row.service = service
            made.row.save(update_fields=["service"])
        return made

    def agreed(self, call: Callable[[], Any]) -> Proposal:
        """Call `call`, which proposes a change. Apply the proposal as if its waiting time were over."""
        row: Proposal = operations.apply_proposal(self.made_due(call), actor=self.system("sweep"))
        assert row.outcome == "applied", row.outcome
        return row

    @staticmethod
    def made_due(call: Callable[[], Any]) -> UUID:
        """Call `call`, which proposes a change. Move the proposal's waiting time into the past, and return its id."""
        try:
            call()
        except ChangeProposed as held:
            row: Proposal = Proposal.objects.get(pk=held.current["proposal"])
        else:
            row = Proposal.objects.of_staff().get(ended_at=None)
        past = clock.now() - dt.timedelta(days=4)
        Proposal.objects.filter(pk=row.pk).update(proposed_at=past, effective_at=past + dt.timedelta(hours=72))
        return row.pk

    def ask(self, ticket: Ticket, **fields: Any) -> operations.Ask:
        resource = (
            fields.pop("resource", None)
            or Resource.objects.real()
            .filter(tenant_id=ticket.tenant_id, service_id=ticket.service_id)
            .order_by("name")[0]
        )
        defaults = {
            "ticket_id": ticket.pk,
            "resource_ids": [resource.pk],
            "level": "read",
            "window_for": 7200,
            "tried": TRIED,
            "justification": JUSTIFICATION,
        }
        return operations.Ask(**{**defaults, **fields})

    @remembered
    def submitted(self, tenant: str = "contoso", by: str = "priya", **fields: Any) -> AccessRequest:
        customer = next(iter(CUSTOMERS[tenant]))
        ticket = fields.pop("ticket", None) or self.ticket(tenant, customer)
        return operations.submit(self.ask(ticket, **fields), actor=self.as_(by))

    @remembered
    def confirmed(self, tenant: str = "contoso", by: str = "priya", **fields: Any) -> AccessRequest:
        """Return an access request that the provider has approved.

        If the tenant has Lockbox on, the access request now waits for the customer. Otherwise its window is open.
        """
        row = self.submitted(tenant, by, **fields)
        return operations.approve_as_provider(row.pk, actor=self.as_("pat"), note="No other way.")

    @remembered
    def opened(self, tenant: str = "contoso", by: str = "priya", **fields: Any) -> Grant:
        row = self.confirmed(tenant, by, **fields)
        if row.state == "PENDING_CUSTOMER":
            approver = {"contoso": "ada", "fabrikam": "frida"}[tenant]
            operations.approve_as_customer(row.pk, actor=self.as_(approver))
        return Grant.objects.get(access_request=row)

    @remembered
    def in_state(self, state: str) -> AccessRequest:
        """Return a new access request of Contoso in this state. People of the cast bring it there with operations."""
        if state == "PENDING_PROVIDER":
            return self.submitted()
        if state == "DENIED":
            return operations.deny_as_provider(self.submitted().pk, actor=self.as_("pat"), note="Ask the customer.")
        if state == "PENDING_CUSTOMER":
            return self.confirmed()
        if state == "WITHDRAWN":
            return operations.withdraw(self.submitted().pk, actor=self.as_("priya"))
        if state == "EXPIRED":
            row = self.submitted()
            AccessRequest.objects.filter(pk=row.pk).update(decide_by=clock.now() - dt.timedelta(seconds=1))
            return operations.expire(row.pk, actor=self.system("expiry"))
        grant = self.opened()
        if state == "CLOSED":
            return operations.release(grant.access_request_id, actor=self.as_("priya"))
        return AccessRequest.objects.get(pk=grant.access_request_id)


def gather() -> Cast:
    """Write the cast's rows: plans, tenants, services, resources, people and their roles.

    Nearly every test begins with this, so all rows of a kind are written with one statement.
    """
    cast, at = Cast(), clock.now()
    plan, small = Plan.objects.bulk_create(
        [Plan(name="E5", includes_lockbox=True), Plan(name="Basic", includes_lockbox=False)]
    )
    cast.services = _by(
        "key",
        Service.objects.bulk_create(
            Service(key=key, name=name, connector=connector)
            for key, name, connector in (
                ("exchange-online", "Exchange Online", "maildir"),
                ("sharepoint-online", "SharePoint Online", "folder"),
            )
        ),
    )
    cast.tenants = _by(
        "slug",
        Tenant.objects.bulk_create(
            Tenant(
                name=slug.title(),
                slug=slug,
                plan=small if slug == "northwind" else plan,
                lockbox_on=slug != "northwind",
                created_at=at,
            )
            for slug in CUSTOMERS
        ),
    )
    Resource.objects.bulk_create(row for tenant in cast.tenants.values() for row in _resources(cast, tenant))
    cast.people = _people(at)
    Membership.objects.bulk_create(
        Membership(tenant=cast.tenants[slug], person=cast.people[name], role=role, given_at=at)
        for slug, members in CUSTOMERS.items()
        for name, roles in members.items()
        for role in roles
    )
    QueueAssignment.objects.bulk_create(
        QueueAssignment(service=cast.services[key], person=cast.people[name], role=role, given_at=at)
        for name, queues in QUEUES.items()
        for key, role in queues
    )
    return cast


@cache
def _found() -> Cast:
    cast, tenants = Cast(), Tenant.objects.select_related("plan")
    cast.services, cast.tenants = _by("key", list(Service.objects.all())), _by("slug", list(tenants))
    people = {person.email.partition("@")[0]: person for person in Person.objects.all()}
    cast.people = {name: people[name] for name in _sides()}
    return cast


def find() -> Cast:
    """Return the cast of a database that already contains it. Each process reads the rows only once."""
    found = _found()
    return Cast(_copied(found.people), _copied(found.tenants), _copied(found.services))


def _copied(rows: dict[str, Any]) -> dict[str, Any]:
    return {name: _copy_of(row) for name, row in rows.items()}


def _copy_of(row: Any) -> Any:
    """Return a separate object with the same values, which are plain, and with copies of the rows it refers to."""
    copy: Any = object.__new__(type(row))
    vars(copy).update(vars(row))
    copy._state = ModelState()
    copy._state.adding, copy._state.db = False, row._state.db
    copy._state.fields_cache = _copied(row._state.fields_cache)
    return copy


def _by(name: str, rows: list[Any]) -> dict[str, Any]:
    return {getattr(row, name): row for row in rows}


@cache
def _password(hasher: str) -> str:
    """Return the hash of the password that everybody in the cast has."""
    return make_password(PASSWORD)


def _sides() -> dict[str, tuple[str, str]]:
    """Return, by name, each person's mail domain and side."""
    customers = {name: (slug, "customer") for slug, members in CUSTOMERS.items() for name in members}
    return {**customers, **dict.fromkeys([*QUEUES, "stella"], ("provider", "provider"))}


def _people(at: dt.datetime) -> dict[str, Person]:
    sides = _sides()
    password = _password(settings.PASSWORD_HASHERS[0])
    two = _with_two_factors()
    rows = Person.objects.bulk_create(
        Person(
            email=f"{name}@{domain}.example",
            name=f"{name.title()} Test",
            side=side,
            password=password,
            created_at=at,
            email_verified_at=at,
            is_staff=name == "stella",
            is_superuser=name == "stella",
            totp_set_up_at=at if name in two else None,
        )
        for name, (domain, side) in sides.items()
    )
    people = dict(zip(sides, rows, strict=True))
    Authenticator.objects.bulk_create(factors.rows_for(people[name] for name in two))
    StaffTerm.objects.create(
        person=people["stella"], human_id=people["stella"].human_id, from_at=at - dt.timedelta(days=30)
    )
    return people


def _with_two_factors() -> list[str]:
    """Return the names of those who need a second factor: approvers, administrators, all of the provider's people."""
    customers = [
        name
        for members in CUSTOMERS.values()
        for name, roles in members.items()
        if {"approver", "administrator"} & set(roles)
    ]
    return [*customers, *QUEUES, "stella"]


def _resources(cast: Cast, tenant: Tenant) -> list[Resource]:
    return [
        Resource(
            tenant=tenant,
            service=cast.services[key],
            kind=kind,
            name=f"{name}@{tenant.slug}.example" if kind == "mailbox" else f"{name} documents",
            locator=f"{tenant.slug}/{place}",
        )
        for key, kind, name, place in (
            ("exchange-online", "mailbox", "finance", "mail/finance"),
            ("exchange-online", "mailbox", "sales", "mail/sales"),
            ("sharepoint-online", "library", "legal", "docs/legal"),
        )
    ]


# Nearly every test reads these, and a walk reads them a thousand times. So their SQL is compiled only once.
_EVENTS_OF = CompiledQuery(
    lambda row: AuditEntry.objects.filter(correlation_id=row).order_by("seq").values_list("event", flat=True),
    row=UUIDField(),
)
_EVENTS_IN = CompiledQuery(
    lambda log: AuditEntry.objects.filter(tenant_id=log).order_by("seq").values_list("event", flat=True),
    log=UUIDField(),
)


def _topics(**about: Any) -> Any:
    messages = OutboxMessage.objects.filter(lane="fanout", **about).order_by("created_at", "topic")
    return messages.values_list("topic", flat=True)


_TOPICS = CompiledQuery(_topics)
_TOPICS_ABOUT = CompiledQuery(_topics, about=UUIDField())


def events_of(row: AccessRequest | UUID) -> list[str]:
    """Return the events of the log entries about one access request, in order."""
    return _EVENTS_OF(row=row if isinstance(row, UUID) else row.pk)


def events_in(tenant: Tenant) -> list[str]:
    return _EVENTS_IN(log=tenant.pk)


def outbox_topics(row: AccessRequest | None = None) -> list[str]:
    """Return the topics of the messages in the outbox, in order. With `row`, only those about this access request."""
    return _TOPICS() if row is None else _TOPICS_ABOUT(about=row.pk)
