"""The single source of truth: every move an access request or a ticket can make, and who may make it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from requests_app.actors import Role
from requests_app.events import Event
from requests_app.states import FINAL, PENDING, TICKET_LIVE, State, TicketState, Timing


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One row of the table. `sources` is empty for the move that makes the row."""

    action: str
    sources: frozenset[str]
    targets: tuple[str, ...]
    roles: frozenset[Role]
    event: Event
    label: Promise
    timing: Timing = Timing.ANY
    # Only what gives access takes fresh proof of who acts; what denies or ends it takes a session alone.
    needs_step_up: bool = False
    needs_note: bool = False
    is_decision: bool = False

    @property
    def target(self) -> str:
        """The only target. The one edge that has two names its own, at the decision."""
        if len(self.targets) != 1:
            raise LookupError(self.action)
        return self.targets[0]

    @property
    def verdict(self) -> str:
        """What a decision says: "approve" or "deny"."""
        return self.action.partition("_as_")[0]

    @property
    def stage(self) -> str:
        """At which stage a decision is made; empty for a move that is no decision."""
        return self.action.partition("_as_")[2]


def _table(*rows: Transition) -> dict[str, Transition]:
    return {row.action: row for row in rows}


TRANSITIONS: dict[str, Transition] = _table(
    Transition(
        action="submit",
        sources=frozenset(),
        targets=(State.PENDING_PROVIDER,),
        roles=frozenset({Role.ENGINEER}),
        event=Event.ACCESS_REQUEST_SUBMITTED,
        label=_("Ask for access"),
    ),
    Transition(
        action="approve_as_provider",
        sources=frozenset({State.PENDING_PROVIDER}),
        targets=(State.PENDING_CUSTOMER, State.OPEN),
        roles=frozenset({Role.PROVIDER_APPROVER}),
        event=Event.ACCESS_REQUEST_APPROVED_BY_PROVIDER,
        label=_("Approve"),
        timing=Timing.BEFORE,
        needs_step_up=True,
        is_decision=True,
    ),
    Transition(
        action="deny_as_provider",
        sources=frozenset({State.PENDING_PROVIDER}),
        targets=(State.DENIED,),
        roles=frozenset({Role.PROVIDER_APPROVER}),
        event=Event.ACCESS_REQUEST_DENIED_BY_PROVIDER,
        label=_("Deny"),
        timing=Timing.BEFORE,
        needs_note=True,
        is_decision=True,
    ),
    Transition(
        action="approve_as_customer",
        sources=frozenset({State.PENDING_CUSTOMER}),
        targets=(State.OPEN,),
        roles=frozenset({Role.APPROVER}),
        event=Event.ACCESS_REQUEST_APPROVED_BY_CUSTOMER,
        label=_("Approve"),
        timing=Timing.BEFORE,
        needs_step_up=True,
        is_decision=True,
    ),
    Transition(
        action="deny_as_customer",
        sources=frozenset({State.PENDING_CUSTOMER}),
        targets=(State.DENIED,),
        roles=frozenset({Role.APPROVER}),
        event=Event.ACCESS_REQUEST_DENIED_BY_CUSTOMER,
        label=_("Deny"),
        timing=Timing.BEFORE,
        is_decision=True,
    ),
    Transition(
        # SYSTEM: the consequence of a closed ticket, a person switched off or a role taken away.
        action="withdraw",
        sources=PENDING,
        targets=(State.WITHDRAWN,),
        roles=frozenset({Role.REQUESTER, Role.SYSTEM}),
        event=Event.ACCESS_REQUEST_WITHDRAWN,
        label=_("Withdraw"),
        timing=Timing.BEFORE,
    ),
    Transition(
        action="expire",
        sources=PENDING,
        targets=(State.EXPIRED,),
        roles=frozenset({Role.SYSTEM}),
        event=Event.ACCESS_REQUEST_EXPIRED,
        label=_("Expire"),
        timing=Timing.AFTER,
    ),
    Transition(
        action="release",
        sources=frozenset({State.OPEN}),
        targets=(State.CLOSED,),
        roles=frozenset({Role.REQUESTER}),
        event=Event.GRANT_RELEASED,
        label=_("I am done"),
        timing=Timing.BEFORE,
    ),
    Transition(
        # SYSTEM: the same consequences as under "withdraw", for a window that is open already.
        action="revoke",
        sources=frozenset({State.OPEN}),
        targets=(State.CLOSED,),
        roles=frozenset({Role.APPROVER, Role.PROVIDER_APPROVER, Role.STAFF, Role.SYSTEM}),
        event=Event.GRANT_REVOKED,
        label=_("Close now"),
        timing=Timing.BEFORE,
    ),
    Transition(
        action="close",
        sources=frozenset({State.OPEN}),
        targets=(State.CLOSED,),
        roles=frozenset({Role.SYSTEM}),
        event=Event.GRANT_CLOSED,
        label=_("Close"),
        timing=Timing.AFTER,
    ),
)

