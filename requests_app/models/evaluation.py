"""Reads from the database what the decision point needs to answer a question. All facts are from one instant.

This module does not decide the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, UUIDField, When

from audit_app import recorder
from audit_app.models import ChainHead
from requests_app.domain import clock, levels, policy
from requests_app.domain.actors import CLIENT_ROLES, Actor
from requests_app.domain.errors import InsufficientScope, NotAllowed
from requests_app.domain.evaluation import Ended, Facts, Question, Window
from requests_app.domain.ids import as_id
from requests_app.domain.scopes import Scope
from requests_app.models.access import AccessRequestResource, Grant
from requests_app.models.integrations import Client, Token
from requests_app.models.people import Membership, Person, QueueAssignment, with_id
from requests_app.models.services import PRACTICE_LOCATOR, Resource, is_under
from requests_app.platform.database.compiled import CompiledQuery


@dataclass(frozen=True)
class EvaluationQuery:
    """A question to the decision point, with its asker.

    `within` has the tenants that the asker can see; None means all tenants. If only one window counts, `sole` names it.
    `log` names the tenant in whose log the answer is recorded, whether a resource is found or not.
    """

    question: Question
    asker: UUID
    within: frozenset[UUID] | None
    token: UUID | None = None
    sole: UUID | None = None
    log: UUID | None = None

    @property
    def subject(self) -> tuple[UUID | None, str | None]:
        """The id of the person whom the question is about. If no id was given, the second value is the address."""
        key = as_id(self.question.subject)
        return key, None if key else self.question.subject.lower()

    @property
    def resource(self) -> tuple[UUID | None, str]:
        """The id of the resource that the question is about, and the same text as a name.

        The text can have the form of an id, and yet be the id of the resource in another application. Without a tenant,
        the text is empty, because only our own id then names a resource. Otherwise an object that staff registered for
        a wrong tenant would be opened with the approval of that tenant, and nobody would ask its owner.
        """
        return as_id(self.question.resource), self.question.resource if self.names_tenant else ""

    @property
    def names_tenant(self) -> bool:
        """Whether the question names a tenant, or the asker can see only one tenant."""
        return self.tenant != (None, None)

    @property
    def needs_tenant(self) -> bool:
        """Whether no resource can be found, because the question has neither a tenant nor our id of the resource."""
        return not self.names_tenant and self.resource[0] is None

    @property
    def tenant(self) -> tuple[UUID | None, str | None]:
        """The id of the tenant that the question names. Without an id, the second value is the tenant's short name.

        If the question names no tenant, this is the only tenant that the asker can see. If the asker can see several,
        both values are empty.
        """
        if not self.question.tenant:
            return next(iter(self.within)) if self.within and len(self.within) == 1 else None, None
        key = as_id(self.question.tenant)
        return key, None if key else self.question.tenant


def ask(question: Question, *, actor: Actor) -> EvaluationQuery:
    """Return the query for a question of this actor. Raise NotAllowed if the actor can't ask about other people."""
    policy.require_asker(actor)
    within = None if policy.is_staff(actor) else policy.tenants_read(actor)
    return EvaluationQuery(question, actor.person, within, actor.token_id)


def read(query: EvaluationQuery, *, hold: bool) -> tuple[Facts, ChainHead | None]:
    """Read the facts for a query. Return them with the log's head, or with None if the database did not return it.

    With `hold`, the rows are locked before they are read: first the grants, then the tenant's log. This is for an
    access that is recorded in the same transaction.
    """
    if connection.vendor == "postgresql":
        return _in_one_call(query, hold=hold)
    return row_by_row(query, hold=hold), None


def require_still(facts: Facts, *, actor: Actor) -> None:
    """Raise NotAllowed or InsufficientScope unless the asker can still ask this question.

    The asker may have lost the account, the token, the scope or the role after the HTTP request began.
    """
    if not facts.asker_is_active or (policy.is_staff(actor) and not facts.asker_is_staff):
        raise NotAllowed
    if not facts.asker_has_scope:
        raise InsufficientScope(Scope.EVALUATE)
    if facts.tenant_id is not None and not policy.is_staff(actor) and not facts.asker_roles & policy.LOG_READERS:
        raise NotAllowed


def last_ended(question: Question, facts: Facts) -> Ended | None:
    """Return the window that closed last among those that would have allowed this access, or None.

    Only a denial needs this, to say when and why the access ended.
    """
    if facts.human_id is None or facts.tenant_id is None or facts.resource_id is None:
        return None
    last_closed = _LAST_CLOSED[levels.NEEDED[question.action]]
    grants = last_closed(tenant=facts.tenant_id, human=facts.human_id, resource=facts.resource_id)
    if not grants:
        return None
    [grant] = grants
    return Ended(
        grant_id=grant.pk,
        access_request_id=grant.access_request_id,
        closed_at=grant.closed_at,
        close_reason=grant.close_reason,
        closed_by=grant.closed_by.name if grant.closed_by else "",
    )


