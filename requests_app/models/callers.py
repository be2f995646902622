"""Reads the callers of many calls of the API at once."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection

from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.models.integrations import Client, Token
from requests_app.models.people import Person, actor_of_token, find_tokens
from requests_app.platform.database.prepared import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A token with its account and its actor, read at `at`. The actor has no id of a call and no address.

    Several threads can have the same token, so nobody changes it. `used_at` is when it was last used.
    """

    token: Token
    actor: Actor
    at: datetime
    used_at: datetime | None

    @property
    def is_live(self) -> bool:
        """Whether the token works: it is neither revoked nor expired, and its account is switched on."""
        return self.token.account.is_active and self.token.is_live(self.at)


#: The ids and scopes are texts, because each row is a key of a cache. Python hashes a UUID many times slower.
_POSTGRESQL = Prepared("""
    SELECT secret_hash, token_id::text, token_kind, token_scopes, expires_at, revoked_at, stepped_up_at,
        account_id::text, account_kind, side, name, email, human_id::text, is_active, is_staff,
        client_id::text, tenant_id::text, client_scopes, decides_for_id::text, last_used_at, at
    FROM requests_callers(%b)
""")
#: It has the same columns, in the same order.
_SQLITE = """
    SELECT t.secret_hash, t.id, t.kind, t.scopes, t.expires_at, t.revoked_at, t.stepped_up_at,
        p.id, p.kind, p.side, p.name, p.email, p.human_id, p.is_active, p.is_staff,
        c.id, c.tenant_id, c.scopes, c.decides_for_id, t.last_used_at, NULL
    FROM requests_app_token t JOIN requests_app_person p ON p.id = t.account_id
    LEFT JOIN requests_app_client c ON c.account_id = p.id
    WHERE t.secret_hash IN (SELECT value FROM json_each(%s))
"""
_KIND, _DECIDES_FOR = 8, 18


def find_callers(hashes: Collection[str]) -> dict[str, Caller]:
    """Return the callers with these hashes of tokens, as far as they are known. One statement reads most of them.

    A second statement reads the tokens of persons, and of clients that decide for somebody, with everything that their
    roles depend on.
    """
    is_postgresql = connection.vendor == "postgresql"
    wanted = list(hashes)
    here = clock.here()
    with connection.cursor() as cursor:
        if is_postgresql:
            cursor.execute(_POSTGRESQL, [wanted])
        else:
            cursor.execute(_SQLITE, [json.dumps(wanted)])
        rows = cursor.fetchall()
    found, others = dict[str, Caller](), list[str]()
    for row in rows:
        *columns, used_at, at = row
        if columns[_KIND] != Person.Kind.CLIENT or columns[_DECIDES_FOR] is not None:
            others.append(columns[0])
        else:
            token, actor = _made(tuple(columns))
            read_at = here if at is None else clock.brought(at)
            found[columns[0]] = Caller(token=token, actor=actor, at=read_at, used_at=used_at and _utc(used_at))
    for token, token_at in find_tokens(others):
        used_at = token.last_used_at
        found[token.secret_hash] = Caller(token=token, actor=actor_of_token(token), at=token_at, used_at=used_at)
    return found


@lru_cache(maxsize=4096)
def _made(columns: tuple[Any, ...]) -> tuple[Token, Actor]:
    """Return the token and the actor of a client from these columns. They depend on nothing else.

    The columns are read for each call, so a change in the database is another key of this cache.
    """
    secret_hash, pk, kind, scopes, expires_at, revoked_at, stepped_up_at = columns[:7]
    account_id, account_kind, side, name, email, human_id, is_active, is_staff = columns[7:15]
    client_id, tenant_id, client_scopes, _ = columns[15:]
    account = Person(
        id=_uuid(account_id),
        kind=account_kind,
        side=side,
        name=name,
        email=email,
        human_id=_uuid(human_id),
        is_active=bool(is_active),
        is_staff=bool(is_staff),
    )
    Client(
        id=_uuid(client_id), account=account, tenant_id=tenant_id and _uuid(tenant_id), scopes=json.loads(client_scopes)
    )
    token = Token(
        id=_uuid(pk),
        kind=kind,
        account=account,
        scopes=json.loads(scopes),
        secret_hash=secret_hash,
        expires_at=_utc(expires_at),
        revoked_at=revoked_at and _utc(revoked_at),
        stepped_up_at=stepped_up_at and _utc(stepped_up_at),
    )
    return token, actor_of_token(token)


def _uuid(found: UUID | str) -> UUID:
    return found if isinstance(found, UUID) else UUID(found)


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
