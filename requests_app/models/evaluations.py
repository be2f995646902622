"""Reads the facts for many questions to the decision point at once.

Of all windows of a pair, only those are read that can decide (`Found.facts`). So a question costs the same whether the
engineer has one window for the resource or thousands, open or closed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection

from audit_app import recorder
from audit_app.models import ChainHead
from requests_app.domain import clock, evaluation, levels
from requests_app.domain.actors import CLIENT_ROLES
from requests_app.domain.evaluation import Ended, Facts, Window
from requests_app.domain.scopes import Scope
from requests_app.domain.states import TICKET_LIVE
from requests_app.models.evaluation import EvaluationQuery, is_own_place
from requests_app.models.row_security import NOBODY
from requests_app.models.services import PRACTICE_LOCATOR
from requests_app.platform.database.prepared import Prepared

_CLIENT_ROLE = CLIENT_ROLES[Scope.EVALUATE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The facts for one question. `domain.evaluation.judge` gives the same answer as with all windows.

    `facts.windows` has the window that names the resource and ends last. If the rule refuses that one, it also has the
    one that the rule allows and that ends last. Without a window that names the resource, it has the window that ends
    last, and `ended` is the closed window that could explain a denial.
    """

    facts: Facts
    #: The head of the tenant's log, if it is locked in this transaction.
    head: ChainHead | None = None
    ended: Ended | None = None
    #: The tenant whose head somebody else has locked. Then nothing may be answered.
    blocked_log: UUID | None = None


def read_all(queries: Sequence[EvaluationQuery], *, hold: bool = False, waits: bool = True) -> list[Found]:
    """Return the facts for each query, in the same order.

    With `hold`, the heads of the logs are locked first, until the caller's transaction ends. Each act that ends a
    window locks the head of its log before it commits. So an access comes before or after it, and never meanwhile.
    Without `waits`, a head that somebody else has locked is left out.

    On PostgreSQL, the connection sees only the tenants of the questions until the transaction ends. The questions of
    customers and those of staff must be in different calls: the tenants that customers see bound what is read at all.
    """
    if len({query.within is None for query in queries}) > 1:
        raise ValueError("The questions of customers and those of staff are read apart.")
    if connection.vendor == "postgresql":
        return _in_one_call(queries, hold=hold, waits=waits)
    return _one_by_one(queries, hold=hold)


# --- PostgreSQL ----------------------------------------------------------------------------------------------

_ASK = Prepared("SELECT * FROM requests_evaluations(%s::jsonb, %s, %s, %s, %s, %s)")
_LIVE = sorted(map(str, TICKET_LIVE))
#: The levels that allow each action.
_LEVELS = {action: levels.covering(needed) for action, needed in levels.NEEDED.items()}


def _in_one_call(queries: Sequence[EvaluationQuery], *, hold: bool, waits: bool) -> list[Found]:
    asked = json.dumps([_asked(n, query) for n, query in enumerate(queries, 1)])
    seen = {str(pk) for query in queries for pk in query.within or ()}
    # An empty text would mean that the connection sees all tenants.
    sees = "" if queries[0].within is None else ",".join(sorted(seen)) or str(NOBODY)
    with connection.cursor() as cursor:
        cursor.execute(_ASK, [asked, Scope.EVALUATE, _LIVE, sees, hold, waits])
        rows = cursor.fetchall()
    found: list[Found | None] = [None] * len(queries)
    for row in rows:
        place = row[0] - 1
        before = found[place]
        if before is None:
            found[place] = _found(row, queries[place], hold=hold)
        else:
            before.facts.windows.append(_window(row[_WINDOW:_ENDED]))
    assert None not in found
    return found  # type: ignore[return-value]  # checked in the line above


def _asked(n: int, query: EvaluationQuery) -> dict[str, Any]:
    (by_id, by_email), (by_key, by_place), (tenant, slug) = query.subject, query.resource, query.tenant
    return {
        "n": n,
        "asker": str(query.asker),
        "token": query.token and str(query.token),
        "within": None if query.within is None else [str(pk) for pk in query.within],
        "by_id": by_id and str(by_id),
        "by_email": by_email,
        "service": query.question.service,
        "by_key": by_key and str(by_key),
        "by_place": by_place,
        "of_tenant": tenant and str(tenant),
        "of_slug": slug,
        "levels": _LEVELS.get(query.question.action, []),
        "sole": query.sole and str(query.sole),
        "log": query.log and str(query.log),
    }


#: Where the columns about the head, the window and the closed window begin.
_HEAD, _WINDOW, _ENDED = 17, 21, 31