def _last_closed(needed: levels.Level) -> CompiledQuery:
    """Return a compiled query for the window that closed last, among those that allowed what needs this level."""
    wide_enough = levels.covering(needed)

    def make(tenant: Any, human: Any, resource: Any) -> QuerySet[Grant]:
        scope = {"engineer__human_id": human, "access_request__scope__resource": resource}
        grants = Grant.objects.filter(tenant=tenant, level__in=wide_enough, **scope).exclude(closed_at=None)
        return grants.select_related("closed_by").order_by("-closed_at")[:1]

    return CompiledQuery(make, tenant=UUIDField(), human=UUIDField(), resource=UUIDField())


_LAST_CLOSED = {level: _last_closed(level) for level in levels.Level}
_ASK = f"SELECT * FROM requests_evaluation({', '.join(['%s'] * 12)})"  # noqa: S608 - placeholders alone
#: The columns before these belong to the asker, to the question, and to the head of the log.
_ASKER, _HEAD, _WINDOW = 7, 16, 19
#: The role that a customer's client has for questions.
_CLIENT_ROLE = CLIENT_ROLES[Scope.EVALUATE]


def _in_one_call(query: EvaluationQuery, *, hold: bool) -> tuple[Facts, ChainHead | None]:
    within = None if query.within is None else sorted(query.within)
    names = [*query.subject, query.question.service, *query.resource, *query.tenant]
    # Only the database knows which log it will lock. But the same question always locks the same log, so the wait is
    # counted under the question.
    about = ("evaluation", query.question.service, query.question.tenant or query.question.resource)
    waits = connection.awaiting(*about) if hold else nullcontext()  # type: ignore[attr-defined]  # our own backends
    with connection.cursor() as cursor, waits:
        cursor.execute(_ASK, [query.asker, query.token, Scope.EVALUATE, within, *names, hold])
        rows = cursor.fetchall()
    at, is_active, is_staff, token_until, has_scope, roles, is_client_here = rows[0][:_ASKER]
    person, name, human, tenant, slug, resource, called, locator, in_use = rows[0][_ASKER:_HEAD]
    size, last_at, unsigned_since = rows[0][_HEAD:_WINDOW]
    instant = clock.brought(at) if last_at is None else max(clock.brought(at), last_at)
    facts = Facts(
        at=instant,
        asker_is_active=is_active and _is_live(query, token_until, instant),
        asker_is_staff=is_staff,
        asker_has_scope=has_scope,
        asker_roles=frozenset(roles or ()) | ({_CLIENT_ROLE} if is_client_here else set()),
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
        windows=[_window(row[_WINDOW:]) for row in rows if row[_WINDOW] is not None],
    )
    if size is None:
        return facts, None
    return facts, ChainHead(tenant_id=tenant, size=size, last_at=last_at, unsigned_since=unsigned_since)


def is_own_place(slug: str | None, locator: str | None) -> bool:
    """Return whether the resource belongs to its tenant.

    A resource of an external service has no locator that could lead to another tenant's content. Its application knows
    only its id.
    """
    return locator == "" or is_under(slug or "", locator or "")


def _is_live(query: EvaluationQuery, token_until: datetime | None, at: datetime) -> bool:
    """Return whether the asker's token is neither revoked nor expired. An asker without a token counts as live."""
    return query.token is None or (token_until is not None and at < token_until)


def _window(columns: Iterable[Any]) -> Window:
    grant, query, reference, level, opens_at, closes_at, human, ticket, is_engineer, is_in_scope = columns
    return Window(
        grant_id=grant,
        access_request_id=query,
        reference=reference,
        level=level,
        opens_at=opens_at,
        closes_at=closes_at,
        requester_human=human,
        ticket_state=ticket,
        is_engineer=bool(is_engineer),
        is_in_scope=bool(is_in_scope),
    )


