"""Reads, for all calls and pages that wait in a process, what can wake or end them: one statement for each question."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.contrib.sessions.models import Session
from django.db.models import F, Model

from audit_app.models import ChainHead
from requests_app.domain import clock
from requests_app.models import Client, Grant, Person, Token

#: The fields of tokens, accounts and clients that decide nothing, or never change. Every other field counts, so that a
#: new one can't be forgotten.
UNRELATED = frozenset(
    {
        "account", "created_at", "created_by", "hint", "id", "language", "last_login", "last_used_at", "made_by",
        "name", "revoked_by", "secret_at", "secret_by", "secret_hash", "theme", "time_zone",
    }
)  # fmt: skip


def log_sizes(tenants: Collection[UUID]) -> dict[UUID, int]:
    """Return the number of entries in each of these logs. An empty log is left out."""
    if not tenants:
        return {}
    rows = ChainHead.objects.filter(pk__in=tenants).order_by()
    return dict(rows.values_list("pk", "size"))


def standings(tokens: Collection[UUID], *, at: datetime) -> dict[UUID, frozenset[Any]]:
    """Return, for each of these tokens that is live at this instant, everything that decides what its caller may do.

    Two equal values mean that nothing was taken away between the two reads, so no caller must judge again. It has the
    fields of the token, its account and its client, and the roles. What depends on more than that, such as a deputy's
    role, must be judged by itself.
    """
    if not tokens:
        return {}
    rows = Token.objects.live(at).filter(pk__in=tokens, account__is_active=True).order_by()
    return _grouped(rows.values_list("pk", *_columns_of_tokens()))


def standings_of_people(people: Collection[UUID]) -> dict[UUID, frozenset[Any]]:
    """Return the same for people who are signed in: the fields of each account, and the roles."""
    if not people:
        return {}
    rows = Person.objects.active().filter(pk__in=people).order_by()
    return _grouped(rows.values_list("pk", *_columns_of_people()))


def live_sessions(keys: Collection[str]) -> set[str]:
    """Return the keys of those of these sessions that have not ended."""
    if not keys:
        return set()
    rows = Session.objects.filter(session_key__in=keys, expire_date__gt=clock.here()).order_by()
    return set(rows.values_list("session_key", flat=True))


def live_windows(grants: Collection[UUID], *, at: datetime) -> set[UUID]:
    """Return those of these grants that are live at this instant."""
    if not grants:
        return set()
    rows = Grant.objects.live(at).filter(pk__in=grants).order_by()
    return set(rows.values_list("pk", flat=True))


def _grouped(rows: Iterable[Any]) -> dict[UUID, frozenset[Any]]:
    found: dict[UUID, set[Any]] = {}
    for pk, *columns in rows:
        found.setdefault(pk, set()).add(tuple(map(_hashable, columns)))
    return {pk: frozenset(rows) for pk, rows in found.items()}


_ROLES = "memberships__tenant_id", "memberships__role", "queue_assignments__service_id", "queue_assignments__role"


@cache
def _columns_of_tokens() -> list[Any]:
    client, roles = _fields(Client, "account__client__"), (F(f"account__{role}") for role in _ROLES)
    return [*_fields(Token, ""), *_fields(Person, "account__"), *client, *roles]


@cache
def _columns_of_people() -> list[Any]:
    return [*_fields(Person, ""), *(F(role) for role in _ROLES)]


def _fields(model: type[Model], prefix: str) -> list[str]:
    return [f"{prefix}{field.attname}" for field in model._meta.concrete_fields if field.name not in UNRELATED]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
