"""The people, tenants, services and resources of the golden history. Their ids depend only on their names.

Only this package uses them. So a change to the cast of the other tests does not change the golden data.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from lockbox_site.demo.authenticator import Authenticator
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.models import (
    Membership,
    Passkey,
    Person,
    Plan,
    QueueAssignment,
    Resource,
    Service,
    StaffTerm,
    Tenant,
)
from requests_app.models.people import actor_of
from requests_app.operations import enrol_passkey
from requests_app.platform.webauthn import own_party, registration_options
from tests.golden.chance import bytes_for, id_for, key_for

#: A Tuesday in winter.
START = dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC)
#: By name: whether Lockbox is on, the tenant's time zone, and who has which roles.
CUSTOMERS: dict[str, tuple[bool, str, dict[str, list[str]]]] = {
    "contoso": (
        True,
        "Europe/Berlin",
        {
            "mia": ["member"],
            "ada": ["member", "approver"],
            "alan": ["approver"],
            "otto": ["auditor"],
            "ines": ["administrator"],
        },
    ),
    "fabrikam": (True, "UTC", {"fred": ["member"], "frida": ["approver"], "finn": ["administrator"]}),
    "northwind": (False, "UTC", {"nora": ["member"], "noah": ["administrator"]}),
}
QUEUES = {
    "priya": [("exchange-online", "engineer"), ("sharepoint-online", "engineer")],
    "erik": [("exchange-online", "engineer")],
    "pat": [("exchange-online", "provider_approver"), ("sharepoint-online", "provider_approver")],
    "paula": [("exchange-online", "provider_approver")],
    "bea": [("exchange-online", "engineer"), ("exchange-online", "provider_approver")],
}
STAFF = ("stella", "sten")
#: People without the role of an approver or administrator.
WITHOUT_APP = ("mia", "otto", "fred", "nora")
ZONES = {"ada": "America/New_York", "priya": "Asia/Kolkata"}
_SERVICES = {"exchange-online": ("Exchange Online", "maildir"), "sharepoint-online": ("SharePoint Online", "folder")}
_RESOURCES = (
    ("exchange-online", "mailbox", "finance", "mail/finance"),
    ("exchange-online", "mailbox", "sales", "mail/sales"),
    ("sharepoint-online", "library", "legal", "docs/legal"),
)


class World:
    """The rows of the golden history: `world.person("ada")`, `world.tenant("contoso")`.

    `world.as_("ada")` is an actor.
    """

    def __init__(self) -> None:
        at = START - dt.timedelta(days=100)
        plans = [Plan.objects.create(name=name, includes_lockbox=yes) for name, yes in (("E5", True), ("Basic", False))]
        for key, (name, connector) in _SERVICES.items():
            Service.objects.create(id=id_for(f"service {key}"), key=key, name=name, connector=connector)
        for slug, (is_on, zone, people) in CUSTOMERS.items():
            tenant = Tenant.objects.create(
                id=id_for(f"tenant {slug}"),
                name=slug.title(),
                slug=slug,
                plan=plans[0] if is_on else plans[1],
                lockbox_on=is_on,
                time_zone=zone,
                created_at=at,
            )
            for key, kind, name, place in _RESOURCES:
                Resource.objects.create(
                    id=id_for(f"resource {slug} {name}"),
                    tenant=tenant,
                    service_id=id_for(f"service {key}"),
                    kind=kind,
                    name=f"{name}@{slug}.example" if kind == "mailbox" else f"{name} documents",
                    locator=f"{slug}/{place}",
                )
            for name, roles in people.items():
                person = self._person(name, slug, "customer", at)
                for role in roles:
                    Membership.objects.create(tenant=tenant, person=person, role=role, given_at=at)
        for name, queues in QUEUES.items():
            person = self._person(name, "provider", "provider", at)
            for key, role in queues:
                service_id = id_for(f"service {key}")
                QueueAssignment.objects.create(service_id=service_id, person=person, role=role, given_at=at)
        for name in STAFF:
            person = self._person(name, "provider", "provider", at, is_staff=True)
            StaffTerm.objects.create(person=person, human_id=person.human_id, from_at=at)

    @staticmethod
    def _person(name: str, domain: str, side: str, at: dt.datetime, **fields: Any) -> Person:
        return Person.objects.create(
            id=id_for(f"person {name}"),
            human_id=id_for(f"human {name}"),
            email=f"{name}@{domain}.example",
            name=f"{name.title()} Test",
            side=side,
            time_zone=ZONES.get(name, "UTC"),
            password="md5$golden$ed4c43b7b7d5a1ce5ef4b7d2ca6a4ea7",
            created_at=at,
            email_verified_at=at,
            totp_set_up_at=None if name in WITHOUT_APP else at,
            **fields,
        )

    def id(self, kind: str, name: str) -> Any:
        return id_for(f"{kind} {name}")

    def person(self, name: str) -> Person:
        return Person.objects.get(pk=id_for(f"person {name}"))

    def tenant(self, slug: str = "contoso") -> Tenant:
        return Tenant.objects.get(pk=id_for(f"tenant {slug}"))

    def as_(self, who: str | Person, *, door: str = "pages", fresh: bool = True) -> Actor:
        """Return the person as an actor who uses this interface. With `fresh`, they have just proved their identity."""
        person = self.person(who) if isinstance(who, str) else Person.objects.get(pk=who.pk)
        return actor_of(person, door=door, stepped_up_at=clock.now() if fresh else None)

    def passkey(self, name: str) -> tuple[Passkey, Authenticator]:
        """Add a passkey to this person. Return it with its device, whose Ed25519 signatures have no random part."""
        person, challenge = self.person(name), bytes_for(f"challenge {name}", 32)
        device = Authenticator(
            origin="http://localhost:8000",
            algorithm="EdDSA",
            credential_id=bytes_for(f"credential {name}", 32),
            key=key_for(f"passkey {name}"),
        )
        options = registration_options(
            party=own_party(), user_id=person.pk.bytes, email=person.email, name=person.name, challenge=challenge
        )
        row = enrol_passkey(
            actor=self.as_(name), response=device.create(options), challenge=challenge, name=f"Phone of {name.title()}"
        )
        return row, device
