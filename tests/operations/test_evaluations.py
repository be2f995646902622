"""Many questions are read at once. Each gets the answer that it would get alone, in every world."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import Concat

from requests_app.domain import clock, evaluation, levels
from requests_app.domain.actors import Actor
from requests_app.domain.evaluation import Question, Verdict
from requests_app.domain.states import TicketState
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    Grant,
    Person,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
    Ticket,
    evaluations,
)
from requests_app.models import evaluation as one
from requests_app.models.evaluations import read_all
from tests.caller import service_of
from tests.cast import Cast
from tests.operations.reference import verdict_of, verdicts_of
from tests.operations.test_evaluation import ask

pytestmark = pytest.mark.django_db


def answers(questions: list[Question], actor: Actor) -> list[Verdict]:
    """Return the answers to questions that are read together."""
    queries = [one.ask(question, actor=actor) for question in questions]
    found = []
    for query, each in zip(queries, read_all(queries), strict=True):
        one.require_still(each.facts, actor=actor)
        sees_people = query.within is None
        found.append(evaluation.answer(query.question, each.facts, each.ended, sees_people=sees_people)[0])
    return found


class World:
    """A world with many windows, in which everything that can decide about an access is drawn."""

    def __init__(self, cast: Cast, seed: int) -> None:
        self.cast, self.draw, self.at = cast, random.Random(seed), clock.now()
        self.model = cast.opened()
        self.resources = [cast.resource(), cast.resource(name="sales"), cast.resource("fabrikam")]
        self.accounts = [cast.priya, cast.erik, cast.samir]

    def fill(self, windows: int) -> None:
        draw = self.draw
        for number, resource in enumerate(self.resources):
            name = draw.choice([f"r{number}", "same", "finance@contoso.example"])
            Resource.objects.filter(pk=resource.pk).update(
                name=name,
                external_id=draw.choice(["", f"x{number}"]),
                is_active=draw.random() < 0.8,
                locator=draw.choice([f"contoso/mail/{number}", f"fabrikam/mail/{number}"]),
            )
        if draw.random() < 0.4:
            Person.objects.filter(pk=self.cast.erik.pk).update(human_id=self.cast.priya.human_id)
        if draw.random() < 0.2:
            QueueAssignment.objects.filter(person=self.cast.priya).delete()
        Person.objects.filter(pk=self.cast.erik.pk).update(is_active=draw.random() < 0.8)
        Tenant.objects.filter(pk=self.cast.contoso.pk).update(
            ruled_out=draw.choice(["", "", "names", "names view"]), is_act_as_allowed=draw.random() < 0.5
        )
        for _ in range(windows):
            self.window()

    def window(self) -> None:
        draw, minutes = self.draw, dt.timedelta(minutes=1)
        resource = draw.choice(self.resources)
        tenant = resource.tenant
        engineer = Person.objects.get(pk=draw.choice(self.accounts).pk)
        ticket = Ticket.objects.get(pk=self.model.access_request.ticket_id)
        ticket.pk, ticket._state.adding, ticket.tenant = uuid4(), True, tenant
        ticket.reference, ticket.state = (
            f"T-{uuid4().hex[:8]}",
            draw.choice(["ASSIGNED"] * 4 + list(TicketState.values)),
        )
        ticket.save(force_insert=True)
        request = AccessRequest.objects.get(pk=self.model.access_request_id)
        request.pk, request._state.adding, request.tenant, request.ticket = uuid4(), True, tenant, ticket
        request.reference, request.requested_by = f"AR-{uuid4().hex[:8]}", engineer
        request.service = draw.choice([resource.service] * 4 + [self.cast.sharepoint])
        request.requester_human = draw.choice([engineer.human_id] * 6 + [uuid4()])
        request.save(force_insert=True)
        AccessRequestResource.objects.create(access_request=request, resource=resource, position=0)
        opens_at = self.at + draw.randint(-60, 5) * minutes
        closes_at = opens_at + draw.randint(1, 200) * minutes + dt.timedelta(microseconds=draw.randint(0, 10**6))
        is_closed = draw.random() < 0.4
        Grant.objects.create(
            tenant=tenant,
            access_request=request,
            engineer=engineer,
            level=draw.choice(levels.Level.values),
            opens_at=opens_at,
            closes_at=closes_at,
            closed_at=opens_at + dt.timedelta(microseconds=draw.randint(0, 10**9)) if is_closed else None,
            close_reason="revoked" if is_closed else "",
            closed_by=draw.choice([self.cast.ada, None]) if is_closed else None,
        )

    def questions(self, number: int) -> list[Question]:
        return [self.question() for _ in range(number)]

    def question(self) -> Question:
        draw, resource = self.draw, self.draw.choice(self.resources)
        resource.refresh_from_db()
        who = draw.choice([*self.accounts, self.cast.mia])
        tenant = resource.tenant
        return Question(
            subject_type=draw.choice(["engineer"] * 9 + ["robot"]),
            subject=draw.choice([str(who.pk), who.email.upper(), str(who.pk), str(uuid4()), "nobody@x.example"]),
            action=draw.choice([*levels.Action, *levels.Action, "write"]),
            service=draw.choice(["exchange-online"] * 8 + ["sharepoint-online", "none"]),
            resource=draw.choice(
                [str(resource.pk)] * 3 + [resource.name, resource.locator, resource.external_id or "x", str(uuid4())]
            ),
            tenant=draw.choice(["", "", tenant.slug, str(tenant.pk), "fabrikam", "nowhere"]),
        )


@pytest.mark.dialect
@pytest.mark.parametrize("seed", range(4))
def test_many_questions_have_the_answers_that_they_have_alone(cast: Cast, travel: Any, seed: int) -> None:
    world = World(cast, seed)
    travel.freeze()
    world.fill(windows=(40, 3, 12, 80)[seed])
    questions = world.questions(30)
    reasons = set()
    for actor in (service_of(cast), service_of(cast, "contoso"), cast.as_("stella"), cast.as_("otto")):
        alone = [verdict_of(question, actor=actor) for question in questions]
        # On PostgreSQL, each read has its own time.
        for question, before, each in zip(questions, alone, answers(questions, actor), strict=True):
            assert replace(each, at=before.at) == before, question
        reasons |= {(each.decision, each.reason, each.ended is not None) for each in alone}
    assert len(reasons) >= 3, "these questions are too much alike"


#: What makes a window useless, although it names the resource and ends last.
USELESS: dict[str, Callable[[Grant], object]] = {
    "not yet open": lambda grant: _change(grant, opens_at=grant.closes_at - dt.timedelta(seconds=1)),
    "closed ticket": lambda grant: Ticket.objects.filter(pk=grant.access_request.ticket_id).update(state="CLOSED"),
    "another human": lambda grant: AccessRequest.objects.filter(grant=grant).update(requester_human=uuid4()),
    "too small": lambda grant: _change(grant, level="names"),
    "ruled out": lambda grant: _change(grant, level="view") + Tenant.objects.update(ruled_out="view"),
}


def _change(grant: Grant, **values: Any) -> int:
    return Grant.objects.filter(pk=grant.pk).update(**values)


@pytest.mark.dialect
@pytest.mark.parametrize("why", sorted(USELESS))
def test_a_useless_window_that_ends_later_hides_no_other(cast: Cast, why: str) -> None:
    shorter = cast.opened(ticket=cast.ticket(), window_for=1800)
    longer = cast.opened(ticket=cast.ticket(), window_for=7200)
    staff = service_of(cast)
    assert answers([ask(cast)], staff)[0].grant_id == longer.pk
    USELESS[why](longer)
    [verdict] = answers([ask(cast)], staff)
    assert (verdict.decision, verdict.grant_id) == (True, shorter.pk)
    assert verdict == replace(verdict_of(ask(cast), actor=staff), at=verdict.at)


@pytest.mark.dialect
@pytest.mark.parametrize(
    ("level", "rule"), [("read", {"ruled_out": "names read"}), ("act_as", {"is_act_as_allowed": False})]
)
def test_a_window_of_a_level_that_the_tenant_rules_out_allows_nothing(
    cast: Cast, level: str, rule: dict[str, Any]
) -> None:
    _change(cast.opened(), level=level)
    staff = service_of(cast)
    Tenant.objects.update(ruled_out="", is_act_as_allowed=True)
    assert answers([ask(cast)], staff)[0].decision
    Tenant.objects.update(**rule)
    [verdict] = answers([ask(cast)], staff)
    assert not verdict.decision
    assert verdict == replace(verdict_of(ask(cast), actor=staff), at=verdict.at)


# --- Every combination ---------------------------------------------------------------------------------------

#: What can be so about a window, apart from its resource. Each engineer has the windows of one level and one human.
OPENS, CLOSES = ("opened", "opens later"), ("closes later", "is over")
TICKETS = (None, TicketState.WAITING_FOR_CUSTOMER, TicketState.RESOLVED)
#: The reason of an access request without a ticket.
DEMAND: dict[str, Any] = {
    "reason_kind": "legal_demand",
    "authority": "A court",
    "instrument": "An order",
    "demand_reference": "7",
    "demand_date": dt.date(2025, 11, 1),
}
#: What can be so about everything else, one after the other. The first one changes nothing.
AROUND: dict[str, Callable[[Cast], object]] = {
    "as usual": lambda cast: None,
    "no engineer of the queue": lambda cast: QueueAssignment.objects.all().delete(),
    "accounts switched off": lambda cast: _engineers().update(is_active=False),
    "people of a customer": lambda cast: _engineers().update(side=Person.Side.CUSTOMER),
    "one human": lambda cast: _one_human(cast.priya.human_id),
    "viewing ruled out": lambda cast: Tenant.objects.update(ruled_out="names view"),
    "acting ruled out": lambda cast: Tenant.objects.update(is_act_as_allowed=False),
    "resources not in use": lambda cast: _places().update(is_active=False),
    "service not in use": lambda cast: Service.objects.update(is_active=False),
    "tenant not in use": lambda cast: Tenant.objects.update(is_active=False),
    "places of another tenant": lambda cast: _places().update(locator=Concat(Value("fabrikam/"), "name")),
}


def _engineers() -> Any:
    return Person.objects.filter(email__endswith="@every.example")


def _one_human(human: UUID) -> None:
    mine = AccessRequest.objects.filter(requester_human=F("requested_by__human_id"))
    AccessRequest.objects.filter(pk__in=list(mine.values_list("pk", flat=True))).update(requester_human=human)
    _engineers().update(human_id=human)


def _places() -> Any:
    return Resource.objects.filter(name__startswith="every ")


class Every:
    """A window, open or closed, for each combination of what the rule depends on, with a resource of its own.

    Without `is_named`, the window is for another resource.
    """

    def __init__(self, cast: Cast) -> None:
        self.at = clock.now()
        self.model = cast.opened()
        self.resources, self.rows = list[Resource](), list[Any]()
        #: The engineer and the resource of each question, and those whose window is open.
        self.asked, self.live = list[tuple[str, UUID]](), list[tuple[str, UUID]]()
        self.elsewhere = self._resource(cast.resource())
        for level, is_requester in product(levels.Level.values, (True, False)):
            engineer = self._engineer(cast.priya, f"{level}-{is_requester}")
            for each in product(OPENS, CLOSES, TICKETS, (False, True), (True, False)):
                self._add(cast.resource(), engineer, level, engineer.human_id if is_requester else uuid4(), each)
        Resource.objects.bulk_create(self.resources)
        for model in (Ticket, AccessRequest, AccessRequestResource, Grant):
            model.objects.bulk_create([row for row in self.rows if type(row) is model])

    def _engineer(self, model: Person, name: str) -> Person:
        engineer = _copy(model, email=f"{name}@every.example", human_id=uuid4(), name=name)
        engineer.save(force_insert=True)
        for hat in QueueAssignment.objects.filter(person=model):
            QueueAssignment.objects.create(person=engineer, service=hat.service, role=hat.role, given_at=hat.given_at)
        return engineer

    def _resource(self, model: Resource) -> Resource:
        name = f"every {len(self.resources)}"
        found: Resource = _copy(model, name=name, locator=f"contoso/{name}", external_id="")
        self.resources.append(found)
        return found

    def _add(self, place: Resource, engineer: Person, level: str, human: UUID, each: tuple[Any, ...]) -> None:
        opens, closes, state, is_closed, is_named = each
        resource, hour, number = self._resource(place), dt.timedelta(hours=1), len(self.resources)
        ticket, reason = None, DEMAND
        if state is not None:
            ticket, reason = _copy(self.model.access_request.ticket, reference=f"T-{number}", state=state), {}
        request = _copy(
            self.model.access_request, ticket=ticket, reference=f"AR-{number}", requested_by=engineer,
            requester_human=human, **reason,
        )  # fmt: skip
        opens_at = self.at + (-3 * hour if opens == "opened" else hour)
        ends = self.at + (2 * hour if closes == "closes later" else -hour)
        grant = _copy(
            self.model, access_request=request, engineer=engineer, level=level, opens_at=opens_at,
            closes_at=max(ends, opens_at + hour) + dt.timedelta(seconds=number),
            closed_at=opens_at + dt.timedelta(seconds=number) if is_closed else None,
            close_reason="revoked" if is_closed else "",
        )  # fmt: skip
        line = AccessRequestResource(
            access_request=request, resource=resource if is_named else self.elsewhere, position=0
        )
        self.rows += [*([ticket] if ticket else []), request, line, grant]
        self.asked.append((str(engineer.pk), resource.pk))
        if each == ("opened", "closes later", None, False, True):
            self.live.append(self.asked[-1])


def _copy(row: Any, **values: Any) -> Any:
    stored = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    changed = {row._meta.get_field(name).attname: getattr(value, "pk", value) for name, value in values.items()}
    return type(row)(**{**stored, "id": uuid4(), **changed})


@pytest.mark.slow
@pytest.mark.dialect
@pytest.mark.parametrize("around", AROUND)
def test_every_combination_of_facts_has_the_answer_of_the_rule(cast: Cast, around: str) -> None:
    every, staff = Every(cast), service_of(cast)
    AROUND[around](cast)
    # The facts around the windows are the same for all of them, so then some of them are enough.
    asked = every.asked if around == "as usual" else [*every.live, *every.asked[::17]]
    reasons = set()
    for engineer, resource in asked:
        questions = [ask(cast, subject=engineer, resource=str(resource), action=action) for action in levels.Action]
        wanted = verdicts_of(questions, actor=staff)
        for question, given, each in zip(questions, answers(questions, staff), wanted, strict=True):
            assert replace(given, at=each.at) == each, question
            reasons.add((each.decision, each.reason, each.ended is not None))
    assert len(reasons) >= (5 if around == "as usual" else 3), "these questions are too much alike"


def test_both_kinds_of_askers_are_never_read_together(cast: Cast) -> None:
    queries = [one.ask(ask(cast), actor=actor) for actor in (service_of(cast), service_of(cast, "contoso"))]
    with pytest.raises(ValueError, match="apart"):
        read_all(queries)


# --- The cost ------------------------------------------------------------------------------------------------


def _add_windows(grant: Grant, number: int, *, is_closed: bool, to: Resource) -> None:
    """Add windows of the same engineer for the resource `to`. All of them end before the window `grant`."""
    request = AccessRequest.objects.get(pk=grant.access_request_id)
    requests, lines, grants = [], [], []
    for n in range(number):
        values = {field.attname: getattr(request, field.attname) for field in AccessRequest._meta.concrete_fields}
        row = AccessRequest(**{**values, "id": uuid4(), "reference": f"AR-{uuid4().hex[:12]}"})
        requests.append(row)
        lines.append(AccessRequestResource(access_request=row, resource=to, position=0))
        ends = grant.closes_at - dt.timedelta(seconds=n + 1)
        grants.append(
            Grant(
                tenant_id=grant.tenant_id,
                access_request=row,
                engineer_id=grant.engineer_id,
                level=grant.level,
                opens_at=grant.opens_at,
                closes_at=ends,
                closed_at=grant.opens_at + dt.timedelta(seconds=n) if is_closed else None,
                close_reason="revoked" if is_closed else "",
            )
        )
    AccessRequest.objects.bulk_create(requests)
    AccessRequestResource.objects.bulk_create(lines)
    Grant.objects.bulk_create(grants)


def _cost(query: one.EvaluationQuery) -> int:
    """Return how many pages PostgreSQL reads for one question, or how many steps SQLite takes."""
    if connection.vendor == "postgresql":
        values: list[Any] = [json.dumps([evaluations._asked(1, query)]), "evaluate", evaluations._LIVE, "", False, True]
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
            for _ in range(2):
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {evaluations._ASK}", values)
                [[[plan]]] = cursor.fetchall()
        return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.connection.set_progress_handler(step, 1)
    try:
        read_all([query])
    finally:
        connection.connection.set_progress_handler(None, 0)
    return steps


def _another(resource: Resource) -> Resource:
    """Return a new resource of the same tenant, which no access request names."""
    return Resource.objects.create(
        tenant=resource.tenant,
        service=resource.service,
        name="Nobody's",
        kind=resource.kind,
        locator=f"{resource.tenant.slug}/nobodys",
    )


@pytest.mark.dialect
def test_a_question_costs_the_same_with_many_windows_of_the_pair_open_and_closed(cast: Cast) -> None:
    grant, sales = cast.opened(), cast.resource(name="sales")
    staff = service_of(cast)
    allowed = one.ask(ask(cast), actor=staff)
    closed = one.ask(ask(cast, resource=str(sales.pk)), actor=staff)
    _add_windows(grant, 150, is_closed=True, to=sales)
    before = _cost(closed)
    _add_windows(grant, 400, is_closed=True, to=sales)
    assert _cost(closed) <= before * 1.5 + 10
    assert answers([closed.question], staff)[0].ended is not None
    unknown = one.ask(ask(cast, resource=str(_another(sales).pk)), actor=staff)
    before = _cost(unknown)
    _add_windows(grant, 800, is_closed=True, to=sales)
    assert _cost(unknown) <= before * 1.5 + 10, "whatever the engineer once had elsewhere in the tenant"
    before = _cost(allowed)
    _add_windows(grant, 400, is_closed=False, to=cast.resource())
    _add_windows(grant, 400, is_closed=True, to=cast.resource())
    assert _cost(allowed) <= before * 1.5 + 10
    assert answers([allowed.question], staff)[0].grant_id == grant.pk
