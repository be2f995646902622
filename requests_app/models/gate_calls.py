"""Reads who asks at the gates of web tools, and with which window, for many requests at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.crypto import constant_time_compare

from requests_app.models.people import Person
from requests_app.platform.database.prepared import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class GateQuery:
    """What a request brings. `proxy` and `session` are the hashes of secrets.

    Without a proxy, `service` names the tool. `person` and `grant` are what a token has proved, if there is one.
    """

    proxy: str | None = None
    service: UUID | None = None
    session: str | None = None
    person: UUID | None = None
    grant: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A web tool, with the fields of its service."""

    pk: UUID
    key: str
    name: str
    application: str
    link_template: str
    gate_rules: str
    gate_upstream: str
    gate_identity: bool
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GateWindow:
    """A window of an engineer in a web tool. Whether it is open is judged at each request.

    `resources` has the keys and the external ids of its resources in the tool, in the order of the keys.
    """

    pk: UUID
    tenant_id: UUID
    tenant_slug: str
    level: str
    access_request_id: UUID
    reference: str
    person_id: UUID
    person_name: str
    human_id: UUID
    email: str
    resources: tuple[tuple[UUID, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """Who asks with one request, at which tool, and with which window. An unknown part has no value.

    `asker_id` is the engineer of a session or of a token. `window` is the asker's window, if it is one of this tool.
    """

    tool: Tool | None
    proxy_id: UUID | None
    proxy_asked_at: datetime | None
    asker_id: UUID | None
    window: GateWindow | None


def read_gate_calls(queries: Sequence[GateQuery]) -> list[GateFacts]:
    """Return the facts of each query, in the same order. One statement reads all of them."""
    is_postgresql = connection.vendor == "postgresql"
    written = str if is_postgresql else _hex
    asked = json.dumps([_asked(n, query, written) for n, query in enumerate(queries)])
    with connection.cursor() as cursor:
        cursor.execute(_POSTGRESQL if is_postgresql else _SQLITE, [asked])
        rows = cursor.fetchall()
    found = {row[0]: _facts(row, queries[row[0]]) for row in rows}
    return [found[n] for n in range(len(queries))]


_POSTGRESQL = Prepared("SELECT * FROM requests_gate_calls(%s::jsonb)")
#: It has the columns of the function, in the same order.
_SQLITE = """
    SELECT q.n, x.id, x.asked_at,
        s.id, s.key, s.name, s.application, s.link_template, s.gate_rules, s.gate_upstream, s.gate_identity,
        s.is_active,
        c.id, w.id, e.grant_id, e.signed_in, w.password, w.session_epoch,
        g.id, g.tenant_id, t.slug, g.level, r.id, r.reference, p.id, p.name, p.human_id, p.email,
        (SELECT json_group_array(json_array(o.id, o.external_id))
         FROM requests_app_accessrequestresource line JOIN requests_app_resource o ON o.id = line.resource_id
         WHERE line.access_request_id = r.id AND o.tenant_id = g.tenant_id AND o.service_id = s.id)
    FROM (
        SELECT json_extract(value, '$.n') AS n, json_extract(value, '$.proxy') AS proxy,
            json_extract(value, '$.service') AS service, json_extract(value, '$.session') AS session,
            json_extract(value, '$.person') AS person, json_extract(value, '$.held') AS held
        FROM json_each(%s)
    ) AS q
    LEFT JOIN requests_app_gateproxy x ON x.secret_hash = q.proxy AND x.removed_at IS NULL
    LEFT JOIN requests_app_service s ON s.id = coalesce(x.service_id, q.service)
    LEFT JOIN requests_app_gatesession e ON e.secret_hash = q.session
    LEFT JOIN requests_app_onetimecode c ON c.id = e.code_id AND c.ended_at IS NULL AND c.service_id = s.id
    LEFT JOIN requests_app_person w ON w.id = e.person_id AND c.id IS NOT NULL
    LEFT JOIN requests_app_grant g ON g.id = CASE WHEN w.id IS NULL THEN q.held ELSE e.grant_id END
        AND g.engineer_id = coalesce(w.id, q.person)
        AND (SELECT own.service_id FROM requests_app_accessrequest own WHERE own.id = g.access_request_id) = s.id
    LEFT JOIN requests_app_accessrequest r ON r.id = g.access_request_id
    LEFT JOIN requests_app_tenant t ON t.id = g.tenant_id
    LEFT JOIN requests_app_person p ON p.id = g.engineer_id
"""
#: Where the columns about the tool, the session and the window begin.
_TOOL, _SESSION, _WINDOW = 3, 12, 18


def _hex(key: UUID) -> str:
    return key.hex


def _asked(n: int, query: GateQuery, written: Any) -> dict[str, Any]:
    keys = {"service": query.service, "person": query.person, "held": query.grant}
    found = {name: None if key is None else written(key) for name, key in keys.items()}
    return {"n": n, "proxy": query.proxy, "session": query.session, **found}


def _facts(row: Sequence[Any], query: GateQuery) -> GateFacts:
    code, asker, _grant, signed_in, password, epoch = row[_SESSION:_WINDOW]
    if query.session is not None:
        asker_id = _uuid(asker) if code is not None and _is_signed_in(signed_in, password, epoch) else None
    else:
        asker_id = query.person
    return GateFacts(
        tool=None if row[_TOOL] is None else _tool(tuple(row[_TOOL:_SESSION])),
        proxy_id=None if row[1] is None else _uuid(row[1]),
        proxy_asked_at=row[2] and _utc(row[2]),
        asker_id=asker_id,
        window=None if asker_id is None or row[_WINDOW] is None else _window(tuple(row[_WINDOW:])),
    )


def _is_signed_in(signed_in: str, password: str, session_epoch: int) -> bool:
    """Return whether all sessions of the person have not ended since this one began."""
    person = Person.new(password=password, session_epoch=session_epoch)
    return constant_time_compare(signed_in, person.get_session_auth_hash())


@lru_cache(maxsize=256)
def _tool(columns: tuple[Any, ...]) -> Tool:
    """Return the tool of these columns. They are read for each request, so a change is another key of this cache."""
    pk, key, name, application, link_template, gate_rules, gate_upstream, gate_identity, is_active = columns
    return Tool(
        pk=_uuid(pk),
        key=key,
        name=name,
        application=application,
        link_template=link_template,
        gate_rules=gate_rules,
        gate_upstream=gate_upstream,
        gate_identity=bool(gate_identity),
        is_active=bool(is_active),
    )


@lru_cache(maxsize=4096)
def _window(columns: tuple[Any, ...]) -> GateWindow:
    """Return the window of these columns, as `_tool` does."""
    pk, tenant, slug, level, request, reference, person, name, human, email, resources = columns
    return GateWindow(
        pk=_uuid(pk),
        tenant_id=_uuid(tenant),
        tenant_slug=slug,
        level=level,
        access_request_id=_uuid(request),
        reference=reference,
        person_id=_uuid(person),
        person_name=name,
        human_id=_uuid(human),
        email=email,
        resources=tuple(sorted((_uuid(key), external_id) for key, external_id in json.loads(resources or "[]"))),
    )


def _uuid(found: UUID | str) -> UUID:
    return found if isinstance(found, UUID) else UUID(found)


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
