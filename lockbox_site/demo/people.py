"""The people of the demo world. Each installation makes its own passwords, and stores them beside its database."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from requests_app.platform import totp

EXCHANGE, SHAREPOINT, QUILLO, LEDGER = "exchange-online", "sharepoint-online", "quillo", "ledger"
PROVIDER_DOMAIN = "provider.example"
_APPS = "demo_apps.json"
_CLIENT = "demo_client.json"


@dataclass(frozen=True)
class Character:
    """One person of the demo.

    A customer's person has role names in `roles`. A person of the provider has pairs ("service key", "role").
    """

    email: str
    name: str
    tenant: str = ""
    roles: tuple[str, ...] = ()
    queues: tuple[tuple[str, str], ...] = ()
    time_zone: str = "UTC"
    is_staff: bool = False

    @property
    def side(self) -> str:
        return "customer" if self.tenant else "provider"

    @property
    def role_names(self) -> list[str]:
        if self.is_staff:
            return ["staff"]
        return list(dict.fromkeys(self.roles or tuple(role for _service, role in self.queues)))

    @property
    def needs_app(self) -> bool:
        """Whether this person can sign in only with a second factor, by the settings of this installation."""
        needing = {"approver", "administrator", "provider_approver", "staff"}
        if settings.ENGINEER_SECOND_FACTOR:
            needing |= {"engineer"}
        return bool(needing & set(self.role_names))


@dataclass(frozen=True)
class DemoTenant:
    slug: str
    name: str
    plan: str
    lockbox: bool
    time_zone: str
    people: tuple[tuple[str, str, tuple[str, ...]], ...] = field(default=())


TENANTS = (
    DemoTenant(
        "contoso",
        "Contoso",
        "E5",
        True,
        "Europe/Berlin",
        (
            ("ines.vogel", "Ines Vogel", ("administrator", "member")),
            ("ada.keller", "Ada Keller", ("approver", "member")),
            ("alan.fischer", "Alan Fischer", ("approver",)),
            ("otto.brandt", "Otto Brandt", ("auditor",)),
            ("mia.weber", "Mia Weber", ("member",)),
        ),
    ),
    DemoTenant(
        "fabrikam",
        "Fabrikam",
        "E5",
        True,
        "America/New_York",
        (
            ("finn.jacobs", "Finn Jacobs", ("administrator",)),
            ("frida.olsen", "Frida Olsen", ("approver", "member")),
            ("fatima.zahra", "Fatima Zahra", ("auditor",)),
            ("fred.marsh", "Fred Marsh", ("member",)),
        ),
    ),
    DemoTenant(
        "northwind",
        "Northwind",
        "E5",
        False,
        "Asia/Tokyo",
        (
            ("noah.kim", "Noah Kim", ("administrator",)),
            ("nils.berg", "Nils Berg", ("approver",)),
            ("nadia.rossi", "Nadia Rossi", ("auditor",)),
            ("nora.quinn", "Nora Quinn", ("member",)),
        ),
    ),
)

STAFF = Character(f"stella.okafor@{PROVIDER_DOMAIN}", "Stella Okafor", is_staff=True)

PROVIDER = (
    Character(
        f"priya.nair@{PROVIDER_DOMAIN}",
        "Priya Nair",
        queues=((EXCHANGE, "engineer"), (SHAREPOINT, "engineer"), (QUILLO, "engineer"), (LEDGER, "engineer")),
        time_zone="Europe/Dublin",
    ),
    Character(f"erik.lund@{PROVIDER_DOMAIN}", "Erik Lund", queues=((EXCHANGE, "engineer"),)),
    Character(f"samira.haddad@{PROVIDER_DOMAIN}", "Samira Haddad", queues=((SHAREPOINT, "engineer"),)),
    Character(
        f"pat.doyle@{PROVIDER_DOMAIN}",
        "Pat Doyle",
        queues=tuple((key, "provider_approver") for key in (EXCHANGE, SHAREPOINT, QUILLO, LEDGER)),
        time_zone="America/Los_Angeles",
    ),
    Character(f"paula.reyes@{PROVIDER_DOMAIN}", "Paula Reyes", queues=((EXCHANGE, "provider_approver"),)),
)


def members() -> list[Character]:
    """Return the customers' people.

    Each tenant's administrator comes first, because the others need their invitation.
    """
    return [
        Character(f"{login}@{tenant.slug}.example", name, tenant.slug, roles, time_zone=tenant.time_zone)
        for tenant in TENANTS
        for login, name, roles in tenant.people
    ]


def everybody() -> list[Character]:
    return [*members(), *PROVIDER, STAFF]


def passwords() -> dict[str, str]:
    """Return the passwords of the demo's people by address. The first call makes them."""
    return _read_or_make("demo_people.json", lambda: {person.email: _password() for person in everybody()})


def app_secrets() -> dict[str, str]:
    """Return the secrets of the authenticator apps by address."""
    return _read_or_make(_APPS, dict)


def give_app(email: str) -> str:
    """Return the secret of this person's authenticator app. The first call makes it."""
    known = app_secrets()
    if email not in known:
        known[email] = totp.new_secret()
        _write(_APPS, known)
    return known[email]


def keep_client(client_id: str, secret: str) -> None:
    """Store the secret of the client of the guarded application."""
    _write(_CLIENT, {"client_id": client_id, "client_secret": secret})


def client() -> dict[str, str]:
    """Return the id and the secret of the client of the guarded application."""
    return _read_or_make(_CLIENT, dict)


def _read_or_make(name: str, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Return the content of a file beside the database. If there is no file, write what `make` returns.

    Only the file's owner can read it.
    """
    path = Path(settings.DATA_DIR) / name
    if path.exists():
        return dict(json.loads(path.read_text()))
    made = make()
    _write(name, made)
    return made


def _write(name: str, what: dict[str, str]) -> None:
    path = Path(settings.DATA_DIR) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(what, file, indent=1)


def _password() -> str:
    """Return a password of twenty characters that people can read aloud and type: about 98 bits."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))
