"""The table of transitions. The kernel accepts exactly what is in it, for every state, act and role."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from requests_app import operations
from requests_app.domain import clock, lifecycle
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import DeadlinePassed, DomainError, NotAllowed, NotFound, WrongState
from requests_app.domain.lifecycle import TICKET_TRANSITIONS, TRANSITIONS, Transition, problems
from requests_app.domain.states import FINAL, PENDING, State, TicketState, Timing
from requests_app.models import AccessRequest, Decision, Grant, Ticket, TicketComment
from requests_app.operations._change import Repeated
from requests_app.queries import tickets as ticket_queries
from requests_app.queries.access import allowed_actions
from tests.cast import Cast, events_in, events_of, outbox_topics

#: Who did which transition on the way to a state. A repetition of it succeeds without a second effect.
REPEATED = {
    ("pat", "PENDING_CUSTOMER", "approve_as_provider"),
    ("pat", "OPEN", "approve_as_provider"),
    ("pat", "CLOSED", "approve_as_provider"),
    ("pat", "DENIED", "deny_as_provider"),
    ("ada", "OPEN", "approve_as_customer"),
    ("ada", "CLOSED", "approve_as_customer"),
    ("priya", "WITHDRAWN", "withdraw"),
    ("priya", "CLOSED", "release"),
}
MOVES = [action for action in TRANSITIONS if action != "submit"]

#: Everybody in the cast, with their roles for an access request that Priya raised for Contoso's mailbox.
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
    if not edge.act.roles & PEOPLE[name]:
        return NotAllowed
    if (name, str(state), edge.act.name) in REPEATED:
        return Repeated
    if state not in edge.moves.sources:
        return WrongState
    if late and edge.moves.timing is Timing.BEFORE:
        return DeadlinePassed
    if not late and edge.moves.timing is Timing.AFTER:
        return WrongState
    return None


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
@pytest.mark.parametrize("state", list(State))
def test_every_state_action_and_role_agrees_with_the_table(cast: Cast, state: State, late: bool) -> None:
    """Each attempt is rolled back, so that all attempts start from the same row.

    Every act that is offered must be accepted if it is done in time.
    """
    row = cast.in_state(state)
    if late:
        _past_its_instant(row)
    actors = {name: _actor(cast, name) for name in PEOPLE}
    offered = {
        name: {edge.act.name for edge in allowed_actions(row, actor=actor, at=clock.now())}
        for name, actor in actors.items()
    }
    before, messages = events_of(row), outbox_topics(row)
    for action in MOVES:
        edge = TRANSITIONS[action]
        for name, actor in actors.items():
            wanted = _expected(edge, state, name, late=late)
            if not late:
                assert (action in offered[name]) == (wanted is None), (state, name, action)
            with _undone():
                if wanted is None:
                    moved = _call(action, row, actor)
                    assert moved.state in edge.moves.targets, (action, name)
                    assert events_of(row) == [*before, edge.event], (action, name)
                    assert outbox_topics(row) != messages, (action, name)
                elif wanted is Repeated:
                    assert _call(action, row, actor).state == state, (action, name)
                    assert (events_of(row), outbox_topics(row)) == (before, messages), (action, name)
                else:
                    with pytest.raises(wanted) as refusal:
                        _call(action, row, actor)
                    assert type(refusal.value) in (wanted, *_kinds(wanted)), (action, name, refusal.value)
                    assert AccessRequest.objects.values_list("state", flat=True).get(pk=row.pk) == state
                    assert events_of(row) == ([*before, "act.refused"] if name != "system" else before), (
                        action,
                        name,
                    )
                    assert outbox_topics(row) == messages


@contextmanager
def _undone() -> Iterator[None]:
    """Roll the block back to a savepoint. `atomic` can't be used, because operations refuse to run inside it."""
    here = transaction.savepoint()
    yield
    transaction.savepoint_rollback(here)


def _kinds(wanted: type[Exception]) -> tuple[type[Exception], ...]:
    return tuple(wanted.__subclasses__()) if wanted is NotAllowed else ()


def _attempt(call: Callable[[], object], events: Callable[[], list[str]]) -> tuple[type[Exception] | None, list[str]]:
    """Make the call, and roll it back. Return the type of its error, or None, and the events that it logged."""
    error: type[Exception] | None = None
    with _undone():
        try:
            call()
        except DomainError as refusal:
            error = type(refusal)
        return error, events()


@pytest.mark.django_db
def test_strangers_find_nothing_to_move(cast: Cast) -> None:
    row = cast.submitted()
    offenders = {}
    for name in STRANGERS:
        actor = cast.as_(name)
        for action in MOVES:
            found = _attempt(partial(_call, action, row, actor), partial(events_of, row))
            if found != (NotFound, ["access_request.submitted"]):
                offenders[name, action] = found
    assert offenders == {}


# --- Tickets -------------------------------------------------------------------------------------------------

