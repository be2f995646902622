"""Tells PostgreSQL which tenants a connection may see: a second check if code forgets `visible_to`.

If no tenants are set, the policies (migration 0003) allow all rows. That is so for workers, for staff and for the
provider's people: only the querysets limit what they see. The policies do not apply to a superuser of the database, so
production uses another role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import DatabaseError, connection

#: For a customer's person without a role, who sees no tenant. An empty list would mean that no tenants are set.
NOBODY = UUID(int=(1 << 128) - 1)


@contextmanager
def only_tenants(tenant_ids: Iterable[UUID]) -> Iterator[None]:
    """Hide the rows of all other tenants from this thread's connection inside the block. Does nothing on SQLite."""
    if connection.vendor != "postgresql":
        yield
        return
    _tell(",".join(str(tenant) for tenant in sorted(tenant_ids)) or str(NOBODY))
    try:
        yield
    finally:
        try:
            _tell("")
        except DatabaseError:
            # In every case, the next request must not get this setting with the connection.
            connection.close()


@contextmanager
def own_account() -> Iterator[None]:
    """Remove the limit of `only_tenants` inside the block, for an act on an account.

    The log of an account without any role is the provider's. The act itself has checked, with `visible_to` or by role,
    that the actor may change the account.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('lockbox.tenants', true), '')")
        [before] = cursor.fetchone()
    _tell("")
    try:
        yield
    finally:
        try:
            _tell(before)
        except DatabaseError:
            connection.close()


def _tell(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lockbox.tenants', %s, false)", [value])