def _found(row: Sequence[Any], query: EvaluationQuery, *, hold: bool) -> Found:
    _, at, is_active, is_staff, token_until, has_scope, roles, is_client_here = row[:8]
    person, name, human, tenant, slug, resource, called, locator, in_use = row[8:_HEAD]
    is_held, size, last_at, unsigned_since = row[_HEAD:_WINDOW]
    instant = clock.brought(at) if last_at is None else max(clock.brought(at), last_at)
    facts = Facts(
        at=instant,
        asker_is_active=is_active and (query.token is None or (token_until is not None and instant < token_until)),
        asker_is_staff=is_staff,
        asker_has_scope=has_scope,
        asker_roles=_roles(roles, is_client_here=is_client_here),
        person_id=person,
        person_name=name or "",
        human_id=human,
        tenant_id=tenant,
        needs_tenant=query.needs_tenant,
        resource_id=resource,
        resource_name=called or "",
        is_active=bool(in_use),
        is_own_place=is_own_place(slug, locator),
        is_practice=locator == PRACTICE_LOCATOR,
        windows=[] if row[_WINDOW] is None else [_window(row[_WINDOW:_ENDED])],
    )
    log = query.log or tenant
    head = recorder.head_of(log, size, last_at, unsigned_since) if is_held else None
    ended = None if row[_ENDED] is None else Ended(**dict(zip(_OF_ENDED, row[_ENDED:], strict=True)))
    return Found(facts=facts, head=head, ended=ended, blocked_log=log if hold and head is None else None)


_OF_ENDED = ("grant_id", "access_request_id", "closed_at", "close_reason", "closed_by")


def _roles(text: str | None, *, is_client_here: bool) -> frozenset[str]:
    held = frozenset(text.split()) if text else frozenset()
    return held | {_CLIENT_ROLE} if is_client_here else held


def _window(columns: Iterable[Any]) -> Window:
    grant, request, reference, level, opens_at, closes_at, human, ticket, is_engineer, is_in_scope = columns
    return Window(
        grant_id=grant,
        access_request_id=request,
        reference=reference,
        level=level,
        opens_at=opens_at,
        closes_at=closes_at,
        requester_human=human,
        ticket_state=ticket,
        is_engineer=bool(is_engineer),
        is_in_scope=bool(is_in_scope),
    )


# --- SQLite --------------------------------------------------------------------------------------------------

