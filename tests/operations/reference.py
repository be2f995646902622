"""Answers questions with Django's models, one row after the other, to check what the decision lane reads in statements.

It reads all windows of a person in the resource's tenant. The decision lane leaves out those that can't decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, When

from requests_app.domain import clock, evaluation, levels
from requests_app.domain.actors import CLIENT_ROLES, Actor
from requests_app.domain.evaluation import Ended, Facts, Question, Verdict, Window
from requests_app.domain.scopes import Scope
from requests_app.models import (
    AccessRequestResource,
    Client,
    Grant,
    Membership,
    Person,
    QueueAssignment,
    Resource,
    Token,
)
from requests_app.models.evaluation import EvaluationQuery, ask, is_own_place, require_still
from requests_app.models.evaluations import read_all
from requests_app.models.people import with_id

_CLIENT_ROLE = CLIENT_ROLES[Scope.EVALUATE]


def verdict_of(question: Question, *, actor: Actor) -> Verdict:
    """Return the advice for this question."""
    [verdict] = verdicts_of([question], actor=actor)
    return verdict


def verdicts_of(questions: Sequence[Question], *, actor: Actor) -> list[Verdict]:
    """Return the advice for questions that differ only in their action. The facts are read once."""
    query = ask(questions[0], actor=actor)
    facts = facts_of(query)
    require_still(facts, actor=actor)
    return [_judged(question, facts, sees_people=query.within is None) for question in questions]


def _judged(question: Question, facts: Facts, *, sees_people: bool) -> Verdict:
    verdict, window = evaluation.judge(question, facts, at=facts.at, sees_people=sees_people)
    if evaluation.may_have_ended(verdict, window):
        return evaluation.after(verdict, _last_ended(question, facts))
    return verdict


def require_same_facts(query: EvaluationQuery, *, at: datetime | None = None) -> None:
    """Assert that the decision lane reads the same facts. With `at`, two reads at different times are compared."""
    [found], wanted = read_all([query]), facts_of(query)
    given = found.facts if at is None else replace(found.facts, at=at)
    assert given == (wanted if at is None else replace(wanted, at=at)), query


def _is_live(query: EvaluationQuery, token_until: datetime | None, at: datetime) -> bool:
    """Return whether the asker's token is neither revoked nor expired. An asker without a token counts as live."""
    return query.token is None or (token_until is not None and at < token_until)


def _last_ended(question: Question, facts: Facts) -> Ended | None:
    """Return the window that closed last among those that would have allowed this access, or None.

    Only a denial needs this, to say when and why the access ended.
    """
    if facts.human_id is None or facts.tenant_id is None or facts.resource_id is None:
        return None
    covers = {"engineer__human_id": facts.human_id, "access_request__scope__resource": facts.resource_id}
    wide_enough = levels.covering(levels.NEEDED[question.action])
    grants = Grant.objects.filter(tenant=facts.tenant_id, level__in=wide_enough, **covers).exclude(closed_at=None)
    grant = grants.select_related("closed_by").order_by("-closed_at").first()
    if grant is None:
        return None
    return Ended(
        grant_id=grant.pk,
        access_request_id=grant.access_request_id,
        closed_at=grant.closed_at,
        close_reason=grant.close_reason,
        closed_by=grant.closed_by.name if grant.closed_by else "",
    )


def facts_of(query: EvaluationQuery) -> Facts:
    """Return the facts for a question, with all windows."""
    asker = Person.objects.get_queryset().select_related("client").filter(pk=query.asker).first()
    client: Client | None = getattr(asker, "client", None)
    tokens = Token.objects.filter(account=query.asker, revoked_at=None)
    token = tokens.filter(pk=query.token).first() if query.token else None
    key, email = query.subject
    person = with_id(key) if key else Person.objects.get_queryset().filter(email=email).first()
    resource = _resource(query)
    at = clock.now()
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


def _grants(tenant: Any, human: Any, person: Any, resource: Any) -> QuerySet[Grant]:
    hats = QueueAssignment.objects.filter(person=person, service=OuterRef("access_request__service"), role="engineer")
    lines = AccessRequestResource.objects.filter(access_request=OuterRef("access_request"), resource=resource)
    grants = Grant.objects.unclosed().filter(tenant=tenant, engineer__human_id=human)
    grants = grants.annotate(has_hat=Exists(hats), is_in_scope=Exists(lines))
    return grants.select_related("access_request__ticket")


def _windows(person: Person, resource: Resource) -> list[Window]:
    grants: Any = _grants(resource.tenant_id, person.human_id, person.pk, resource.pk)
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
