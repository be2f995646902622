"""Builds the demo world with the product's operations: tenants, people and content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from lockbox_site.demo import content, people
from requests_app import operations
from requests_app.domain import clock, link_secrets
from requests_app.domain.actors import Actor
from requests_app.identity import factors
from requests_app.models import Invitation, Person, Plan, Resource, Service, Tenant
from requests_app.models.people import actor_of

#: Where docs/your-application.md puts the reader's application.
_HERE = "http://localhost:8400/support/{external_id}/"
#: A service whose content stays in an application of the provider.
_QUILLO: dict[str, Any] = {
    "key": people.QUILLO,
    "name": "Quillo",
    "connector": Service.EXTERNAL,
    "application": "Quillo",
    "guidance": "Open Quillo, choose Support, and enter the id of the workspace.",
    "levels": "names\nview\nread",
}
#: A web tool that a proxy guards. Only the demo with applications has it.
_LEDGER: dict[str, Any] = {
    "key": people.LEDGER,
    "name": "Ledger",
    "connector": Service.EXTERNAL,
    "application": "Ledger",
    "gate_rules": "view GET /tenants/{resource}/**\nact_as POST /tenants/{resource}/**",
    "levels": "view",
}
#: The resources of these services, which all belong to one tenant: service, name and external id.
_WORKSPACES = (
    "contoso",
    (
        (people.QUILLO, "Design workspace", "ws-1041"),
        (people.QUILLO, "Planning workspace", "ws-1042"),
        (people.LEDGER, "Ledger of Contoso", "contoso-ledger"),
    ),
)


@dataclass(frozen=True)
class Applications:
    """Where the demo runs an application with a guard, and a web tool behind a proxy."""

    guarded: str
    tool: str
    proxy_secret_hash: str


def exists() -> bool:
    return Tenant.objects.filter(slug=people.TENANTS[0].slug).exists()


def build(applications: Applications | None = None) -> None:
    """Build the world without its history, which `lockbox_site.demo.history` adds."""
    content.build(Path(settings.CONTENT_ROOT))
    secrets = people.passwords()
    staff = Person.objects.get_queryset().filter(email=people.STAFF.email).first()
    if staff is None:
        staff = Person.objects.create_superuser(people.STAFF.email, secrets[people.STAFF.email], name=people.STAFF.name)
        _set_up_app(people.STAFF)
    _services(as_(people.STAFF.email), applications)
    _provider(as_(people.STAFF.email), secrets)
    for tenant in people.TENANTS:
        _tenant(tenant, as_(people.STAFF.email), secrets)


def as_(login: str, *, fresh: bool = True) -> Actor:
    """Return the actor for a demo person. `login` is the email address, or its part before the at-sign."""
    lookup = {"email": login} if "@" in login else {"email__startswith": f"{login}@"}
    person = Person.objects.get(**lookup)
    return actor_of(person, door="command", stepped_up_at=clock.now() if fresh else None)


def _services(staff: Actor, applications: Applications | None) -> None:
    operations.save_plan(actor=staff, name="E5", includes_lockbox=True)
    operations.save_plan(actor=staff, name="Basic", includes_lockbox=False)
    for key, name, connector in (
        (people.EXCHANGE, "Exchange Online", "maildir"),
        (people.SHAREPOINT, "SharePoint Online", "folder"),
    ):
        operations.save_service(actor=staff, key=key, name=name, connector=connector)
    # An application has its client, and a tool its proxy, before a customer switches Lockbox on: afterwards, both
    # would be announced and take days.
    link = f"{applications.guarded}/support/{{tenant}}/{{external_id}}" if applications else _HERE
    quillo = operations.save_service(actor=staff, **_QUILLO, link_template=link)
    made = operations.create_client(actor=staff, name="Quillo", scopes=["guard"], service_id=quillo.pk)
    people.keep_client(str(made.row.pk), made.secret)
    if applications is None:
        return
    tool = f"{applications.tool}/tenants/{{external_id}}/"
    ledger = operations.save_service(actor=staff, **_LEDGER, link_template=tool)
    operations.add_proxy(ledger.pk, name="nginx", secret_hash=applications.proxy_secret_hash, actor=staff)


def _provider(staff: Actor, secrets: dict[str, str]) -> None:
    known = {service.key: service.pk for service in Service.objects.all()}
    for character in people.PROVIDER:
        queues = [(known[key], role) for key, role in character.queues if key in known]
        first = queues[0][1]
        services = [pk for pk, role in queues if role == first]
        row = operations.invite_colleague(
            actor=staff, email=character.email, role=first, services=services, time_zone=character.time_zone
        )
        person = _accepted(row, character, secrets[character.email])
        for pk, role in queues:
            if role != first:
                operations.give_queue_role(pk, person.pk, role=role, actor=staff)
        _set_up_app(character)


def _tenant(wanted: people.DemoTenant, staff: Actor, secrets: dict[str, str]) -> None:
    """Make a tenant. Staff add its first administrator and approver; the administrator invites the other people."""
    plan = Plan.objects.get(name=wanted.plan)
    tenant = operations.create_tenant(
        name=wanted.name, slug=wanted.slug, plan_id=plan.pk, time_zone=wanted.time_zone, actor=staff
    )
    _resources(tenant, staff)
    _workspaces(tenant, staff)
    characters = [character for character in people.members() if character.tenant == wanted.slug]
    first = characters[0]
    administrator = _invited(tenant, first, "administrator", by=staff, password=secrets[first.email])
    _set_up_app(first)
    for role in first.roles[1:]:
        operations.give_role(tenant.pk, administrator.pk, role=role, actor=as_(first.email))
    for character in characters[1:]:
        password, by = secrets[character.email], as_(first.email)
        person = _invited(tenant, character, character.roles[0], by=by, password=password)
        for role in character.roles[1:]:
            operations.give_role(tenant.pk, person.pk, role=role, actor=as_(first.email))
        _set_up_app(character)
    operations.add_address(
        tenant.pk, email=f"security@{wanted.slug}.example", label="Security team", actor=as_(first.email)
    )
    if wanted.lockbox:
        operations.switch_lockbox(tenant.pk, on=True, actor=as_(first.email))


def _set_up_app(character: people.Character) -> None:
    """Set up the authenticator app of a person who needs one, as the first sign-in does."""
    if character.needs_app:
        keep = factors.keeps_totp(people.give_app(character.email))
        operations.set_up_totp(actor=as_(character.email, fresh=True), keep=keep)


def _invited(tenant: Tenant, who: people.Character, role: str, *, by: Actor, password: str) -> Person:
    """Invite a person, and accept the invitation as the person would with the link in the mail."""
    row = operations.invite_person(tenant.pk, email=who.email, role=role, actor=by)
    person = _accepted(row, who, password)
    return operations.set_preferences(actor=as_(person.email), time_zone=who.time_zone)


def _accepted(row: Invitation, who: people.Character, password: str) -> Person:
    link = link_secrets.of(row.pk, row.sends)
    return operations.accept_invitation(link, name=who.name, password=password, actor=Actor.stranger(door="command"))


def _resources(tenant: Tenant, staff: Actor) -> None:
    for slug, service_key, kind, name, locator in content.catalogue():
        if slug == tenant.slug:
            service = Service.objects.get(key=service_key)
            operations.save_resource(
                actor=staff, tenant_id=tenant.pk, service_id=service.pk, kind=kind, name=name, locator=locator
            )


def _workspaces(tenant: Tenant, staff: Actor) -> None:
    slug, workspaces = _WORKSPACES
    known = {service.key: service.pk for service in Service.objects.all()}
    for key, name, external_id in workspaces if slug == tenant.slug else ():
        if key not in known:
            continue
        operations.save_resource(
            actor=staff,
            tenant_id=tenant.pk,
            service_id=known[key],
            kind=Resource.Kind.WORKSPACE,
            name=name,
            external_id=external_id,
        )


def resource(tenant: str, name: str) -> Resource:
    """Return the resource of this tenant whose name begins with `name`."""
    # SQLite also finds names that begin with the same letters in the other case.
    [found] = [row for row in Resource.objects.filter(tenant__slug=tenant) if row.name.startswith(name)]
    return found
