"""The tables of transitions of access requests and of tickets, built from the declarations.

Each transition has the roles that may make it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import TextChoices

from requests_app.domain.acts import ACTS
from requests_app.domain.acts.declaration import Act, Comment, Door, Event, Moves, Noun, StepUp
from requests_app.domain.states import FINAL, State, TicketState, Timing


@dataclass(frozen=True)
class Transition:
    """One row of a table of transitions: an act, and how it moves the state of its row."""

    act: Act
    moves: Moves

    @property
    def event(self) -> Event:
        return self.act.events[0]

    @property
    def needs_step_up(self) -> bool:
        """Only acts that give access need a fresh proof of identity. To deny or end access, a session is enough."""
        return self.act.step_up is StepUp.ALWAYS

    @property
    def needs_note(self) -> bool:
        return self.act.comment is Comment.NEEDED

    @property
    def target(self) -> str:
        """The state after the transition.

        Raises LookupError if there are two targets, because the decision chooses one of them.
        """
        if len(self.moves.targets) != 1:
            raise LookupError(self.act.name)
        return self.moves.targets[0]

    @property
    def verdict(self) -> str:
        """The verdict of a decision: "approve" or "deny"."""
        return self.act.name.partition("_as_")[0]

    @property
    def stage(self) -> str:
        """The stage of a decision, or "" if the transition is not a decision."""
        return self.act.name.partition("_as_")[2]


def _table(states: type[TextChoices]) -> dict[str, Transition]:
    """Return the transitions that lead to one of these states, in the order of their declarations."""
    moving = ((act, act.moves) for act in ACTS.values() if act.moves is not None)
    return {act.name: Transition(act, moves) for act, moves in moving if isinstance(moves.targets[0], states)}


TRANSITIONS = _table(State)
TICKET_TRANSITIONS = _table(TicketState)


def _staying(noun: Noun) -> dict[str, Transition]:
    """Return the acts on this kind of row that are possible in some states and do not change the state."""
    possible = [act for act in ACTS.values() if act.noun is noun and act.during]
    return {act.name: Transition(act, Moves(sources=act.during, targets=(), timing=Timing.BEFORE)) for act in possible}


#: The acts on an access request that do not change its state, each with the states in which it is possible.
STAYING = _staying(Noun.ACCESS_REQUEST)


def deciding_act(verdict: str, side: str) -> Act:
    """Return the act with which this side approves or denies. A side has the same name as its stage."""
    return ACTS[f"{verdict}_as_{side}"]


def plain_acts(noun: Noun, door: Door) -> list[Act]:
    """Return the acts on this kind of row for which this interface has no code of its own, only the declaration.

    Decisions are left out, because a decision can be signed and so needs code of its own.
    """
    of_noun = (act for act in ACTS.values() if act.noun is noun and door in act.doors and not act.own_doors)
    return [act for act in of_noun if act.during or (act.moves is not None and not act.moves.is_decision)]


def actions_from(state: str, table: dict[str, Transition] | None = None) -> list[Transition]:
    """Return the transitions that are possible from a state, in the order of the table."""
    return [row for row in (TRANSITIONS if table is None else table).values() if state in row.moves.sources]


def problems() -> Iterator[str]:
    """Yield each problem in the tables. The start-up check stops the process if there is one."""
    for states, final, table in (
        (set(State.values), set(FINAL), TRANSITIONS),
        (set(TicketState.values), set(), TICKET_TRANSITIONS),
    ):
        reached = {target for row in table.values() for target in row.moves.targets}
        left = {source for row in table.values() for source in row.moves.sources}
        for state in sorted(states - reached):
            yield f"no move leads to {state}"
        for state in sorted(states - final - left):
            yield f"no move leads out of {state}"
        for state in sorted(left & final):
            yield f"a move leads out of the final state {state}"
