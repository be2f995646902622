"""Writes what every world has: the cast of the tests, many other tenants, and a mailbox."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import connection

from requests_app.domain import clock
from requests_app.models import Tenant
from tests.cast import Cast, gather

TENANTS = 1_000


def make(mailbox: Path) -> Cast:
    """Write the cast of the tests, many other tenants, and a mailbox with 200 messages. Return the cast."""
    cast = make_small(mailbox)
    at = clock.now()
    plan = cast.contoso.plan
    Tenant.objects.bulk_create(
        Tenant(name=f"Tenant {n}", slug=f"tenant-{n}", plan=plan, lockbox_on=True, created_at=at)
        for n in range(TENANTS)
    )
    return cast


def make_small(mailbox: Path) -> Cast:
    """Write the cast of the tests, and a mailbox with 200 messages. Return the cast."""
    cast = gather()
    settings.CONTENT_ROOT = mailbox
    folder = mailbox / cast.resource().locator
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True)
    for n in range(200):
        (folder / "cur" / f"{n}.mail:2,S").write_bytes(
            b"From: a@contoso.example\r\nTo: b@contoso.example\r\nSubject: Invoice %d\r\n"
            b"Message-ID: <%d@contoso.example>\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n\r\n"
            % (n, n)
            + b"Dear all, please find the invoice attached.\r\n" * 40
        )
    return cast


def key(value: object) -> str:
    """Return a UUID as the database stores it. SQLite has no type for UUIDs."""
    return str(value) if connection.vendor == "postgresql" else str(value).replace("-", "")
