"""Reads, for all callers that wait in a process, what can wake or end their calls: one statement for each question."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import F, Model

from audit_app.models import ChainHead
from requests_app.domain import clock
from requests_app.models import Client, Person, Token

#: The fields that change with every use, and decide nothing.
_UNRELATED = frozenset({"last_used_at", "last_login"})


def log_sizes(tenants: Collection[UUID]) -> dict[UUID, int]:
    """Return the number of entries in each of these logs. An empty log is left out."""
    rows = ChainHead.objects.filter(pk__in=tenants).order_by()
    return dict(rows.values_list("pk", "size"))


def standings(tokens: Collection[UUID]) -> dict[UUID, frozenset[Any]]:
    """Return, for each of these tokens that is live, everything that decides what its caller may do.

    Two equal values mean that nothing was taken away between the two reads, so nobody need judge again. It has all
    fields of the token, its account and its client, and the roles. What depends on more than that, such as a deputy's
    role, must be judged by itself.
    """
    rows = Token.objects.live(clock.column()).filter(pk__in=tokens, account__is_active=True).order_by()
    found: dict[UUID, set[Any]] = {}
    for token, *columns in rows.values_list("pk", *_columns()):
        found.setdefault(token, set()).add(tuple(map(_hashable, columns)))
    return {token: frozenset(rows) for token, rows in found.items()}


@cache
def _columns() -> list[Any]:
    roles = ("memberships__tenant_id", "memberships__role", "queue_assignments__service_id", "queue_assignments__role")
    return [
        *_fields(Token, ""),
        *_fields(Person, "account__"),
        *_fields(Client, "account__client__"),
        *(F(f"account__{role}") for role in roles),
    ]


def _fields(model: type[Model], prefix: str) -> list[str]:
    return [f"{prefix}{field.attname}" for field in model._meta.concrete_fields if field.name not in _UNRELATED]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
