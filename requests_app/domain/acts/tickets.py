"""Declares the acts on tickets."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import CREATED, UPDATED
from requests_app.domain import limits
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import (
    Act,
    Comment,
    Door,
    Event,
    Field,
    Kind,
    MailWords,
    Moves,
    Noun,
    Route,
    Tell,
    has,
    is_actor,
)
from requests_app.domain.acts.installation import RESOURCE_ADDED
from requests_app.domain.scopes import Scope
from requests_app.domain.states import TICKET_LIVE, TicketState, Timing

WORKERS = frozenset({Role.ENGINEER, Role.STAFF})
CUSTOMERS = frozenset({Role.MEMBER, Role.APPROVER, Role.ADMINISTRATOR})

TICKET_OPENED = Event(
    "ticket.opened",
    label=_("Ticket opened"),
    sentence=_("{who} opened the ticket {ticket}: {ticket_title}"),
    variants=(
        (has("practice"), _("{who} started a practice request with the ticket {ticket}: {ticket_title}")),
        (has("on_behalf_of"), _("{who} recorded the ticket {ticket} for {on_behalf_of}: {ticket_title}")),
    ),
    siem=CREATED,
)
TICKET_ASSIGNED = Event(
    "ticket.assigned",
    label=_("Ticket assigned"),
    sentence=_("{who} assigned the ticket {ticket} to {assignee}"),
    variants=((is_actor("assignee_id"), _("{who} took the ticket {ticket}")),),
    siem=UPDATED,
)
TICKET_ANSWER_ASKED = Event(
    "ticket.answer_asked",
    label=_("Question to the customer"),
    sentence=_("{who} asked the customer a question on the ticket {ticket}"),
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
    sentence=_("{who} wrote an internal note on the ticket {ticket}; only {provider} can read the note"),
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
    sentence=_("{who} removed the external reference of the ticket {ticket}"),
    variants=(
        (has("external_reference"), _("{who} linked the ticket {ticket} to {external_reference}")),
        (has("external_url"), _("{who} linked the ticket {ticket} to {external_url}")),
    ),
    siem=UPDATED,
)

RECORDED = MailWords(
    subject=_("{tenant}: we recorded your ticket {ticket_reference}, {title}"),
    headline=_("Your ticket is recorded"),
    lead=(
        _("{opened_by} recorded in a ticket what you told {provider}. The engineers of {service} have been informed."),
        _("If something in the ticket is wrong, write a comment on the ticket’s page."),
    ),
    link=_("Read the ticket"),
)
OPEN_TICKET = Act(
    "open_ticket",
    noun=Noun.TENANT,
    title=_("Open a ticket"),
    # A title becomes the subject of a mail, so it has no line breaks.
    inputs=(
        Field("title", at_most=limits.TITLE_MAX),
        Field("body", Kind.TEXT, at_most=limits.JUSTIFICATION_MAX),
    ),
    roles=CUSTOMERS | WORKERS,
    moves=Moves(sources=frozenset(), targets=(TicketState.NEW,)),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_OPENED,),
    tried=_("to open a ticket"),
    done=_("The ticket is open. Its reference is {reference}."),
    tells=(Tell("notify.ticket_opened", ("queue",)), Tell("notify.ticket_recorded", ("ticket_customers",), RECORDED)),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
START_PRACTICE = Act(
    "start_practice",
    noun=Noun.TENANT,
    title=_("Start a practice request"),
    explains=_(
        "A ticket with a made-up problem is opened. An engineer then asks for access to made-up content, and everybody "
        "who would decide on a real access request decides on this one. Nobody’s real content is opened."
    ),
    roles=frozenset({Role.ADMINISTRATOR, Role.STAFF}),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_OPENED, RESOURCE_ADDED),
    tried=_("to start a practice request"),
    done=_("The practice ticket {reference} is open. The engineers of {service} have been told."),
    tells=(Tell("notify.ticket_opened", ("queue",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
ASSIGN_TICKET = Act(
    "assign_ticket",
    noun=Noun.TICKET,
    title=_("Take this ticket"),
    roles=WORKERS,
    moves=Moves(
        sources=frozenset({TicketState.NEW, TicketState.ASSIGNED, TicketState.WAITING_FOR_CUSTOMER}),
        targets=(TicketState.ASSIGNED,),
    ),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_ASSIGNED,),
    tried=_("to take a ticket or assign it"),
    done=_("The ticket is assigned."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    own_doors="An engineer takes the ticket with one button; everybody else chooses an engineer of its queue.",
)
ASK_CUSTOMER = Act(
    "ask_customer",
    noun=Noun.TICKET,
    comment=Comment.NEEDED,
    title=_("Ask the customer"),
    roles=WORKERS,
    moves=Moves(sources=frozenset({TicketState.ASSIGNED}), targets=(TicketState.WAITING_FOR_CUSTOMER,)),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_ANSWER_ASKED,),
    tried=_("to ask the customer a question"),
    done=_("The question is sent. The ticket waits for the customer."),
    tells=(Tell("notify.ticket_answered", ("ticket_customers",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route(
        "ask", "Ask the customer a question, and wait for the answer", "The comment is required: it is the question."
    ),
)
ANSWER_TICKET = Act(
    "answer_ticket",
    noun=Noun.TICKET,
    comment=Comment.NEEDED,
    title=_("Answer"),
    roles=CUSTOMERS,
    moves=Moves(sources=frozenset({TicketState.WAITING_FOR_CUSTOMER}), targets=(TicketState.ASSIGNED,)),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_ANSWERED,),
    tried=_("to answer on a ticket"),
    done=_("Your answer is sent."),
    tells=(Tell("notify.ticket_answered", ("ticket_workers",)),),
    doors=frozenset({Door.PAGES, Door.API}),
    route=Route("answer", "Answer the question to the customer", "The comment is required: it is the answer."),
)
COMMENT = Act(
    "comment",
    noun=Noun.TICKET,
    title=_("Add a comment to a ticket"),
    inputs=(Field("body", Kind.TEXT, at_most=limits.JUSTIFICATION_MAX),),
    roles=CUSTOMERS | WORKERS,
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_COMMENTED, TICKET_NOTE_ADDED),
    tried=_("to add a comment to a ticket"),
    done=_("Your comment is added."),
    tells=(Tell("notify.ticket_answered", ("ticket_workers", "ticket_customers")),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
RESOLVE_TICKET = Act(
    "resolve_ticket",
    noun=Noun.TICKET,
    comment=Comment.OPTIONAL,
    title=_("Resolve"),
    roles=WORKERS,
    moves=Moves(
        sources=frozenset({TicketState.ASSIGNED, TicketState.WAITING_FOR_CUSTOMER}), targets=(TicketState.RESOLVED,)
    ),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_RESOLVED,),
    tried=_("to resolve a ticket"),
    done=_("The ticket is resolved."),
    tells=(Tell("notify.ticket_answered", ("ticket_workers", "ticket_customers")),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route(
        "resolve", "Mark the problem as solved", "Waiting access requests and open windows of the ticket end, too."
    ),
)
CLOSE_TICKET = Act(
    "close_ticket",
    noun=Noun.TICKET,
    comment=Comment.OPTIONAL,
    title=_("Close the ticket"),
    roles=CUSTOMERS | WORKERS,
    moves=Moves(sources=TICKET_LIVE | {TicketState.RESOLVED}, targets=(TicketState.CLOSED,)),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_CLOSED,),
    tried=_("to close a ticket"),
    done=_("The ticket is closed."),
    tells=(Tell("notify.ticket_answered", ("ticket_workers", "ticket_customers")),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route("close", "Close a ticket", "Waiting access requests and open windows of the ticket end, too."),
)
REOPEN_TICKET = Act(
    "reopen_ticket",
    noun=Noun.TICKET,
    comment=Comment.NEEDED,
    title=_("Reopen"),
    roles=CUSTOMERS | WORKERS,
    moves=Moves(
        sources=frozenset({TicketState.RESOLVED, TicketState.CLOSED}),
        targets=(TicketState.ASSIGNED, TicketState.NEW),
        timing=Timing.BEFORE,
    ),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_REOPENED,),
    tried=_("to reopen a ticket"),
    done=_("The ticket is open again."),
    tells=(Tell("notify.ticket_answered", ("ticket_workers", "ticket_customers")),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route(
        "reopen",
        "Reopen a ticket, within 7 days",
        "The comment is required: it is the reason. Access that ended with the ticket does not begin again.",
    ),
)
LINK_TICKET = Act(
    "link_ticket",
    noun=Noun.TICKET,
    title=_("Link a ticket to another system"),
    roles=CUSTOMERS | WORKERS,
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_LINKED,),
    tried=_("to link a ticket to another system"),
    done=_("The ticket’s external reference was saved."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
