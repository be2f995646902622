"""Write the people and tenants of a storm into an empty database, with the code of the tested source tree.

Usage: python world.py FACTS-FILE TENANTS, in the directory of that tree and with the settings of the installation. The
rows are those of an installation on its first day. Every later act goes through an interface of the product.

Without TENANTS, make new tokens for the auditors in that file. A restore ends all tokens.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

ENGINEERS, PROVIDER_APPROVERS, STAFF = 8, 4, 2
PASSWORD = "correct horse battery staple 9"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
ITEMS, ITEM_BYTES = 8, 60_000
SERVICE = "exchange-online"
#: Each tenant's people. Two of them are approvers, so that two people can answer at the same time.
CUSTOMERS = {"member": ["member"], "anna": ["member", "approver"], "boris": ["approver"],
             "audit": ["auditor"], "admin": ["administrator"]}  # fmt: skip


def main(out: str, tenants: int) -> None:
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("sync_schedules", verbosity=0, stdout=sys.stderr)
    world = _rows(tenants)
    _content(Path(settings.CONTENT_ROOT), world)
    world["callers"] = _callers(world)
    Path(out).write_text(json.dumps(world))


def _rows(count: int) -> dict[str, Any]:
    from allauth.mfa.models import Authenticator
    from django.contrib.auth.hashers import make_password

    from requests_app.domain import clock
    from requests_app.identity import factors
    from requests_app.models import Membership, Person, Plan, QueueAssignment, Resource, Service, StaffTerm, Tenant

    at, password, sealed = clock.now(), make_password(PASSWORD), factors.seal(SECRET)
    plan = Plan.objects.create(name="E5", includes_lockbox=True)
    service = Service.objects.create(key=SERVICE, name="Exchange Online", connector="maildir")
    people: dict[str, Any] = {}

    def person(name: str, email: str, side: str, *, staff: bool = False) -> Any:
        row = Person(
            email=email, name=f"{name.title()} Storm", side=side, password=password, created_at=at,
            email_verified_at=at, is_staff=staff, is_superuser=staff, totp_set_up_at=at,
        )  # fmt: skip
        row.save(force_insert=True)
        Authenticator.objects.create(user=row, type="totp", data={"secret": sealed})
        people[name] = {"id": str(row.pk), "email": email, "side": side, "tenant": "", "roles": []}
        return row

    for role, many in (("engineer", ENGINEERS), ("provider_approver", PROVIDER_APPROVERS)):
        for number in range(many):
            name = f"{role.replace('_', '-')}-{number}"
            row = person(name, f"{name}@provider.example", "provider")
            QueueAssignment.objects.create(service=service, person=row, role=role, given_at=at)
            people[name]["roles"] = [role]
    for number in range(STAFF):
        row = person(f"staff-{number}", f"staff-{number}@provider.example", "provider", staff=True)
        people[f"staff-{number}"]["roles"] = ["staff"]
        StaffTerm.objects.create(person=row, human_id=row.human_id, from_at=at - timedelta(days=30))
    tenants: dict[str, Any] = {}
    for number in range(count):
        slug = f"tenant-{number}"
        # One tenant has Lockbox off. There, the provider's approval alone opens a window.
        has_lockbox = number != count - 1
        tenant = Tenant.objects.create(
            name=f"Tenant {number}", slug=slug, plan=plan, lockbox_on=has_lockbox, created_at=at
        )
        mailbox = Resource.objects.create(
            tenant=tenant, service=service, kind="mailbox", name=f"finance@{slug}.example",
            locator=f"{slug}/mail/finance",
        )  # fmt: skip
        tenants[slug] = {"id": str(tenant.pk), "resource": str(mailbox.pk), "lockbox": has_lockbox}
        for name, roles in CUSTOMERS.items():
            row = person(f"{name}-{number}", f"{name}-{number}@{slug}.example", "customer")
            people[f"{name}-{number}"] |= {"tenant": slug, "roles": roles}
            for role in roles:
                Membership.objects.create(tenant=tenant, person=row, role=role, given_at=at)
    items = [f"{1700000000 + n}.M{n}.host" for n in range(1, ITEMS + 1)]
    return {
        "people": people, "tenants": tenants, "service": {"id": str(service.pk), "key": SERVICE},
        "password": PASSWORD, "secret": SECRET, "items": items, "begun": at.isoformat(),
    }  # fmt: skip


def _content(root: Path, world: dict[str, Any]) -> None:
    for slug in world["tenants"]:
        box = root / slug / "mail" / "finance"
        for part in ("cur", "new", "tmp"):
            (box / part).mkdir(parents=True)
        for number, item in enumerate(world["items"], 1):
            text = (
                f"From: a@{slug}.example\r\nTo: b@{slug}.example\r\nSubject: Invoice {number}\r\n"
                f"Message-ID: <{number}@{slug}.example>\r\nDate: Mon, 23 Nov 2026 09:30:00 +0100\r\n\r\n"
            )
            (box / "cur" / f"{item}:2,S").write_bytes(text.encode() + b"x" * ITEM_BYTES)


def new_tokens(facts: str) -> None:
    """Replace the auditors' tokens in the file."""
    django.setup()
    world = json.loads(Path(facts).read_text())
    world["callers"]["tokens"] |= _tokens(world, [name for name in world["people"] if name.startswith("audit")])
    Path(facts).write_text(json.dumps(world))


