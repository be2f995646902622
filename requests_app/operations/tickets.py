"""Opens, assigns, answers, resolves, closes and reopens tickets, and adds comments to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.acts.tickets import (
    ANSWER_TICKET,
    ASK_CUSTOMER,
    ASSIGN_TICKET,
    CLOSE_TICKET,
    COMMENT,
    LINK_TICKET,
    OPEN_TICKET,
    REOPEN_TICKET,
    RESOLVE_TICKET,
    TICKET_COMMENTED,
    TICKET_LINKED,
    TICKET_NOTE_ADDED,
)
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.domain.lifecycle import TICKET_TRANSITIONS
from requests_app.domain.states import TicketState
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import AccessRequest, Person, Service, Tenant, Ticket, TicketComment
from requests_app.models.scoping import new_reference
from requests_app.operations import _elsewhere
from requests_app.operations._change import Step, TicketMove, change_ticket
from requests_app.operations._ending import end_access
from requests_app.operations._perform import perform
from requests_app.operations._taking import hand_to


@dataclass(frozen=True, kw_only=True)
class Report:
    """A problem for which a ticket is opened.

    If the provider records it for a person of the customer, `on_behalf_of_id` is that person's id. `external_reference`
    and `external_url` are the name and the address that the problem has in another help desk.
    """

    tenant_id: Any
    service_id: Any
    title: str
    body: str
    priority: str = Ticket.Priority.NORMAL
    on_behalf_of_id: Any = None
    external_reference: str = ""
    external_url: str = ""


def open_ticket(report: Report, *, actor: Actor) -> Ticket:
    """Open a ticket, or record one for a person of the customer.

    The engineers of the service's queue get a mail. The person for whom the ticket was recorded gets one too.
    """
    edge = TICKET_TRANSITIONS[OPEN_TICKET.name]
    ticket = Ticket(reference=new_reference("T"), state=TicketState.NEW)

    def find(current: Step, row_id: object) -> Tenant:
        tenant: Tenant = Tenant.objects.visible_to(current.actor).find(row_id)
        ticket.tenant, ticket.service = tenant, Service.objects.visible_to(current.actor).find(report.service_id)
        current.head = current.concerns("tenant", tenant, tenant.pk, service_id=ticket.service_id)
        return tenant

    def state(current: Step) -> None:
        if not ticket.tenant.is_active:
            raise WrongState(_("This tenant is switched off, so nobody can open a ticket."))

    def check(current: Step) -> None:
        if report.priority not in Ticket.Priority.values:
            raise Unacceptable(_("Choose one of the offered priorities."), field="priority")
        ticket.title, ticket.body = current.inputs["title"], current.inputs["body"]
        ticket.priority, ticket.opened_by_id = report.priority, current.actor.person
        ticket.external_reference = _elsewhere.reference(report.external_reference)
        ticket.external_url = _elsewhere.url(report.external_url)
        ticket.opened_at = ticket.changed_at = current.at
        _elsewhere.require_new(ticket)
        ticket.on_behalf_of = _caller(report, ticket.tenant, current.actor)
        ticket.origin = _origin(ticket, current.actor)

    inputs = {"title": report.title, "body": report.body}
    with perform(
        OPEN_TICKET, report.tenant_id, actor=actor, inputs=inputs, find=find, state=state, check=check
    ) as current:
        service = ticket.service
        ticket.save(force_insert=True)
        current.subject_type, current.subject_id = "ticket", str(ticket.pk)
        detail = {
            "reference": ticket.reference,
            "service": service.key,
            "title": ticket.title,
            "origin": str(ticket.origin),
            "on_behalf_of": ticket.on_behalf_of.name if ticket.on_behalf_of else None,
            **_elsewhere.described(ticket),
        }
        current.witness(edge.event, detail=detail, text=f"{ticket.reference} {ticket.title}")
        current.tell(_note(Topic.TICKET_OPENED, ticket, Audience.QUEUE))
        if ticket.on_behalf_of is not None:
            current.tell(_note(Topic.TICKET_RECORDED, ticket, Audience.TICKET_CUSTOMERS))
    return ticket


def assign_ticket(ticket_id: object, *, actor: Actor, assignee_id: object = None) -> Ticket:
    """Take a ticket, or assign it to another engineer of its queue."""
    with change_ticket(ticket_id, ASSIGN_TICKET, actor=actor) as step:
        wanted: Any = assignee_id or step.actor.person
        engineers = Person.objects.get_queryset().in_queue(step.row.service_id, Role.ENGINEER)
        assignee = engineers.filter(pk=wanted).first()
        if assignee is None:
            raise Unacceptable(_("Choose an engineer of this queue."), field="assignee_id")
        hand_to(assignee, step)
    return step.row


def link_ticket(ticket_id: object, *, external_reference: str, external_url: str = "", actor: Actor) -> Ticket:
    """Set the ticket's reference and address in another help desk. They replace the earlier values.

    If a help desk repeats the call with the same values, nothing is changed or recorded.
    """
    before: dict[str, str] = {}

    def check(current: Step) -> None:
        ticket = current.row
        before.update(_elsewhere.described(ticket))
        ticket.external_reference = _elsewhere.reference(external_reference)
        ticket.external_url = _elsewhere.url(external_url)
        if _elsewhere.described(ticket) != before:
            _elsewhere.require_new(ticket)

    with perform(LINK_TICKET, ticket_id, actor=actor, check=check) as current:
        ticket: Ticket = current.row
        if _elsewhere.described(ticket) == before:
            return ticket
        ticket.save_changed(at=current.at)
        detail = {
            "reference": ticket.reference,
            "external_reference": ticket.external_reference,
            "external_url": ticket.external_url,
            **{f"{name}_before": value for name, value in before.items()},
        }
        current.witness(TICKET_LINKED, detail=detail, text=f"{ticket.reference} {ticket.external_reference}")
    return ticket


def ask_customer(ticket_id: object, *, actor: Actor, note: str) -> Ticket:
    """Ask the customer a question. The ticket then waits for the answer."""
    with change_ticket(ticket_id, ASK_CUSTOMER, actor=actor, note=note) as step:
        _say(step)
    return step.row


def answer_ticket(ticket_id: object, *, actor: Actor, note: str) -> Ticket:
    with change_ticket(ticket_id, ANSWER_TICKET, actor=actor, note=note) as step:
        _say(step)
    return step.row


def resolve_ticket(ticket_id: object, *, actor: Actor, note: str = "") -> Ticket:
    """Mark the problem as solved. The access requests and windows that belong to the ticket end."""
    with change_ticket(ticket_id, RESOLVE_TICKET, actor=actor, note=note) as step:
        step.row.resolved_at = step.at
        _say(step)
        end_access(step, AccessRequest.objects.filter(ticket=step.row), cause="ticket-resolved")
    return step.row


def close_ticket(ticket_id: object, *, actor: Actor, note: str = "") -> Ticket:
    with change_ticket(ticket_id, CLOSE_TICKET, actor=actor, note=note) as step:
        step.row.closed_at = step.at
        _say(step)
        end_access(step, AccessRequest.objects.filter(ticket=step.row), cause="ticket-closed")
    return step.row


def reopen_ticket(ticket_id: object, *, actor: Actor, note: str) -> Ticket:
    with change_ticket(ticket_id, REOPEN_TICKET, actor=actor, note=note) as step:
        step.target = TicketState.ASSIGNED if step.row.assignee_id else TicketState.NEW
        step.row.resolved_at = step.row.closed_at = None
        _say(step)
    return step.row


def comment(ticket_id: object, *, actor: Actor, body: str, is_internal: bool = False) -> TicketComment:
    """Add a comment to a ticket that is not closed. Only the provider can read an internal note.

    If the ticket waits for the customer, a comment of the customer is an answer, and changes the ticket's state.
    """
    if not is_internal and _is_answer(ticket_id, actor):
        with change_ticket(ticket_id, ANSWER_TICKET, actor=actor, note=body) as step:
            answer = _add_comment(step)
            step.tell(_answer_note(step.row, answer, step.actor))
        return answer

    def may(current: Step) -> None:
        if is_internal and not policy.sees_internal_notes(current.actor):
            raise NotAllowed

    def state(current: Step) -> None:
        if current.row.state == TicketState.CLOSED:
            raise WrongState(_("This ticket is closed. Reopen it to continue."))

    with perform(COMMENT, ticket_id, actor=actor, inputs={"body": body}, may=may, state=state) as current:
        ticket = current.row
        row = TicketComment.objects.create(
            tenant_id=ticket.tenant_id,
            ticket=ticket,
            author_id=current.actor.person,
            body=current.inputs["body"],
            is_internal=is_internal,
            at=current.at,
        )
        ticket.save_changed(at=current.at)
        current.witness(
            TICKET_NOTE_ADDED if is_internal else TICKET_COMMENTED,
            detail={"reference": ticket.reference, "comment_id": str(row.pk), "state": str(ticket.state)},
            text=ticket.reference,
        )
        if not is_internal:
            current.tell(_answer_note(ticket, row, current.actor))
    return row


def _is_answer(ticket_id: object, actor: Actor) -> bool:
    """Return whether a comment of this person would be an answer.

    Call this before the act begins, because an answer and a comment are different acts, each with one entry. If
    the ticket changes meanwhile, nothing is lost. An answer is judged again under the lock, by the table of
    transitions. A comment that was written before the question stays a comment, and the ticket still waits.
    """
    if actor.side is not Side.CUSTOMER:
        return False
    try:
        ticket = Ticket.objects.visible_to(actor).find(ticket_id)
    except NotFound:
        return False  # the act itself raises NotFound
    return ticket.state == TicketState.WAITING_FOR_CUSTOMER


def _say(step: TicketMove) -> None:
    if step.note:
        step.tell(_answer_note(step.row, _add_comment(step), step.actor))


def _add_comment(step: TicketMove) -> TicketComment:
    return TicketComment.objects.create(
        tenant_id=step.row.tenant_id,
        ticket=step.row,
        author_id=step.actor.person,
        body=step.note,
        is_internal=False,
        at=step.at,
    )


def _answer_note(ticket: Ticket, row: TicketComment, actor: Actor) -> Note:
    """Return the message that tells the other side about an answer or a comment."""
    side = Audience.TICKET_WORKERS if actor.side is Side.CUSTOMER else Audience.TICKET_CUSTOMERS
    return Note(
        topic=Topic.TICKET_ANSWERED,
        tenant_id=ticket.tenant_id,
        about=ticket.pk,
        audiences=(side,),
        mark=str(row.pk),
        extra={"comment": str(row.pk)},
    )


def _note(topic: Topic, ticket: Ticket, audience: Audience) -> Note:
    return Note(topic=topic, tenant_id=ticket.tenant_id, about=ticket.pk, audiences=(audience,))


def _caller(report: Report, tenant: Tenant, actor: Actor) -> Person | None:
    """Return the person for whom the ticket is recorded, or None.

    Only the provider can record tickets for other people, and only for people of the ticket's tenant.
    """
    if report.on_behalf_of_id in (None, ""):
        return None
    if actor.side is Side.CUSTOMER:
        raise Unacceptable(_("You can open a ticket only in your own name."), field="on_behalf_of_id")
    try:
        people = Person.objects.active().humans()
        person = people.filter(memberships__tenant=tenant, pk=report.on_behalf_of_id).first()
    except (ValueError, TypeError, ValidationError):
        person = None
    if person is None:
        raise Unacceptable(_("Choose a person of this tenant."), field="on_behalf_of_id")
    return person


def _origin(ticket: Ticket, actor: Actor) -> Ticket.Origin:
    if actor.side is Side.CUSTOMER:
        return Ticket.Origin.CUSTOMER
    return Ticket.Origin.RECORDED if ticket.on_behalf_of else Ticket.Origin.PROVIDER