#: Everything but the windows. The order of the joins is the order in which the rows are found.
_FACTS = """
    SELECT a.is_active, a.is_staff, c.id, c.tenant_id, c.scopes, own.expires_at, own.scopes,
        (SELECT group_concat(m.role, ' ') FROM requests_app_membership m
         WHERE m.person_id = a.id AND m.tenant_id = r.tenant_id),
        p.id, p.name, p.human_id, p.is_active AND p.side = 'provider',
        (SELECT count(*) FROM requests_app_person other WHERE other.human_id = p.human_id),
        r.tenant_id, t.slug, r.id, r.name, r.locator, r.is_active AND s.is_active AND t.is_active,
        t.ruled_out, t.is_act_as_allowed
    FROM (
        SELECT %s AS asker, %s AS token, %s AS by_id, %s AS by_email, %s AS by_key, %s AS by_place, %s AS of_any,
            (SELECT s.id FROM requests_app_service s WHERE s.key = %s) AS service,
            coalesce(%s, (SELECT t.id FROM requests_app_tenant t WHERE t.slug = %s)) AS tenant
    ) AS q
    LEFT JOIN requests_app_person a ON a.id = q.asker
    LEFT JOIN requests_app_client c ON c.account_id = a.id
    LEFT JOIN requests_app_token own ON own.id = q.token AND own.account_id = a.id AND own.revoked_at IS NULL
    LEFT JOIN requests_app_person p ON p.id = coalesce(
        q.by_id, (SELECT named.id FROM requests_app_person named WHERE named.email = q.by_email))
    LEFT JOIN requests_app_resource r ON r.id = coalesce(
        (SELECT keyed.id FROM requests_app_resource keyed WHERE keyed.id = q.by_key AND keyed.service_id = q.service
         AND (q.of_any OR keyed.tenant_id = q.tenant)),
        (SELECT placed.id FROM (
            SELECT called.id, min(called.way), count(*) AS number, sum(called.way = 0) AS locators,
                sum(called.way = 1) AS keys
            FROM (
                SELECT x.id, CASE WHEN x.locator = q.by_place THEN 0 WHEN x.external_id = q.by_place THEN 1 ELSE 2 END
                    AS way
                FROM requests_app_resource x
                WHERE q.by_place <> '' AND x.tenant_id = q.tenant AND x.service_id = q.service
                AND (x.locator = q.by_place OR x.external_id = q.by_place OR x.name = q.by_place)
            ) AS called
        ) AS placed WHERE placed.number = 1 OR (placed.locators = 1 AND placed.keys = 0))
    )
    LEFT JOIN requests_app_service s ON s.id = r.service_id
    LEFT JOIN requests_app_tenant t ON t.id = r.tenant_id
"""
#: CROSS JOIN makes SQLite read the tables in this order. So it reads the windows in the order of their ends, and only
#: as many as are fetched.
_WINDOWS = """
    SELECT g.id, q.id, q.reference, g.level, g.opens_at, g.closes_at, q.requester_human,
        (SELECT k.state FROM requests_app_ticket k WHERE k.id = q.ticket_id),
        EXISTS (SELECT 1 FROM requests_app_queueassignment hat
                WHERE hat.person_id = %s AND hat.service_id = q.service_id AND hat.role = 'engineer'),
        {is_named}
    FROM requests_app_grant g INDEXED BY grant_open_by_end CROSS JOIN {line} requests_app_accessrequest q
    WHERE g.tenant_id = %s AND g.engineer_id {account} AND g.closed_at IS NULL AND (%s IS NULL OR g.id = %s) {named}
    AND q.id = g.access_request_id
    ORDER BY g.closes_at DESC
"""
_NAMED = "AND line.access_request_id = g.access_request_id AND line.resource_id = %s"
_CLOSED = """
    SELECT g.id, g.access_request_id, g.closed_at, g.close_reason,
        coalesce((SELECT who.name FROM requests_app_person who WHERE who.id = g.closed_by_id), '')
    FROM {walk}
    WHERE g.tenant_id = %s AND g.engineer_id {account} AND g.closed_at IS NOT NULL
    AND line.access_request_id = g.access_request_id AND line.resource_id = %s
    AND g.level IN ({levels})
    ORDER BY g.closed_at DESC
"""
#: Through the access requests of the resource if these are few, or else through the closed windows, the last one first.
_FEW = 100
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM requests_app_accessrequestresource WHERE resource_id = %s LIMIT %s)"
_LINES_FIRST = "requests_app_accessrequestresource line CROSS JOIN requests_app_grant g"
_WINDOWS_FIRST = (
    "requests_app_grant g INDEXED BY grant_closed_by_end CROSS JOIN requests_app_accessrequestresource line"
)
#: Nearly every human has one account. Then SQLite need not sort.
_ONE_ACCOUNT, _ACCOUNTS = "= %s", "IN (SELECT own.id FROM requests_app_person own WHERE own.human_id = %s)"


def _one_by_one(queries: Sequence[EvaluationQuery], *, hold: bool) -> list[Found]:
    """Read with two or three small statements for each question, because SQLite runs in this process.

    All use one cursor: Django needs as long to make one as SQLite needs for a statement.
    """
    with connection.cursor() as cursor:
        rows = [_Row(query, cursor) for query in queries]
        logs = {log for row in rows if (log := row.log) is not None} if hold else set()
        heads = recorder.claim(logs)[0] if logs else {}
        return [row.found(None if row.log is None else heads.get(row.log)) for row in rows]


