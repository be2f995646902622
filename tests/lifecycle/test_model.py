"""Hypothesis plays random lives of an access request with the operations, and compares each step with a small model."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import sampled_from

from audit_app.verify import verify
from requests_app import operations
from requests_app.domain.errors import DomainError
from requests_app.domain.evaluation import Question
from requests_app.domain.levels import NEEDED, Level, covers
from requests_app.models import AccessRequest, Decision, Grant, QueueAssignment
from requests_app.queries.evaluation import evaluate
from tests.cast import Cast, events_of, gather
from tests.conftest import sample

START = dt.datetime(2026, 11, 25, 8, 0, tzinfo=dt.UTC)
WINDOW = dt.timedelta(hours=2)


class Life(RuleBasedStateMachine):
    """The model of an access request: its state, its deadline, and the decisions that were made.

    The rules of this class say who can do which act in which state.
    """

    #: Every life begins with this access request, which was submitted at START.
    world: Cast
    row: AccessRequest
    #: The question to the decision point about it, for any action.
    question: Question

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.savepoint()
        self.clock = time_machine.travel(START, tick=False)
        self.traveller = self.clock.start()
        self.now = START
        self.state, self.until = "PENDING_PROVIDER", self.now + dt.timedelta(hours=24)
        self.entries = 1
        self.made: set[tuple[str, str]] = set()
        self.ruled_out = {level for level in Level if not self.world.contoso.allows(level)}

    def teardown(self) -> None:
        self.clock.stop()
        transaction.savepoint_rollback(self.savepoint)
        super().teardown()

    def attempt(self, action: str, who: str, expected: str | None) -> None:
        """Try an act.

        `expected` is the state afterwards, or None if the act must be refused or repeats an earlier one.
        """
        actor = self.world.system() if who == "system" else self.world.as_(who)
        extra: dict[str, Any] = {} if action in ("expire", "close") else {"note": "Because."}
        if (who, action) in self.made:
            # A repeated decision gets the first result, in every later state.
            assert getattr(operations, action)(self.row.pk, actor=actor, **extra).state == self.state
        elif expected is None:
            with pytest.raises(DomainError):
                getattr(operations, action)(self.row.pk, actor=actor, **extra)
            self.entries += who != "system"
        else:
            getattr(operations, action)(self.row.pk, actor=actor, **extra)
            self.state = expected
            self.entries += 1
            self.made.add((who, action))

    @property
    def late(self) -> bool:
        return self.now >= self.until

    @rule(who=sampled_from(["pat", "paula", "bea", "priya", "ada", "stella"]), yes=sampled_from([True, False]))
    def provider_decides(self, who: str, yes: bool) -> None:
        may = who in ("pat", "paula", "bea") and self.state == "PENDING_PROVIDER" and not self.late
        expected = ("PENDING_CUSTOMER" if yes else "DENIED") if may else None
        self.attempt("approve_as_provider" if yes else "deny_as_provider", who, expected)
        if may and yes:
            self.until = self.now + dt.timedelta(hours=12)

    @rule(who=sampled_from(["ada", "alan", "mia", "otto", "pat"]), yes=sampled_from([True, False]))
    def customer_decides(self, who: str, yes: bool) -> None:
        may = who in ("ada", "alan") and self.state == "PENDING_CUSTOMER" and not self.late
        self.attempt(
            "approve_as_customer" if yes else "deny_as_customer", who, ("OPEN" if yes else "DENIED") if may else None
        )
        if may and yes:
            self.until = self.now + WINDOW

    @rule(who=sampled_from(["priya", "erik", "ada"]))
    def withdraws(self, who: str) -> None:
        may = who == "priya" and self.state.startswith("PENDING") and not self.late
        self.attempt("withdraw", who, "WITHDRAWN" if may else None)

    @rule(
        who=sampled_from(["priya", "erik", "ada", "pat", "stella", "mia"]), action=sampled_from(["release", "revoke"])
    )
    def ends_the_window(self, who: str, action: str) -> None:
        allowed = {"release": ["priya"], "revoke": ["ada", "pat", "stella"]}[action]
        may = who in allowed and self.state == "OPEN" and not self.late
        self.attempt(action, who, "CLOSED" if may else None)

    @rule()
    def sweep(self) -> None:
        pending, open_now = self.state.startswith("PENDING"), self.state == "OPEN"
        expired = operations.sweeps.expire_overdue(actor=self.world.system(), limit=10)
        closed = operations.sweeps.close_elapsed(actor=self.world.system(), limit=10)
        assert (expired, closed) == (int(pending and self.late), int(open_now and self.late))
        if self.late and (pending or open_now):
            self.state = "EXPIRED" if pending else "CLOSED"
            self.entries += 1

    @rule(who=sampled_from(["ines", "ada", "finn", "stella"]), level=sampled_from(Level))
    def rules_a_level_out(self, who: str, level: Level) -> None:
        """Nothing with the level waits or stays open afterwards. The sweep ends what is past its deadline."""
        call = partial(operations.rule_out_level, self.world.contoso.pk, level=level, actor=self.world.as_(who))
        if who != "ines" or level in self.ruled_out:
            with pytest.raises(DomainError):
                call()
            return
        call()
        self.ruled_out.add(level)
        if level == self.row.level and not self.late and (self.state.startswith("PENDING") or self.state == "OPEN"):
            self.state = "CLOSED" if self.state == "OPEN" else "WITHDRAWN"
            self.entries += 1

    @rule(who=sampled_from(["ines", "ada", "stella"]), level=sampled_from(Level))
    def allows_a_level(self, who: str, level: Level) -> None:
        """Nothing that ended comes back."""
        call = partial(operations.allow_level, self.world.contoso.pk, level=level, actor=self.world.as_(who))
        if who != "ines" or level not in self.ruled_out:
            with pytest.raises(DomainError):
                call()
            return
        call()
        self.ruled_out.remove(level)

    @rule(hours=sampled_from([0.5, 1.5, 2, 11, 12, 24]))
    def time_passes(self, hours: float) -> None:
        self.now += dt.timedelta(hours=hours)
        self.traveller.move_to(self.now)

    @rule()
    @precondition(lambda self: self.state.startswith("PENDING") or self.state == "OPEN")
    def to_the_very_deadline(self) -> None:
        if self.now < self.until:
            self.now = self.until
            self.traveller.move_to(self.now)

    @invariant()
    def row_and_model_agree(self) -> None:
        self.row = AccessRequest.objects.get(pk=self.row.pk)
        assert self.row.state == self.state
        grant = Grant.objects.filter(access_request=self.row).first()
        assert (grant is not None) == (self.state in ("OPEN", "CLOSED"))
        if grant is not None:
            assert grant.is_live(self.now) == (self.state == "OPEN" and not self.late)
            assert (grant.closed_at is not None) == (self.state == "CLOSED")

    @invariant()
    def only_an_open_window_gives_what_its_level_covers(self) -> None:
        is_open = self.state == "OPEN" and not self.late
        assert not (is_open and self.row.level in self.ruled_out)
        stella = self.world.as_("stella")
        for action, needed in NEEDED.items():
            wanted = is_open and covers(self.row.level, needed)
            assert evaluate(replace(self.question, action=action), actor=stella).decision is wanted, action

    @invariant()
    def log_has_one_entry_for_each_act(self) -> None:
        assert len(events_of(self.row)) == self.entries
        assert verify(self.world.contoso.pk).is_good
        deciders = list(Decision.objects.filter(access_request=self.row).values_list("decider_human", flat=True))
        assert len(set(deciders)) == len(deciders)
        assert self.row.requester_human not in deciders


def _ticket_for(level: str) -> dict[str, Any]:
    """Return the ticket of a service that has the level. The provider's people have the same roles there."""
    if level != "act_as":
        return {}
    service = Life.world.with_act_as()
    for row in QueueAssignment.objects.filter(service=Life.world.exchange):
        values = {"person": row.person, "role": row.role}
        QueueAssignment.objects.get_or_create(service=service, **values, defaults={"given_at": row.given_at})
    return {"ticket": Life.world.ticket(service_id=service.pk)}


@pytest.mark.dialect
@pytest.mark.django_db
@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.timeout(300)
@pytest.mark.parametrize("level", ["read", "act_as"])
def test_any_sequence_of_acts_agrees_with_the_model(level: str) -> None:
    """Each run is rolled back to a savepoint, so that it sees no rows of another run."""
    with time_machine.travel(START, tick=False):
        Life.world = gather()
        Life.row = Life.world.submitted(level=level, **_ticket_for(level))
    Life.question = Question(
        subject_type="engineer",
        subject=str(Life.world.priya.pk),
        action="",
        service=Life.row.service.key,
        resource=str(Life.row.scope.get().resource_id),
    )
    Life.world.contoso.refresh_from_db()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=sample(60, 20),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
