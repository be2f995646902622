"""The table itself, and that the kernel accepts exactly what it says: every state, action and role."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from requests_app import clock, lifecycle, operations
from requests_app.actors import Actor, Role
from requests_app.errors import DeadlinePassed, NotAllowed, NotFound, WrongState
from requests_app.lifecycle import FINAL, PENDING, TRANSITIONS, State, Timing, Transition, problems
from requests_app.models import AccessRequest, Decision, Grant
from requests_app.queries.access import allowed_actions
from tests.cast import Cast, events_of, outbox_topics

MOVES = [action for action in TRANSITIONS if action != "submit"]

#: Everybody in the cast, by the hats they wear towards an access request that Priya raised for Contoso's mailbox.
PEOPLE: dict[str, set[Role]] = {
    "mia": {Role.MEMBER},
    "ada": {Role.MEMBER, Role.APPROVER},
    "alan": {Role.APPROVER},
    "otto": {Role.AUDITOR},
    "ines": {Role.ADMINISTRATOR},
    "priya": {Role.ENGINEER, Role.REQUESTER},
    "erik": {Role.ENGINEER},
    "pat": {Role.PROVIDER_APPROVER},
    "paula": {Role.PROVIDER_APPROVER},
    "bea": {Role.ENGINEER, Role.PROVIDER_APPROVER},
    "stella": {Role.STAFF},
    "system": {Role.SYSTEM},
}
STRANGERS = ("frida", "nils", "samir")


def _call(action: str, row: AccessRequest, actor: Actor) -> AccessRequest:
    extra: dict[str, Any] = {} if action in ("expire", "close") else {"note": "A reason."}
    return getattr(operations, action)(row.pk, actor=actor, **extra)


def _actor(cast: Cast, name: str) -> Actor:
    return cast.system() if name == "system" else cast.as_(name)


def _past_its_instant(row: AccessRequest) -> None:
    past = clock.now() - dt.timedelta(seconds=1)
    AccessRequest.objects.filter(pk=row.pk).update(decide_by=past)
    Grant.objects.filter(access_request=row).update(opens_at=past - dt.timedelta(hours=1), closes_at=past)


def _expected(edge: Transition, state: State, name: str, *, late: bool) -> type[Exception] | None:
    if not edge.roles & PEOPLE[name]:
        return NotAllowed
    # The provider's approver of the cast has said yes in these states already: one human counts once.
    if edge.is_decision and name == "pat" and state not in (State.PENDING_PROVIDER, State.WITHDRAWN, State.EXPIRED):
        return NotAllowed
    if edge.is_decision and name == "ada" and state in (State.OPEN, State.CLOSED):
        return NotAllowed
    if state not in edge.sources:
        return WrongState
    if late and edge.timing is Timing.BEFORE:
        return DeadlinePassed
    if not late and edge.timing is Timing.AFTER:
        return WrongState
    return None


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
@pytest.mark.parametrize("state", list(State))
def test_every_state_action_and_role_agrees_with_the_table(cast: Cast, state: State, late: bool) -> None:
    """One world per state; each attempt is rolled back, so that all start from the same row."""
    row = cast.in_state(state)
    if late:
        _past_its_instant(row)
    for action in MOVES:
        edge = TRANSITIONS[action]
        for name in PEOPLE:
            wanted = _expected(edge, state, name, late=late)
            with _undone():
                actor = _actor(cast, name)
                before, told = events_of(row), outbox_topics(row)
                if wanted is None:
                    moved = _call(action, row, actor)
                    assert moved.state in edge.targets, (action, name)
                    assert events_of(row) == [*before, edge.event], (action, name)
                    assert outbox_topics(row) != told, (action, name)
                else:
                    with pytest.raises(wanted) as refusal:
                        _call(action, row, actor)
                    assert type(refusal.value) in (wanted, *_kinds(wanted)), (action, name, refusal.value)
                    assert AccessRequest.objects.get(pk=row.pk).state == state
                    assert events_of(row) == ([*before, "act.refused"] if name != "system" else before), (
                        action,
                        name,
                    )
                    assert outbox_topics(row) == told


@contextmanager
def _undone() -> Iterator[None]:
    """A savepoint and not `atomic`: an operation refuses to run inside somebody else's atomic block."""
    here = transaction.savepoint()
    yield
    transaction.savepoint_rollback(here)


def _kinds(wanted: type[Exception]) -> tuple[type[Exception], ...]:
    return tuple(wanted.__subclasses__()) if wanted is NotAllowed else ()


@pytest.mark.django_db
@pytest.mark.parametrize("action", MOVES)
@pytest.mark.parametrize("name", STRANGERS)
def test_strangers_find_nothing_to_move(cast: Cast, action: str, name: str) -> None:
    row = cast.submitted()
    with pytest.raises(NotFound):
        _call(action, row, cast.as_(name))
    assert events_of(row) == ["access_request.submitted"]


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("state", list(State))
def test_what_is_offered_is_what_is_accepted(cast: Cast, state: State) -> None:
    row = cast.in_state(state)
    for name in PEOPLE:
        actor = _actor(cast, name)
        offered = {edge.action for edge in allowed_actions(row, actor=actor, at=clock.now())}
        for action in MOVES:
            with _undone():
                try:
                    _call(action, AccessRequest.objects.get(pk=row.pk), _actor(cast, name))
                    accepted = True
                except (NotAllowed, WrongState):
                    accepted = False
            assert (action in offered) == accepted, (state, name, action)


def test_the_tables_are_sound() -> None:
    assert list(problems()) == []


def test_an_unsound_table_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {action: edge for action, edge in TRANSITIONS.items() if action != "expire"}
    monkeypatch.setattr(lifecycle, "TRANSITIONS", fewer)
    assert "no move leads to EXPIRED" in list(problems())


def test_nothing_leads_out_of_a_final_state() -> None:
    for edge in TRANSITIONS.values():
        assert not edge.sources & FINAL


def test_only_the_system_expires_and_closes() -> None:
    for action in ("expire", "close"):
        assert TRANSITIONS[action].roles == {Role.SYSTEM}


def test_every_decision_needs_a_step_up_and_a_deadline() -> None:
    decisions = [edge for edge in TRANSITIONS.values() if edge.is_decision]
    assert len(decisions) == 4
    for edge in decisions:
        assert edge.needs_step_up
        assert edge.timing is Timing.BEFORE
        assert edge.sources <= PENDING


@pytest.mark.django_db
def test_the_database_refuses_a_state_that_the_table_does_not_know(cast: Cast) -> None:
    row = cast.submitted()
    with pytest.raises(IntegrityError):
        AccessRequest.objects.filter(pk=row.pk).update(state="APPROVED")


@pytest.mark.django_db
def test_the_database_refuses_a_decision_by_whoever_asked(cast: Cast) -> None:
    row = cast.submitted()
    with pytest.raises(IntegrityError):
        Decision.objects.create(
            tenant=row.tenant,
            access_request=row,
            stage="provider",
            verdict="approve",
            decider=cast.priya,
            decider_human=cast.priya.human_id,
            requester_human=row.requester_human,
            door="shell",
            at=clock.now(),
        )
