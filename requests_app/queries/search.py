"""Searches of the decision point: for which people, resources or actions would it answer "yes" now?

A search only collects candidates, and then asks `evaluate` about each. So it can't find what the decision point denies,
and nobody learns more than with single questions. Like advice, it is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from django.db.models import QuerySet

from requests_app.domain.actors import Actor
from requests_app.domain.evaluation import Facts, Question
from requests_app.domain.levels import Action
from requests_app.models import Grant, Person, Resource
from requests_app.models.evaluation import EvaluationQuery, ask, require_still
from requests_app.models.evaluations import read_all
from requests_app.queries.evaluation import evaluate

#: How many candidates one page asks about at most. So a page can have fewer results, although more will follow.
MOST = 100


class Sought(StrEnum):
    """What a search is for. The question has an empty text in its place."""

    SUBJECT = "subject"
    RESOURCE = "resource"
    ACTION = "action"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A question that may be answered with "yes". `key` is its place in the order of the search."""

    key: str
    question: Question
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SearchPage:
    """`asked` is the number of questions behind this page. The next page begins after the key `last`."""

    found: list[Candidate]
    asked: int
    last: str


def search(sought: Sought, question: Question, *, actor: Actor, after: str = "", limit: int = MOST) -> SearchPage:
    """Return the next results after the key `after`.

    Raise NotAllowed if the actor can't ask about other people.
    """
    query = ask(question, actor=actor)
    facts = read_all([query])[0].facts
    require_still(facts, actor=actor)
    candidates = _CANDIDATES[sought](query, facts, after)
    found: list[Candidate] = []
    asked, last = 0, ""
    for candidate in candidates[:MOST]:
        if len(found) == limit:
            break
        asked, last = asked + 1, candidate.key
        if evaluate(candidate.question, actor=actor).decision:
            found.append(candidate)
    return SearchPage(found=found, asked=asked, last=last if asked < len(candidates) else "")


# Windows that have ended, but are not closed yet, only make the list of candidates longer. So the clock of this process
# decides nothing here.


def _subjects(query: EvaluationQuery, facts: Facts, after: str) -> list[Candidate]:
    """Return all accounts of the humans who have a window for the resource."""
    if facts.resource_id is None:
        return []
    windows = Grant.objects.unclosed().filter(tenant=facts.tenant_id, access_request__scope__resource=facts.resource_id)
    people = Person.objects.active().filter(side=Person.Side.PROVIDER)
    people = people.filter(human_id__in=windows.values("engineer__human_id"))
    return [
        Candidate(
            key=str(person.pk),
            question=replace(query.question, subject=str(person.pk)),
            # A customer knows the names of the engineers with windows, but not their addresses.
            properties={"name": person.name, **({"email": person.email} if query.within is None else {})},
        )
        for person in _following(people, after)
    ]


def _resources(query: EvaluationQuery, facts: Facts, after: str) -> list[Candidate]:
    """Return the resources for which the human has a window, in the tenants that the asker can see."""
    if facts.human_id is None:
        return []
    windows = Grant.objects.unclosed().filter(engineer__human_id=facts.human_id)
    rows = Resource.objects.filter(service__key=query.question.service).select_related("tenant")
    rows = rows.filter(pk__in=windows.values("access_request__scope__resource"))
    if query.within is not None:
        rows = rows.filter(tenant__in=query.within)
    tenant, slug = query.tenant
    if tenant or slug:
        rows = rows.filter(tenant=tenant) if tenant else rows.filter(tenant__slug=slug)
    return [
        Candidate(
            key=str(row.pk),
            question=replace(query.question, resource=str(row.pk)),
            properties={"name": row.name, "external_id": row.external_id, "tenant": row.tenant.slug},
        )
        for row in _following(rows, after)
    ]


def _actions(query: EvaluationQuery, _facts: Facts, after: str) -> list[Candidate]:
    names = sorted(name for name in Action if name > after)
    return [Candidate(key=name, question=replace(query.question, action=name)) for name in names]


def _following(rows: QuerySet[Any], after: str) -> QuerySet[Any]:
    """Return the rows after this key in the order of their keys: those of one page, and one more if there is one."""
    rows = rows.order_by("pk")
    return (rows.filter(pk__gt=after) if after else rows)[: MOST + 1]


_CANDIDATES: dict[Sought, Callable[[EvaluationQuery, Facts, str], list[Candidate]]] = {
    Sought.SUBJECT: _subjects,
    Sought.RESOURCE: _resources,
    Sought.ACTION: _actions,
}
