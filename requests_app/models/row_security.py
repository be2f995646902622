"""Makes PostgreSQL hide other tenants' rows from a connection, as a second check if code forgets `visible_to`.

If no tenants are set, the policies (migration 0003) hide nothing. This is the case for workers, for staff
and for the provider's people: only the querysets limit what they see. The policies do not apply to a
superuser of the database, so production uses another role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import DatabaseError, connection

from requests_app.platform.database.prepared import Prepared

#: For a customer's person without a role, who sees no tenant. An empty list would mean that no tenants are set.
NOBODY = UUID(int=(1 << 128) - 1)

_SET = Prepared("SELECT set_config('lockbox.tenants', %s, false)")
_GET = Prepared("SELECT coalesce(current_setting('lockbox.tenants', true), '')")


@contextmanager
def only_tenants(tenant_ids: Iterable[UUID]) -> Iterator[None]:
    """Inside the block, hide the rows of all other tenants from this thread's connection. Do nothing on SQLite."""
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
    """Inside the block, suspend the limit of `only_tenants`, so that an act on an account can write the provider's log.

    An account without a role has its entries in that log. The caller must already have checked that the actor is
    allowed to change the account.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(_GET)
        [before] = cursor.fetchone()
    _tell("")
    try:
        yield
    finally:
        try:
            _tell(before)
        except DatabaseError:
            connection.close()


@contextmanager
def as_before() -> Iterator[None]:
    """After the block, hide what was hidden before it, if the block is inside a transaction of the caller.

    What a transaction itself has set ends with it.
    """
    if connection.vendor != "postgresql" or not connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(_GET)
        [before] = cursor.fetchone()
    yield
    _tell(before)


def _tell(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SET, [value])