def _actor(world: dict[str, Any], name: str) -> Any:
    from requests_app.domain import clock
    from requests_app.models import Person
    from requests_app.queries import actor_of

    return actor_of(Person.objects.get(pk=world["people"][name]["id"]), door="pages", stepped_up_at=clock.now())


def _tokens(world: dict[str, Any], names: list[str]) -> dict[str, str]:
    from requests_app import operations
    from requests_app.domain.scopes import Scope, in_order

    everything = in_order(frozenset(Scope))
    return {
        name: operations.create_token(name="storm", scopes=everything, days=7, actor=_actor(world, name)).secret
        for name in names
    }


def _callers(world: dict[str, Any]) -> dict[str, Any]:
    """Make a personal token for everybody, and a client of the provider.

    For each tenant, also make a client that decides on access requests, and a client that manages its people.
    """
    from requests_app import operations
    from requests_app.domain.scopes import OF_PROVIDER_CLIENTS, Scope, in_order
    from requests_app.models import Client

    tokens = _tokens(world, list(world["people"]))
    machines, directories = {}, {}
    for number, (slug, tenant) in enumerate(world["tenants"].items()):
        admin = _actor(world, f"admin-{number}")
        made = operations.create_client(
            tenant_id=tenant["id"], name="Machine",
            scopes=in_order({Scope.REQUESTS_READ, Scope.DECISIONS_WRITE, Scope.TICKETS_READ, Scope.TICKETS_WRITE}),
            decides_for_id=world["people"][f"boris-{number}"]["id"], actor=admin,
        )  # fmt: skip
        machines[slug] = {"id": str(made.row.pk), "secret": made.secret, "account": str(made.row.account_id)}
        made = operations.create_client(
            tenant_id=tenant["id"], name="Directory", scopes=[Scope.MEMBERS_PROVISION], actor=admin
        )
        directories[slug] = {"id": str(made.row.pk), "secret": made.secret, "account": str(made.row.account_id)}
    made = operations.create_client(name="Gateway", scopes=["grants:read"], actor=_actor(world, "staff-0"))
    # More scopes would be announced, and would take effect only after days. Here, that time is over.
    Client.objects.filter(pk=made.row.pk).update(scopes=in_order(OF_PROVIDER_CLIENTS))
    gateway = {"id": str(made.row.pk), "secret": made.secret, "account": str(made.row.account_id)}
    return {"tokens": tokens, "machines": machines, "directories": directories, "gateway": gateway}


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main(sys.argv[1], int(sys.argv[2]))
    else:
        new_tokens(sys.argv[1])
