"""All moves of access requests and tickets, and who may make them: the tables, built from the declarations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import TextChoices
from django.utils.functional import Promise

from requests_app.domain.actors import Role
from requests_app.domain.acts import ACTS
from requests_app.domain.acts.declaration import Act, Comment, Door, Moves, Noun, StepUp
from requests_app.domain.states import FINAL, State, TicketState, Timing


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One row of the table. `sources` is empty for the move that makes the row."""

    action: str
    sources: frozenset[str]
    targets: tuple[str, ...]
    roles: frozenset[Role]
    event: str
    label: Promise
    explains: str | Promise = ""
    timing: Timing = Timing.ANY
    # Only what gives access takes fresh proof of who acts; what denies or ends it takes a session alone.
    needs_step_up: bool = False
    needs_note: bool = False
    is_decision: bool = False
    closes: str = ""

    @property
    def target(self) -> str:
        """The only target. The one edge that has two chooses its own at the decision."""
        if len(self.targets) != 1:
            raise LookupError(self.action)
        return self.targets[0]

    @property
    def verdict(self) -> str:
        """The verdict of a decision: "approve" or "deny"."""
        return self.action.partition("_as_")[0]

    @property
    def stage(self) -> str:
        """The stage of a decision; empty for a move that is not a decision."""
        return self.action.partition("_as_")[2]


def _table(states: type[TextChoices]) -> dict[str, Transition]:
    """Return the acts that lead to one of these states, in the order of their declarations."""
    moving = ((act, act.moves) for act in ACTS.values() if act.moves is not None)
    return {act.name: _row(act, moves) for act, moves in moving if isinstance(moves.targets[0], states)}


def _row(act: Act, moves: Moves) -> Transition:
    event, title = act.events[0], act.title
    assert title is not None
    return Transition(
        action=act.name,
        sources=moves.sources,
        targets=moves.targets,
        roles=act.roles,
        event=str(event),
        label=title,
        explains=act.explains,
        timing=moves.timing,
        needs_step_up=act.step_up is StepUp.ALWAYS,
        needs_note=act.comment is Comment.NEEDED,
        is_decision=moves.is_decision,
        closes=moves.closes,
    )


TRANSITIONS = _table(State)
TICKET_TRANSITIONS = _table(TicketState)


def _staying(noun: Noun) -> dict[str, Transition]:
    """The acts that people do on such a row in some of its states, and that leave its state as it is."""
    possible = [act for act in ACTS.values() if act.noun is noun and act.during]
    return {act.name: _row(act, Moves(sources=act.during, targets=(), timing=Timing.BEFORE)) for act in possible}


#: Acts on an access request that make no move in the table, each with the states in which it is possible.
STAYING = _staying(Noun.ACCESS_REQUEST)


def plain_acts(noun: Noun, door: Door) -> list[Act]:
    """The acts on such a row that this door offers by their declaration. A decision is not plain: it can be signed."""
    of_noun = (act for act in ACTS.values() if act.noun is noun and door in act.doors and not act.own_doors)
    return [act for act in of_noun if act.during or (act.moves is not None and not act.moves.is_decision)]


def actions_from(state: str, table: dict[str, Transition] | None = None) -> list[Transition]:
    """The edges that leave a state, in the table's order."""
    return [row for row in (TRANSITIONS if table is None else table).values() if state in row.sources]


def problems() -> Iterator[str]:
    """Yield the problems of the tables; the start-up check refuses to run with any."""
    for states, final, table in (
        (set(State.values), set(FINAL), TRANSITIONS),
        (set(TicketState.values), set(), TICKET_TRANSITIONS),
    ):
        reached = {target for row in table.values() for target in row.targets}
        left = {source for row in table.values() for source in row.sources}
        for state in sorted(states - reached):
            yield f"no move leads to {state}"
        for state in sorted(states - final - left):
            yield f"no move leads out of {state}"
        for state in sorted(left & final):
            yield f"a move leads out of the final state {state}"
