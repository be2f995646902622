"""Makes PostgreSQL hide other tenants' rows from a connection, as a second check if code forgets `visible_to`.

If no tenants are set, the policies (migration 0003) hide nothing. This is the case for workers, for staff
and for the provider's people: only the querysets limit what they see. The policies do not apply to a
superuser of the database, so production uses another role.

A new policy is written as in migration 0083 (ADR 124).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import connection

#: For a customer's person without a role, who sees no tenant. An empty list would mean that no tenants are set.
NOBODY = UUID(int=(1 << 128) - 1)


@contextmanager
def only_tenants(tenant_ids: Iterable[UUID]) -> Iterator[None]:
    """Inside the block, hide the rows of all other tenants from this thread's connection. Do nothing on SQLite.

    The session sends it before the next statement. So a thread that serves the same tenant again sends nothing.
    """
    with _seeing(",".join(str(tenant) for tenant in sorted(tenant_ids)) or str(NOBODY)):
        yield


@contextmanager
def own_account() -> Iterator[None]:
    """Inside the block, suspend the limit of `only_tenants`, so that an act on an account can write the provider's log.

    An account without a role has its entries in that log. The caller must already have checked that the actor is
    allowed to change the account.
    """
    with _seeing(""):
        yield


@contextmanager
def as_before() -> Iterator[None]:
    """After the block, hide what was hidden before it, if the block is inside a transaction of the caller.

    What a transaction itself has set ends with it.
    """
    yield
    if connection.vendor == "postgresql" and connection.in_atomic_block:
        connection.forget_tenants()  # type: ignore[attr-defined]  # our own


@contextmanager
def _seeing(tenants: str) -> Iterator[None]:
    if connection.vendor != "postgresql":
        yield
        return
    ours: Any = connection
    before, ours.tenants = ours.tenants, tenants
    try:
        yield
    finally:
        ours.tenants = before
