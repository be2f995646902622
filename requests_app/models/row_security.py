"""Tells PostgreSQL whose request a connection serves: a second wall behind `visible_to`, for the code that forgets it.

The policies (migration 0003) let everything through where nothing is told: workers, staff and the provider's people
are scoped by the querysets alone. A superuser of the database is let past every policy; production is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import DatabaseError, connection

#: A customer's person without any role sees no tenant; an empty list would mean "not told".
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
            # Whatever state it is in, it must not carry this setting into the next request.
            connection.close()


@contextmanager
def own_account() -> Iterator[None]:
    """Take the wall away for an act on an account: its log is the provider's while it has no role anywhere.

    The act itself has judged, by `visible_to` or by role, that it is the actor's own or one of theirs.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('lockbox.tenants', true), '')")
        [told] = cursor.fetchone()
    _tell("")
    try:
        yield
    finally:
        try:
            _tell(told)
        except DatabaseError:
            connection.close()


def _tell(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lockbox.tenants', %s, false)", [value])
