"""Acts on a ticket."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import CREATED, UPDATED
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Event, Moves, has, is_actor
from requests_app.domain.scopes import Scope
from requests_app.domain.states import TICKET_LIVE, TicketState, Timing

WORKERS = frozenset({Role.ENGINEER, Role.STAFF})
CUSTOMERS = frozenset({Role.MEMBER, Role.APPROVER, Role.ADMINISTRATOR})

TICKET_OPENED = Event(
    "ticket.opened",
    label=_("Ticket opened"),
    sentence=_("{who} opened the ticket {ticket}: {ticket_title}"),
    variants=((has("on_behalf_of"), _("{who} recorded the ticket {ticket} for {on_behalf_of}: {ticket_title}")),),
    siem=CREATED,
)
TICKET_ASSIGNED = Event(
    "ticket.assigned",
    label=_("Ticket assigned"),
    sentence=_("{who} gave the ticket {ticket} to {assignee}"),
    variants=((is_actor("assignee_id"), _("{who} took the ticket {ticket}")),),
    siem=UPDATED,
)
TICKET_ANSWER_ASKED = Event(
    "ticket.answer_asked",
    label=_("Answer asked of the customer"),
    sentence=_("{who} asked the customer something on the ticket {ticket}"),
    siem=UPDATED,
)
TICKET_ANSWERED = Event(
    "ticket.answered",
    label=_("Customer answered"),
    sentence=_("{who} answered on the ticket {ticket}"),
    siem=UPDATED,
)
TICKET_COMMENTED = Event(
    "ticket.commented",
    label=_("Comment added"),
    sentence=_("{who} wrote on the ticket {ticket}"),
    siem=UPDATED,
)
TICKET_NOTE_ADDED = Event(
    "ticket.note_added",
    label=_("Internal note added"),
    sentence=_("{who} wrote a note on the ticket {ticket} that only {provider} reads"),
    siem=UPDATED,
)
TICKET_RESOLVED = Event(
    "ticket.resolved",
    label=_("Ticket resolved"),
    sentence=_("{who} resolved the ticket {ticket}"),
    siem=UPDATED,
)
TICKET_CLOSED = Event(
    "ticket.closed",
    label=_("Ticket closed"),
    sentence=_("{who} closed the ticket {ticket}"),
    siem=UPDATED,
)
TICKET_REOPENED = Event(
    "ticket.reopened",
    label=_("Ticket reopened"),
    sentence=_("{who} reopened the ticket {ticket}"),
    siem=UPDATED,
)
TICKET_LINKED = Event(
    "ticket.linked",
    label=_("Ticket linked"),
    sentence=_("{who} took away what the ticket {ticket} is called elsewhere"),
    variants=(
        (has("external_reference"), _("{who} linked the ticket {ticket} to {external_reference}")),
        (has("external_url"), _("{who} linked the ticket {ticket} to {external_url}")),
    ),
    siem=UPDATED,
)

OPEN_TICKET = Act(
    "open_ticket",
    title=_("Open a ticket"),
    roles=CUSTOMERS | WORKERS,
    moves=Moves(sources=frozenset(), targets=(TicketState.NEW,)),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_OPENED,),
    tried=_("open a ticket"),
)
ASSIGN_TICKET = Act(
    "assign_ticket",
    title=_("Take this ticket"),
    roles=WORKERS,
    moves=Moves(
        sources=frozenset({TicketState.NEW, TicketState.ASSIGNED, TicketState.WAITING_FOR_CUSTOMER}),
        targets=(TicketState.ASSIGNED,),
    ),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_ASSIGNED,),
    tried=_("take or give a ticket"),
)
ASK_CUSTOMER = Act(
    "ask_customer",
    title=_("Ask the customer"),
    roles=WORKERS,
    moves=Moves(sources=frozenset({TicketState.ASSIGNED}), targets=(TicketState.WAITING_FOR_CUSTOMER,)),
    needs_note=True,
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_ANSWER_ASKED,),
    tried=_("ask the customer something"),
)
ANSWER_TICKET = Act(
    "answer_ticket",
    title=_("Answer"),
    roles=CUSTOMERS,
    moves=Moves(sources=frozenset({TicketState.WAITING_FOR_CUSTOMER}), targets=(TicketState.ASSIGNED,)),
    needs_note=True,
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_ANSWERED,),
    tried=_("answer on a ticket"),
)
COMMENT = Act(
    "comment",
    roles=CUSTOMERS | WORKERS,
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_COMMENTED, TICKET_NOTE_ADDED),
    tried=_("write on a ticket"),
)
RESOLVE_TICKET = Act(
    "resolve_ticket",
    title=_("Resolve"),
    roles=WORKERS,
    moves=Moves(
        sources=frozenset({TicketState.ASSIGNED, TicketState.WAITING_FOR_CUSTOMER}), targets=(TicketState.RESOLVED,)
    ),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_RESOLVED,),
    tried=_("resolve a ticket"),
)
CLOSE_TICKET = Act(
    "close_ticket",
    title=_("Close the ticket"),
    roles=CUSTOMERS | WORKERS,
    moves=Moves(sources=TICKET_LIVE | {TicketState.RESOLVED}, targets=(TicketState.CLOSED,)),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_CLOSED,),
    tried=_("close a ticket"),
)
REOPEN_TICKET = Act(
    "reopen_ticket",
    title=_("Reopen"),
    roles=CUSTOMERS | WORKERS,
    moves=Moves(
        sources=frozenset({TicketState.RESOLVED, TicketState.CLOSED}),
        targets=(TicketState.ASSIGNED, TicketState.NEW),
        timing=Timing.BEFORE,
    ),
    needs_note=True,
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_REOPENED,),
    tried=_("reopen a ticket"),
)
LINK_TICKET = Act(
    "link_ticket",
    roles=CUSTOMERS | WORKERS,
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_LINKED,),
    tried=_("link a ticket"),
)