def row_by_row(query: EvaluationQuery, *, hold: bool = False) -> Facts:
    """Read the same facts as `_in_one_call` with the models, for a database without stored functions.

    No row is locked here: in SQLite, the transaction itself has the only write lock.
    """
    asker = next(iter(_READ_ASKER(pk=query.asker)), None)
    client: Client | None = getattr(asker, "client", None)
    tokens = Token.objects.filter(account=query.asker, revoked_at=None)
    token = tokens.filter(pk=query.token).first() if query.token else None
    key, email = query.subject
    person = with_id(key) if key else Person.objects.get_queryset().filter(email=email).first()
    resource = _resource(query)
    last_at = recorder.lock(resource.tenant_id) if hold and resource else None
    at = clock.now() if last_at is None else max(clock.now(), last_at)
    is_client_here = client is not None and resource is not None and client.tenant_id == resource.tenant_id
    scopes = [each.scopes for each in (token, client) if each is not None]
    return Facts(
        at=at,
        asker_is_active=asker is not None
        and asker.is_active
        and _is_live(query, token.expires_at if token else None, at),
        asker_is_staff=(asker is not None and asker.is_staff) or (client is not None and client.tenant_id is None),
        asker_has_scope=all(Scope.EVALUATE in each for each in scopes),
        asker_roles=_roles(query, resource) | ({_CLIENT_ROLE} if is_client_here else set()),
        person_id=person.pk if person else None,
        person_name=person.name if person else "",
        human_id=person.human_id if person else None,
        tenant_id=resource.tenant_id if resource else None,
        needs_tenant=query.needs_tenant,
        resource_id=resource.pk if resource else None,
        resource_name=resource.name if resource else "",
        is_active=resource is not None and resource.is_in_use,
        is_own_place=resource is not None and is_own_place(resource.tenant.slug, resource.locator),
        is_practice=resource is not None and resource.is_practice,
        windows=_windows(person, resource) if person and resource else [],
    )


def _roles(query: EvaluationQuery, resource: Resource | None) -> frozenset[str]:
    if query.within is None or resource is None:
        return frozenset()
    memberships = Membership.objects.filter(person=query.asker, tenant=resource.tenant_id)
    return frozenset(memberships.values_list("role", flat=True))


def _resource(query: EvaluationQuery) -> Resource | None:
    rows = Resource.objects.filter(service__key=query.question.service).select_related("tenant", "service")
    if query.within is not None:
        rows = rows.filter(tenant__in=query.within)
    tenant, slug = query.tenant
    if tenant or slug:
        rows = rows.filter(Q(tenant=tenant) if tenant else Q(tenant__slug=slug))
    key, text = query.resource
    one = rows.filter(pk=key).first() if key else None
    return _called(rows, text) if one is None and text else one


def _called(rows: QuerySet[Resource], text: str) -> Resource | None:
    """Return the resource of one tenant that has this locator, external id or name.

    If the text could mean two resources, return None: a name that staff gave to one of them must not lead to the other.
    Only a locator is stronger than another resource's name.
    """
    way = Case(When(locator=text, then=0), When(external_id=text, then=1), default=2)
    rows = rows.filter(Q(locator=text) | Q(external_id=text) | Q(name=text)).annotate(way=way)
    found = list(rows.order_by("way")[:2])
    if len(found) == 1 or [each.way for each in found] == [0, 2]:
        return found[0]
    return None


def _asker(pk: Any) -> QuerySet[Person]:
    return Person.objects.get_queryset().select_related("client").filter(pk=pk)


def _grants(tenant: Any, human: Any, person: Any, resource: Any) -> QuerySet[Grant]:
    hats = QueueAssignment.objects.filter(person=person, service=OuterRef("access_request__service"), role="engineer")
    lines = AccessRequestResource.objects.filter(access_request=OuterRef("access_request"), resource=resource)
    grants = Grant.objects.unclosed().filter(tenant=tenant, engineer__human_id=human)
    grants = grants.annotate(has_hat=Exists(hats), is_in_scope=Exists(lines))
    return grants.select_related("access_request__ticket")


_READ_ASKER = CompiledQuery(_asker, pk=UUIDField())
_READ_GRANTS = CompiledQuery(_grants, tenant=UUIDField(), human=UUIDField(), person=UUIDField(), resource=UUIDField())


def _windows(person: Person, resource: Resource) -> list[Window]:
    grants = _READ_GRANTS(tenant=resource.tenant_id, human=person.human_id, person=person.pk, resource=resource.pk)
    is_provider = person.is_active and person.side == Person.Side.PROVIDER
    return [
        Window(
            grant_id=grant.pk,
            access_request_id=grant.access_request_id,
            reference=grant.access_request.reference,
            level=grant.level,
            opens_at=grant.opens_at,
            closes_at=grant.closes_at,
            requester_human=grant.access_request.requester_human,
            ticket_state=grant.access_request.ticket.state if grant.access_request.ticket else None,
            is_engineer=is_provider and grant.has_hat,
            is_in_scope=grant.is_in_scope,
        )
        for grant in grants
        if resource.tenant.allows(grant.level)
    ]