TICKET_MOVES = [action for action in TICKET_TRANSITIONS if action != "open_ticket"]
#: The roles for a ticket of the exchange queue. No person has the role of requester for a ticket.
TICKET_PEOPLE = {name: roles - {Role.REQUESTER} for name, roles in PEOPLE.items()}
_ENDED = (TicketState.RESOLVED, TicketState.CLOSED)


def _ticket_in(cast: Cast, state: TicketState, *, assigned: bool = True) -> Ticket:
    """Return a ticket of Contoso in this state. People of the cast bring it there with operations."""
    ticket, priya = cast.ticket(), cast.as_("priya")
    if state is TicketState.NEW:
        return ticket
    if state is TicketState.CLOSED and not assigned:
        return operations.close_ticket(ticket.pk, actor=cast.as_("mia"))
    ticket = operations.assign_ticket(ticket.pk, actor=priya)
    if state is TicketState.WAITING_FOR_CUSTOMER:
        return operations.ask_customer(ticket.pk, actor=priya, note="Since when?")
    if state is TicketState.RESOLVED:
        return operations.resolve_ticket(ticket.pk, actor=priya)
    if state is TicketState.CLOSED:
        return operations.close_ticket(ticket.pk, actor=cast.as_("mia"))
    return ticket


def _call_ticket(cast: Cast, action: str, ticket: Ticket, actor: Actor) -> Ticket:
    if action == "assign_ticket":
        return operations.assign_ticket(ticket.pk, actor=actor, assignee_id=cast.erik.pk)
    return getattr(operations, action)(ticket.pk, actor=actor, note="A reason.")


def _expected_of_ticket(edge: Transition, state: TicketState, name: str, *, late: bool) -> type[Exception] | None:
    if not edge.act.roles & TICKET_PEOPLE[name]:
        return NotAllowed
    if state not in edge.moves.sources:
        return WrongState
    return DeadlinePassed if late and edge.moves.timing is Timing.BEFORE else None


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("days", [6, 7], ids=["in time", "late"])
@pytest.mark.parametrize("state", list(TicketState))
def test_every_state_action_and_role_of_a_ticket_agrees_with_the_table(
    cast: Cast, travel: Any, state: TicketState, days: int
) -> None:
    """A ticket that has ended can be reopened only within 7 days.

    Every act that is offered must be accepted if it is done in time.
    """
    travel.freeze()
    ticket = _ticket_in(cast, state)
    travel.by(days=days)
    late = days == 7 and state in _ENDED
    actors = {name: _actor(cast, name) for name in TICKET_PEOPLE}
    offered = {
        name: {edge.act.name for edge in ticket_queries.allowed_actions(ticket, actor=actor, at=clock.now())}
        for name, actor in actors.items()
    }
    before, messages, comments = events_in(cast.contoso), outbox_topics(), TicketComment.objects.count()
    for action in TICKET_MOVES:
        edge = TICKET_TRANSITIONS[action]
        for name, actor in actors.items():
            wanted = _expected_of_ticket(edge, state, name, late=late)
            if not late:
                assert (action in offered[name]) == (wanted is None), (state, name, action)
            with _undone():
                if wanted is None:
                    moved = _call_ticket(cast, action, ticket, actor)
                    assert moved.state in edge.moves.targets, (action, name)
                    assert events_in(cast.contoso) == [*before, edge.event], (action, name)
                    assert TicketComment.objects.count() == comments + (action != "assign_ticket")
                else:
                    with pytest.raises(wanted) as refusal:
                        _call_ticket(cast, action, ticket, actor)
                    assert type(refusal.value) is wanted, (action, name, refusal.value)
                    assert Ticket.objects.values_list("state", flat=True).get(pk=ticket.pk) == state
                    refused = ["act.refused"] if name != "system" else []
                    assert events_in(cast.contoso) == [*before, *refused], (action, name)
                    assert (outbox_topics(), TicketComment.objects.count()) == (messages, comments)


@pytest.mark.django_db
def test_strangers_find_no_ticket_to_move(cast: Cast) -> None:
    ticket = cast.ticket()
    offenders = {}
    for name in STRANGERS:
        actor = cast.as_(name)
        for action in TICKET_MOVES:
            found = _attempt(partial(_call_ticket, cast, action, ticket, actor), partial(events_in, cast.contoso))
            if found != (NotFound, ["ticket.opened"]):
                offenders[name, action] = found
    assert offenders == {}


@pytest.mark.dialect
@pytest.mark.django_db
@pytest.mark.parametrize(("assigned", "target"), [(True, "ASSIGNED"), (False, "NEW")])
def test_a_ticket_is_reopened_for_its_last_assignee(cast: Cast, assigned: bool, target: str) -> None:
    ticket = _ticket_in(cast, TicketState.CLOSED, assigned=assigned)
    assert operations.reopen_ticket(ticket.pk, actor=cast.as_("mia"), note="Again.").state == target


