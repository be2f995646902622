"""A search finds exactly what the decision point permits, and nothing that the caller may not know."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed
from requests_app.domain.evaluation import Question
from requests_app.domain.levels import Action
from requests_app.models import (
    ContentAccess,
    Grant,
    OutboxMessage,
    Person,
    QueueAssignment,
    Resource,
    Tenant,
    Ticket,
)
from requests_app.queries.evaluation import evaluate
from requests_app.queries.search import Sought, search
from tests.caller import service_of
from tests.cast import Cast
from tests.offenders import collected

pytestmark = pytest.mark.django_db

#: The member of a question that each search looks for.
MEMBER = {Sought.SUBJECT: "subject", Sought.RESOURCE: "resource", Sought.ACTION: "action"}
EXCHANGE = Question(subject_type="engineer", subject="", action="", service="exchange-online", resource="")


def found(sought: Sought, question: Question, actor: Actor, *, limit: int = 2) -> list[str]:
    """Return what all pages of a search find."""
    results: list[str] = []
    after = ""
    while True:
        page = search(sought, question, actor=actor, after=after, limit=limit)
        assert len(page.found) <= limit
        results += [getattr(each.question, MEMBER[sought]) for each in page.found]
        if not page.last:
            assert len(results) == len(set(results)), "a result is found once"
            return results
        assert page.last > after
        after = page.last


def windows(cast: Cast) -> None:
    """Open windows of two engineers in two tenants, with different levels and resources."""
    ticket = cast.ticket()
    cast.opened(ticket=ticket)
    cast.opened(ticket=ticket, level="names", resource=cast.resource(name="sales"))
    cast.opened(ticket=cast.ticket(), by="erik", level="view")
    cast.opened("fabrikam", by="erik")


#: What can happen to these windows. Each change leaves a different set of permissions.
WORLDS: dict[str, Callable[[Cast], Any]] = {
    "as they are": lambda cast: None,
    "a window is closed, and another has ended": lambda cast: (
        operations.revoke(Grant.objects.get(level="view").access_request_id, actor=cast.as_("ada")),
        Grant.objects.filter(level="names").update(
            closes_at=Grant.objects.get(level="names").opens_at + dt.timedelta(microseconds=1)
        ),
    ),
    "one human has two accounts": lambda cast: Person.objects.filter(pk=cast.bea.pk).update(
        human_id=cast.priya.human_id
    ),
    "an engineer has left the queue": lambda cast: QueueAssignment.objects.filter(person=cast.priya).delete(),
    "an engineer is switched off": lambda cast: Person.objects.filter(pk=cast.erik.pk).update(is_active=False),
    "a ticket is closed, and a tenant rules a level out": lambda cast: (
        Ticket.objects.filter(pk=Grant.objects.get(level="view").access_request.ticket_id).update(state="CLOSED"),
        Tenant.objects.filter(pk=cast.contoso.pk).update(ruled_out="names"),
    ),
    "a resource is switched off": lambda cast: Resource.objects.filter(pk=cast.resource().pk).update(is_active=False),
}


#: The worlds that both databases have. The search's statements are Django's, and `test_evaluation.py` asks both
#: databases about each condition of the decision. So SQLite needs only what differs in the search itself.
ON_BOTH = ("as they are", "one human has two accounts")


@pytest.mark.parametrize(
    "world", [pytest.param(world, marks=pytest.mark.dialect if world in ON_BOTH else ()) for world in WORLDS]
)
def test_a_search_finds_exactly_what_is_permitted(cast: Cast, world: str) -> None:
    windows(cast)
    WORLDS[world](cast)
    people = [cast.priya, cast.erik, cast.bea, cast.samir, cast.ada]
    resources = [cast.resource(), cast.resource(name="sales"), cast.resource("fabrikam")]
    total = 0
    for actor in (service_of(cast), service_of(cast, "contoso"), cast.as_("fatima"), cast.as_("nadia")):
        permitted = {
            (str(person.pk), action, str(resource.pk))
            for person in people
            for resource in resources
            for action in Action
            if evaluate(
                replace(EXCHANGE, subject=str(person.pk), action=action, resource=str(resource.pk)), actor=actor
            ).decision
        }
        total += len(permitted)
        assert set(_by_subject(actor, resources)) == permitted
        assert set(_by_resource(actor, people)) == permitted
        assert set(_by_action(actor, people, resources)) == permitted
    assert total, "nothing is permitted, so nothing was tested"


def _by_subject(actor: Actor, resources: list[Resource]) -> Iterator[tuple[str, str, str]]:
    for resource in resources:
        for action in Action:
            question = replace(EXCHANGE, action=action, resource=str(resource.pk))
            for person in found(Sought.SUBJECT, question, actor):
                yield person, action, str(resource.pk)


def _by_resource(actor: Actor, people: list[Person]) -> Iterator[tuple[str, str, str]]:
    for person in people:
        for action in Action:
            question = replace(EXCHANGE, action=action, subject=str(person.pk))
            for resource in found(Sought.RESOURCE, question, actor):
                yield str(person.pk), action, resource


def _by_action(actor: Actor, people: list[Person], resources: list[Resource]) -> Iterator[tuple[str, str, str]]:
    for person in people:
        for resource in resources:
            question = replace(EXCHANGE, subject=str(person.pk), resource=str(resource.pk))
            for action in found(Sought.ACTION, question, actor):
                yield str(person.pk), action, str(resource.pk)


def test_an_application_searches_with_its_own_ids(cast: Cast) -> None:
    cast.in_quillo()
    gateway, customer = service_of(cast), service_of(cast, "contoso")
    quillo = replace(EXCHANGE, service="quillo", resource="7", action="read")
    assert found(Sought.SUBJECT, quillo, gateway) == [], "without the tenant, only our own id names a resource"
    for question, actor in ((replace(quillo, tenant="contoso"), gateway), (quillo, customer)):
        assert found(Sought.SUBJECT, question, actor) == [str(cast.priya.pk)]
        by_address = replace(question, subject="Priya@provider.example")
        assert found(Sought.RESOURCE, by_address, actor) == [str(Resource.objects.get(external_id="7").pk)]
        assert found(Sought.ACTION, by_address, actor) == ["download", "list", "read", "view"]
    page = search(Sought.RESOURCE, replace(quillo, subject=str(cast.priya.pk)), actor=gateway)
    assert [each.properties for each in page.found] == [
        {"name": "notes of contoso", "external_id": "7", "tenant": "contoso"}
    ]


def test_a_tenant_narrows_the_search_for_resources(cast: Cast) -> None:
    windows(cast)
    question = replace(EXCHANGE, subject=str(cast.erik.pk), action="list")
    ours, theirs = str(cast.resource().pk), str(cast.resource("fabrikam").pk)
    gateway = service_of(cast)
    assert set(found(Sought.RESOURCE, question, gateway)) == {ours, theirs}
    for tenant in ("fabrikam", str(cast.fabrikam.pk)):
        assert found(Sought.RESOURCE, replace(question, tenant=tenant), gateway) == [theirs]
    assert found(Sought.RESOURCE, replace(question, tenant="adatum"), gateway) == []


def test_a_customer_finds_only_in_its_own_tenant(cast: Cast) -> None:
    """A search about another tenant finds what a search about nothing finds, and asks as few questions."""
    windows(cast)
    theirs, nothing = str(cast.resource("fabrikam").pk), str(uuid4())
    ours = service_of(cast, "contoso")
    with collected() as case:
        for tenant in ("", "fabrikam", str(cast.fabrikam.pk)):
            with case(tenant):
                question = replace(EXCHANGE, action="read", tenant=tenant)
                pages = [
                    search(Sought.SUBJECT, replace(question, resource=each), actor=ours) for each in (theirs, nothing)
                ]
                assert pages[0] == pages[1]
                assert (pages[0].found, pages[0].asked) == ([], 0)
    by_erik = replace(EXCHANGE, subject=str(cast.erik.pk), action="list")
    assert found(Sought.RESOURCE, by_erik, ours) == [str(cast.resource().pk)]
    assert found(Sought.RESOURCE, replace(by_erik, tenant="fabrikam"), ours) == []


def test_a_customer_finds_an_engineer_only_through_a_window(cast: Cast) -> None:
    cast.opened()
    ours = service_of(cast, "contoso")
    page = search(Sought.SUBJECT, replace(EXCHANGE, action="read", resource=str(cast.resource().pk)), actor=ours)
    assert [each.properties for each in page.found] == [{"name": "Priya Test"}], "no address of the provider's people"
    for who in (str(cast.erik.pk), str(uuid4()), str(cast.mia.pk)):
        question = replace(EXCHANGE, action="read", subject=who)
        assert search(Sought.RESOURCE, question, actor=ours).asked == 0
        assert search(Sought.RESOURCE, question, actor=ours).found == []


def test_a_search_writes_nothing(cast: Cast) -> None:
    windows(cast)
    gateway = service_of(cast)
    before = AuditEntry.objects.count(), ContentAccess.objects.count(), OutboxMessage.objects.count()
    question = replace(EXCHANGE, subject=str(cast.priya.pk), resource=str(cast.resource().pk), action="read")
    for sought in Sought:
        assert found(sought, replace(question, **{MEMBER[sought]: ""}), gateway)
    assert (AuditEntry.objects.count(), ContentAccess.objects.count(), OutboxMessage.objects.count()) == before


@pytest.mark.parametrize("who", ["priya", "pat", "mia"])
def test_who_may_not_ask_may_not_search(cast: Cast, who: str) -> None:
    cast.opened()
    question = replace(EXCHANGE, subject=str(cast.priya.pk), resource=str(cast.resource().pk), action="read")
    for sought in Sought:
        with pytest.raises(NotAllowed):
            search(sought, replace(question, **{MEMBER[sought]: ""}), actor=cast.as_(who))


def test_a_page_asks_about_a_limited_number_of_candidates(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page can be empty although more follows. So nobody makes the decision point work without end in one call."""
    cast.opened()
    Person.objects.filter(pk__in=[cast.bea.pk, cast.erik.pk]).update(human_id=cast.priya.human_id)
    QueueAssignment.objects.filter(person__in=[cast.bea, cast.erik]).delete()
    monkeypatch.setattr("requests_app.queries.search.MOST", 1)
    question = replace(EXCHANGE, action="read", resource=str(cast.resource().pk))
    page = search(Sought.SUBJECT, question, actor=service_of(cast))
    assert page.asked == 1
    assert page.last
    assert found(Sought.SUBJECT, question, service_of(cast)) == [str(cast.priya.pk)]
