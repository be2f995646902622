"""Gives a ticket an assignee, as an act of its own or as part of an access request for the ticket."""

from __future__ import annotations

from requests_app.domain.acts.tickets import ASSIGN_TICKET
from requests_app.domain.lifecycle import TICKET_TRANSITIONS
from requests_app.models import Person, Ticket
from requests_app.operations._change import Step, TicketMove, apply_ticket


def hand_to(assignee: Person, step: TicketMove) -> None:
    step.row.assignee = assignee
    step.detail = {"assignee": assignee.name, "assignee_id": str(assignee.pk)}


def take_unassigned(ticket: Ticket, engineer: Person, current: Step) -> None:
    """Assign the ticket to the engineer inside the current act, with the same entry as “Take this ticket”.

    Do nothing if somebody has the ticket. The ticket must be locked, its state must allow the assignment, and the
    engineer must be in its queue.
    """
    if ticket.assignee_id is not None:
        return
    step = TicketMove(
        actor=current.actor,
        act=ASSIGN_TICKET,
        at=current.at,
        row=ticket,
        edge=TICKET_TRANSITIONS[ASSIGN_TICKET.name],
        head=current.head,
        tenant_id=ticket.tenant_id,
        subject_type="ticket",
        subject_id=str(ticket.pk),
    )
    hand_to(engineer, step)
    apply_ticket(step)