_WORKING = frozenset({Role.ENGINEER, Role.STAFF})
_CUSTOMER = frozenset({Role.MEMBER, Role.APPROVER, Role.ADMINISTRATOR})

TICKET_TRANSITIONS: dict[str, Transition] = _table(
    Transition(
        action="open_ticket",
        sources=frozenset(),
        targets=(TicketState.NEW,),
        roles=_CUSTOMER | _WORKING,
        event=Event.TICKET_OPENED,
        label=_("Open a ticket"),
    ),
    Transition(
        action="assign_ticket",
        sources=frozenset({TicketState.NEW, TicketState.ASSIGNED, TicketState.WAITING_FOR_CUSTOMER}),
        targets=(TicketState.ASSIGNED,),
        roles=_WORKING,
        event=Event.TICKET_ASSIGNED,
        label=_("Take this ticket"),
    ),
    Transition(
        action="ask_customer",
        sources=frozenset({TicketState.ASSIGNED}),
        targets=(TicketState.WAITING_FOR_CUSTOMER,),
        roles=_WORKING,
        event=Event.TICKET_ANSWER_ASKED,
        label=_("Ask the customer"),
        needs_note=True,
    ),
    Transition(
        action="answer_ticket",
        sources=frozenset({TicketState.WAITING_FOR_CUSTOMER}),
        targets=(TicketState.ASSIGNED,),
        roles=_CUSTOMER,
        event=Event.TICKET_ANSWERED,
        label=_("Answer"),
        needs_note=True,
    ),
    Transition(
        action="resolve_ticket",
        sources=frozenset({TicketState.ASSIGNED, TicketState.WAITING_FOR_CUSTOMER}),
        targets=(TicketState.RESOLVED,),
        roles=_WORKING,
        event=Event.TICKET_RESOLVED,
        label=_("Resolve"),
    ),
    Transition(
        action="close_ticket",
        sources=TICKET_LIVE | {TicketState.RESOLVED},
        targets=(TicketState.CLOSED,),
        roles=_CUSTOMER | _WORKING,
        event=Event.TICKET_CLOSED,
        label=_("Close the ticket"),
    ),
    Transition(
        action="reopen_ticket",
        sources=frozenset({TicketState.RESOLVED, TicketState.CLOSED}),
        targets=(TicketState.ASSIGNED, TicketState.NEW),
        roles=_CUSTOMER | _WORKING,
        event=Event.TICKET_REOPENED,
        label=_("Reopen"),
        timing=Timing.BEFORE,
        needs_note=True,
    ),
)


def actions_from(state: str, table: dict[str, Transition] | None = None) -> list[Transition]:
    """The edges that leave a state, in the table's order."""
    return [row for row in (table or TRANSITIONS).values() if state in row.sources]


def problems() -> Iterator[str]:
    """Say what is unsound in the tables; the start-up check refuses to run with any."""
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
        for row in table.values():
            if not row.roles:
                yield f"nobody may {row.action}"
            if row.is_decision and row.timing is not Timing.BEFORE:
                yield f"{row.action} decides without a deadline"
