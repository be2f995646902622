"""Hypothesis plays random lives of an access request with the operations, and compares each step with a small model."""

from __future__ import annotations

import datetime as dt
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
from requests_app.models import AccessRequest, Decision, Grant
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

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.savepoint()
        self.clock = time_machine.travel(START, tick=False)
        self.traveller = self.clock.start()
        self.now = START
        self.state, self.until = "PENDING_PROVIDER", self.now + dt.timedelta(hours=24)
        self.entries = 1
        self.made: set[tuple[str, str]] = set()

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
    def log_has_one_entry_for_each_act(self) -> None:
        assert len(events_of(self.row)) == self.entries
        assert verify(self.world.contoso.pk).is_good
        deciders = list(Decision.objects.filter(access_request=self.row).values_list("decider_human", flat=True))
        assert len(set(deciders)) == len(deciders)
        assert self.row.requester_human not in deciders


@pytest.mark.dialect
@pytest.mark.django_db
@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.timeout(300)
def test_any_sequence_of_acts_agrees_with_the_model() -> None:
    """Each run is rolled back to a savepoint, so that it sees no rows of another run."""
    with time_machine.travel(START, tick=False):
        Life.world = gather()
        Life.row = Life.world.submitted()
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