class _Row:
    """The rows of SQLite for one question. SQLite has texts in the place of ids and instants."""

    def __init__(self, query: EvaluationQuery, cursor: Any) -> None:
        self.query, self._cursor = query, cursor
        (by_id, by_email), (by_key, by_place), (tenant, slug) = query.subject, query.resource, query.tenant
        who = [query.asker.hex, query.token and query.token.hex, by_id and by_id.hex, by_email]
        what = [by_key and by_key.hex, by_place, not tenant and slug is None, query.question.service]
        [row] = self._rows(_FACTS, [*who, *what, tenant and tenant.hex, slug])
        self.asker, self.person, self.resource = row[:8], row[8:13], row[13:19]
        self.ruled_out, self.is_act_as_allowed = row[19:]
        tenant_id = _id(row[13])
        if tenant_id is not None and query.within is not None and tenant_id not in query.within:
            self.resource, tenant_id = (None,) * 6, None
        self.tenant = tenant_id

    @property
    def log(self) -> UUID | None:
        return self.query.log or self.tenant

    def found(self, head: ChainHead | None) -> Found:
        at = clock.now() if head is None or head.last_at is None else max(clock.now(), head.last_at)
        facts = self._facts(at)
        if facts.resource_id is None or facts.human_id is None:
            return Found(facts=facts, head=head)
        facts.windows.extend(self._deciding(facts))
        if any(window.is_in_scope for window in facts.windows):
            return Found(facts=facts, head=head)
        return Found(facts=facts, head=head, ended=self._ended())

    def _facts(self, at: datetime) -> Facts:
        is_active, is_staff, client, client_tenant, client_scopes, token_until, token_scopes, roles = self.asker
        person, name, human, _, _ = self.person
        tenant, slug, resource, called, locator, in_use = self.resource
        scopes = [each for each in (token_scopes, client_scopes) if each is not None]
        is_live = self.query.token is None or (token_until is not None and at < _instant(token_until))
        is_client_here = client is not None and client_tenant is not None and client_tenant == tenant
        return Facts(
            at=at,
            asker_is_active=bool(is_active) and is_live,
            asker_is_staff=bool(is_staff) or (client is not None and client_tenant is None),
            asker_has_scope=all(Scope.EVALUATE in _listed(each) for each in scopes),
            asker_roles=_roles(roles if tenant else None, is_client_here=is_client_here),
            person_id=_id(person),
            person_name=name or "",
            human_id=_id(human),
            tenant_id=self.tenant,
            needs_tenant=self.query.needs_tenant,
            resource_id=_id(resource),
            resource_name=called or "",
            is_active=bool(in_use),
            is_own_place=resource is not None and is_own_place(slug, locator),
            is_practice=locator == PRACTICE_LOCATOR,
        )

    def _deciding(self, facts: Facts) -> Iterator[Window]:
        """Yield the windows that can decide. The rule itself says where the walk ends."""
        first: Window | None = None
        for window in self._windows(is_named=True):
            fits = evaluation.allows(self.query.question, facts, window, at=facts.at)
            if first is None or fits:
                yield window
            if fits:
                return
            first = first or window
        if first is None:
            yield from islice(self._windows(is_named=False), 1)

    def _windows(self, *, is_named: bool) -> Iterator[Window]:
        account, whose = self._account
        person, _, _, is_provider, _ = self.person
        named = {"line": "requests_app_accessrequestresource line CROSS JOIN", "named": _NAMED, "is_named": 1}
        text = _WINDOWS.format(account=account, **(named if is_named else {"line": "", "named": "", "is_named": 0}))
        resource = [self.resource[2]] if is_named else []
        sole = self.query.sole and self.query.sole.hex
        for row in self._rows(text, [person, self.resource[0], whose, sole, sole, *resource]):
            if self._allows(row[3]):
                yield _window(
                    [
                        *map(_id, row[:2]),
                        *row[2:4],
                        *map(_instant, row[4:6]),
                        _id(row[6]),
                        row[7],
                        is_provider and row[8],
                        row[9],
                    ]
                )

    def _allows(self, level: str) -> bool:
        """Return what `Tenant.allows` returns, from the columns of the same row."""
        if level in levels.CHANGING and not self.is_act_as_allowed:
            return False
        return level not in self.ruled_out.split()

    @property
    def _account(self) -> tuple[str, str]:
        person, _, human, _, accounts = self.person
        return (_ONE_ACCOUNT, person) if accounts == 1 else (_ACCOUNTS, human)

    def _ended(self) -> Ended | None:
        needed = levels.NEEDED.get(self.query.question.action)
        if needed is None:
            return None
        wide_enough = levels.covering(needed)
        account, whose = self._account
        [(lines,)] = self._rows(_COUNT, [self.resource[2], _FEW + 1])
        walk = _LINES_FIRST if lines <= _FEW else _WINDOWS_FIRST
        text = _CLOSED.format(walk=walk, account=account, levels=", ".join(["%s"] * len(wide_enough)))
        for grant, request, closed_at, reason, name in self._rows(
            text, [self.resource[0], whose, self.resource[2], *wide_enough]
        ):
            return Ended(
                grant_id=UUID(grant),
                access_request_id=UUID(request),
                closed_at=_instant(closed_at),
                close_reason=reason,
                closed_by=name,
            )
        return None

    def _rows(self, text: str, values: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Yield the rows of a statement one by one: SQLite finds a row only when it is fetched.

        The next statement ends it.
        """
        self._cursor.execute(text, values)
        while (row := self._cursor.fetchone()) is not None:
            yield row


@lru_cache(maxsize=10_000)
def _id(text: str | None) -> UUID | None:
    return UUID(text) if text else None


@lru_cache(maxsize=1_000)
def _listed(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))


def _instant(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)