@pytest.mark.dialect
@pytest.mark.django_db
@pytest.mark.parametrize("late", [-1, 0])
def test_a_ticket_is_reopened_up_to_a_microsecond_before_seven_days(cast: Cast, travel: Any, late: int) -> None:
    travel.freeze()
    ticket = _ticket_in(cast, TicketState.CLOSED)
    assert ticket.closed_at is not None
    travel.to(ticket.closed_at + dt.timedelta(days=7, microseconds=late))
    if late < 0:
        assert operations.reopen_ticket(ticket.pk, actor=cast.as_("mia"), note="Again.").state == "ASSIGNED"
        return
    with pytest.raises(DeadlinePassed):
        operations.reopen_ticket(ticket.pk, actor=cast.as_("mia"), note="Again.")
    assert Ticket.objects.get(pk=ticket.pk).state == "CLOSED"


def _commented(cast: Cast, ticket: Ticket, name: str) -> tuple[object, ...]:
    """Write a comment, and roll it back. Return the comment or the refusal, the events, the messages and the state."""
    before, messages = events_in(cast.contoso), outbox_topics()
    left: tuple[object, ...]
    with _undone():
        try:
            row = operations.comment(ticket.pk, actor=cast.as_(name), body="Since Monday.")
            left = (row.body, row.is_internal)
        except DomainError as refusal:
            left = (type(refusal),)
        events = events_in(cast.contoso)
        assert events[: len(before)] == before
        topics = [*(Counter(outbox_topics()) - Counter(messages)).elements()]
        return *left, events[len(before) :], topics, Ticket.objects.get(pk=ticket.pk).state


@pytest.mark.dialect
@pytest.mark.django_db
@pytest.mark.parametrize("state", [*TicketState])
def test_a_comment_moves_a_ticket_only_where_it_is_the_answer(cast: Cast, state: TicketState) -> None:
    """A customer's comment is the answer only if the ticket waits for it: one transition, one entry, one mail."""
    ticket = _ticket_in(cast, state)
    people = ("mia", "priya", "stella")
    answered = ("Since Monday.", False, ["ticket.answered"], ["notify.ticket_answered"], TicketState.ASSIGNED)
    wanted: dict[str, tuple[object, ...]] = dict.fromkeys(
        people, ("Since Monday.", False, ["ticket.commented"], ["notify.ticket_answered"], state)
    )
    if state is TicketState.CLOSED:
        wanted = dict.fromkeys(people, (WrongState, ["act.refused"], [], state))
    if state is TicketState.WAITING_FOR_CUSTOMER:
        wanted["mia"] = answered
    assert {name: _commented(cast, ticket, name) for name in people} == wanted


@pytest.mark.django_db
def test_a_comment_that_was_written_before_the_question_leaves_the_ticket_waiting(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question is asked after the comment's operation has read the ticket and before the act."""
    ticket = _ticket_in(cast, TicketState.WAITING_FOR_CUSTOMER)
    monkeypatch.setattr("requests_app.operations.tickets._is_answer", lambda *args: False)
    operations.comment(ticket.pk, actor=cast.as_("mia"), body="By the way.")
    assert events_in(cast.contoso)[-1] == "ticket.commented"
    assert Ticket.objects.get(pk=ticket.pk).state == "WAITING_FOR_CUSTOMER"


# --- The tables ----------------------------------------------------------------------------------------------


def test_the_tables_are_sound() -> None:
    assert list(problems()) == []


def test_an_unsound_table_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {action: edge for action, edge in TRANSITIONS.items() if action != "expire"}
    monkeypatch.setattr(lifecycle, "TRANSITIONS", fewer)
    assert "no move leads to EXPIRED" in list(problems())


def test_only_a_move_that_leads_to_one_state_has_a_target() -> None:
    """If a transition can lead to two states, only the decision determines which of them follows."""
    for edge in (*TRANSITIONS.values(), *TICKET_TRANSITIONS.values()):
        if len(edge.moves.targets) == 1:
            assert (edge.target,) == edge.moves.targets
        else:
            with pytest.raises(LookupError, match=edge.act.name):
                _ = edge.target


def test_nothing_leads_out_of_a_final_state() -> None:
    for edge in TRANSITIONS.values():
        assert not edge.moves.sources & FINAL


def test_only_the_system_expires_and_closes() -> None:
    for action in ("expire", "close"):
        assert TRANSITIONS[action].act.roles == {Role.SYSTEM}


def test_only_what_gives_access_needs_fresh_proof() -> None:
    proven = {action for action, edge in TRANSITIONS.items() if edge.needs_step_up}
    assert proven == {"approve_as_provider", "approve_as_customer"}


def test_every_decision_has_a_deadline() -> None:
    decisions = [edge for edge in TRANSITIONS.values() if edge.moves.is_decision]
    assert len(decisions) == 4
    for edge in decisions:
        assert edge.moves.timing is Timing.BEFORE
        assert edge.moves.sources <= PENDING


@pytest.mark.dialect
@pytest.mark.django_db
def test_the_database_refuses_a_state_that_the_table_does_not_know(cast: Cast) -> None:
    row = cast.submitted()
    with pytest.raises(IntegrityError):
        AccessRequest.objects.filter(pk=row.pk).update(state="APPROVED")


@pytest.mark.dialect
@pytest.mark.django_db
def test_the_database_refuses_a_decision_by_the_requester(cast: Cast) -> None:
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
