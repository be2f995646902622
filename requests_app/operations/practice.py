"""Starts practice requests: makes the ticket with its made-up problem, and the practice resource."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from requests_app.content.connectors.registry import holds_messages
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.acts.installation import RESOURCE_ADDED
from requests_app.domain.acts.tickets import START_PRACTICE, TICKET_OPENED
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.domain.states import TicketState
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Person, Resource, Service, Tenant, Ticket
from requests_app.models.scoping import new_reference
from requests_app.models.services import PRACTICE_LOCATOR
from requests_app.operations._change import Step
from requests_app.operations._perform import perform


def start_practice(tenant_id: object, *, service_id: object, actor: Actor) -> Ticket:
    """Open a practice ticket in the service's queue, and make the tenant's practice resource if it has none yet.

    Everything after that is the same as for a real ticket. A service has one open practice ticket of a tenant at a
    time, so nobody can send many of them to the same people.
    """
    ticket = Ticket(is_practice=True, state=TicketState.NEW, reference=new_reference("T", is_practice=True))

    def find(current: Step, row_id: object) -> Tenant:
        ticket.tenant = tenant = Tenant.objects.visible_to(current.actor).find(row_id)
        ticket.service = Service.objects.visible_to(current.actor).find(service_id)
        current.concerns("tenant", tenant, tenant.pk, service_id=ticket.service_id)
        current.is_practice = True
        return tenant

    def state(current: Step) -> None:
        if not ticket.tenant.is_active:
            raise WrongState(_("This tenant is switched off, so nobody can open a ticket."))
        if Ticket.objects.live().filter(tenant=ticket.tenant, service=ticket.service, is_practice=True).exists():
            words = _("A practice ticket of %(service)s is open already. Finish it, or close it, to start another one.")
            raise WrongState(words % {"service": ticket.service.name})

    def check(current: Step) -> None:
        if not ticket.service.is_active:
            raise Unacceptable(_("This service is switched off. Choose another service."), field="service")
        if not Person.objects.get_queryset().in_queue(ticket.service_id, Role.ENGINEER).exists():
            words = _("No engineer works on tickets of %(service)s yet. Choose another service.")
            raise Unacceptable(words % {"service": ticket.service.name}, field="service")

    with perform(START_PRACTICE, tenant_id, actor=actor, find=find, state=state, check=check) as current:
        _make_resource(current, ticket)
        _open(current, ticket)
    return ticket


def _make_resource(current: Step, ticket: Ticket) -> None:
    if Resource.objects.filter(tenant=ticket.tenant, service=ticket.service, is_practice=True).exists():
        return
    has_mail = holds_messages(ticket.service.connector)
    resource = Resource.objects.create(
        tenant=ticket.tenant,
        service=ticket.service,
        kind=Resource.Kind.MAILBOX if has_mail else Resource.Kind.LIBRARY,
        name=_("Practice mailbox") if has_mail else _("Practice documents"),
        locator=PRACTICE_LOCATOR,
        is_practice=True,
    )
    current.subject_type, current.subject_id = "resource", str(resource.pk)
    made: dict[str, Any] = {"name": resource.name, "kind": str(resource.kind), "locator": resource.locator}
    current.witness(RESOURCE_ADDED, detail={"set": made, "was": {}}, text=resource.name)


def _open(current: Step, ticket: Ticket) -> None:
    actor = current.actor
    is_customers = actor.side is Side.CUSTOMER
    ticket.origin = Ticket.Origin.CUSTOMER if is_customers else Ticket.Origin.PROVIDER
    ticket.title = _("When does order 4711 arrive?")
    ticket.body = _(
        "This is a practice ticket, and the problem is made up. The desk lamps of order 4711 should have arrived, and "
        "nobody can find the delivery date. Ask for access to the practice resource, find the date there, and resolve "
        "this ticket."
    )
    ticket.opened_by_id = actor.person
    ticket.opened_at = ticket.changed_at = current.at
    ticket.save(force_insert=True)
    current.subject_type, current.subject_id = "ticket", str(ticket.pk)
    detail = {
        "reference": ticket.reference,
        "service": ticket.service.key,
        "title": ticket.title,
        "origin": str(ticket.origin),
        "on_behalf_of": None,
    }
    current.witness(TICKET_OPENED, detail=detail, text=f"{ticket.reference} {ticket.title}")
    current.tell(
        Note(
            topic=Topic.TICKET_OPENED,
            tenant_id=ticket.tenant_id,
            about=ticket.pk,
            audiences=(Audience.QUEUE,),
        )
    )
