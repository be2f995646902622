"""Tells PostgreSQL which tenants a connection may see: a second check if code forgets `visible_to`.

The policies (migration 0003) let everything through if no tenant is set: for workers, staff and the provider's people
only the querysets limit what is seen. A database superuser passes every policy; production does not use one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import DatabaseError, connection

#: A customer's person without a role sees no tenant. An empty list would mean "not set".
NOBODY = UUID(int=(1 << 128) - 1)


@contextmanager
def only_tenants(tenant_ids: Iterable[UUID]) -> Iterator[None]:
    """Hide all other tenants' rows from this thread's connection until the block ends. Does nothing on SQLite."""
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
            # In any state, the connection must not carry this setting into the next request.
            connection.close()


@contextmanager
def own_account() -> Iterator[None]:
    """Lift the limit for an act on an account, whose log is the provider's while it has no role anywhere.

    The act itself has checked, by `visible_to` or by role, that the account is the actor's own or one of theirs.
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
