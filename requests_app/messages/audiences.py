"""Finds the people and addresses of an audience. It reads their roles at the moment when the message is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import DateTimeField, UUIDField

from requests_app.domain import clock
from requests_app.domain.acts.declaration import Noun
from requests_app.messages.mails.receipts import NotYet
from requests_app.messages.topics import OF_ROW, Audience, PlainTopic, Topic, topic_of
from requests_app.models import (
    AccessDraft,
    AccessRequest,
    AddressChange,
    Invitation,
    NotificationAddress,
    OutboxMessage,
    Person,
    Proposal,
    Ticket,
)
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.queries import given_roles
from requests_app.queries.second_person import who_can_confirm

#: This query runs before each mail to a tenant's approvers.
_DECIDING = CompiledQuery(
    lambda tenant, at: Person.objects.get_queryset().deciding_for(tenant, at), tenant=UUIDField(), at=DateTimeField()
)


#: How long a message waits for a worker of the version that knows its audience.
LATER = timedelta(minutes=1)


@dataclass(frozen=True)
class Recipient:
    email: str
    person_id: UUID | None = None


def resolve(message: OutboxMessage) -> list[Recipient]:
    """Return the recipients of a message, each address once. The list may be empty."""
    found: dict[str, Recipient] = {}
    for audience in message.payload["audiences"]:
        for recipient in _of_audience(audience, message):
            found.setdefault(recipient.email, recipient)
    return list(found.values())


def _of_audience(name: str, message: OutboxMessage) -> list[Recipient]:
    """Return the people of an audience. Raise NotYet if only another version knows this audience.

    `name` can be a field of the row that the message is about. Then return the person in that field, but only
    if they still have one of the topic's roles for this row.
    """
    if not name.startswith(OF_ROW):
        if name not in Audience._value2member_map_:
            # A newer version posted this message. Its workers know the audience.
            raise NotYet(clock.now() + LATER)
        return _READERS[Audience(name)](message)
    topic = topic_of(message.topic)
    assert isinstance(topic, PlainTopic)
    row = _ROWS[topic.noun](message)
    person_id = getattr(row, f"{name.removeprefix(OF_ROW)}_id")
    holders = Person.objects.get_queryset().holding(topic.roles, tenant_id=row.tenant_id, service_id=row.service_id)
    return _of_people(holders.filter(pk=person_id))


def concerned(messages: Iterable[OutboxMessage], rows: Mapping[UUID, AccessRequest]) -> set[UUID]:
    """Return the ids of those messages that still concern their recipients.

    `rows` are the access requests of the messages, by id. An audience is resolved only once for each queue and
    engineer, even for many messages.
    """
    known: dict[object, set[str]] = {}
    found = set()
    for message in messages:
        row = rows[message.about]
        of = (message.topic, message.tenant_id, *message.payload["audiences"])
        key = (of, row.service_id, row.requested_by_id, row.requester_human)
        if key not in known:
            known[key] = {recipient.email for recipient in resolve(message)}
        if message.recipient in known[key]:
            found.add(message.pk)
    return found


def _of_people(people: Iterable[Person | None]) -> list[Recipient]:
    """Return those people whose accounts are switched on, as recipients.

    Accounts of clients are left out, because they have no mailbox.
    """
    return [
        Recipient(person.email, person.pk)
        for person in people
        if person is not None and person.is_active and person.kind == Person.Kind.HUMAN
    ]


def _access_request(message: OutboxMessage) -> AccessRequest:
    return AccessRequest.objects.select_related("requested_by").get(pk=message.about)


def _ticket(message: OutboxMessage) -> Ticket:
    return Ticket.objects.select_related("opened_by", "on_behalf_of", "assignee").get(pk=message.about)


def _engineer(message: OutboxMessage) -> list[Recipient]:
    return _of_people([_access_request(message).requested_by])


def _provider_approvers(message: OutboxMessage) -> list[Recipient]:
    """Return the people who can decide the first stage, without the engineer who submitted the access request."""
    row = _access_request(message)
    approvers = Person.objects.get_queryset().in_queue(row.service_id, "provider_approver")
    return _of_people(approvers.exclude(human_id=row.requester_human))


def _customer(message: OutboxMessage) -> list[Recipient]:
    """Return the tenant's approvers, their current deputies, and the notification addresses.

    A reminder goes only to people, not to notification addresses.
    """
    assert message.tenant_id is not None
    people = _of_people(_DECIDING(tenant=message.tenant_id, at=clock.now()))
    if message.topic == Topic.REMINDER:
        return people
    addresses = NotificationAddress.objects.filter(tenant_id=message.tenant_id).values_list("email", flat=True)
    return people + [Recipient(email) for email in addresses]


def _queue(message: OutboxMessage) -> list[Recipient]:
    return _of_people(Person.objects.get_queryset().in_queue(_ticket(message).service_id, "engineer"))


def _ticket_customers(message: OutboxMessage) -> list[Recipient]:
    """Return the customer's people who belong to a ticket: who opened it, and for whom it was recorded."""
    ticket = _ticket(message)
    people = [person for person in (ticket.opened_by, ticket.on_behalf_of) if person is not None]
    return _of_people(person for person in people if person.side == Person.Side.CUSTOMER)


def _ticket_workers(message: OutboxMessage) -> list[Recipient]:
    """Return the engineer to whom the ticket is assigned, or all engineers of its queue if it is not assigned."""
    ticket = _ticket(message)
    return _of_people([ticket.assignee]) if ticket.assignee else _queue(message)


def _account_holder(message: OutboxMessage) -> list[Recipient]:
    return _of_people(Person.objects.get_queryset().filter(pk=message.about))


def _administrators(message: OutboxMessage) -> list[Recipient]:
    """Return the administrators of the tenant. Without a tenant, return the provider's staff."""
    people = Person.objects.get_queryset()
    if message.tenant_id is None:
        return _of_people(people.filter(is_staff=True))
    is_administrator = {"memberships__tenant": message.tenant_id, "memberships__role": "administrator"}
    return _of_people(people.filter(**is_administrator).distinct())


def _invited(message: OutboxMessage) -> list[Recipient]:
    """Return the address of an invitation, if the invitation can still be accepted."""
    row = Invitation.objects.open(clock.now()).filter(pk=message.about).first()
    return [Recipient(row.email)] if row else []


def _deputy(message: OutboxMessage) -> list[Recipient]:
    """Return the deputy of an absence, even before the absence begins and after it has ended."""
    return _of_people(Person.objects.get_queryset().filter(deputisings=message.about))


def _tenant(message: OutboxMessage) -> list[Recipient]:
    """Return all people who have a role in the tenant, and the tenant's notification addresses."""
    assert message.tenant_id is not None
    people = Person.objects.get_queryset().filter(memberships__tenant=message.tenant_id).distinct()
    addresses = NotificationAddress.objects.filter(tenant_id=message.tenant_id).values_list("email", flat=True)
    return _of_people(people) + [Recipient(email) for email in addresses]


def _address(message: OutboxMessage) -> list[Recipient]:
    """Return the account with the email address in the message's payload, which somebody entered.

    An account that can sign in only with single sign-on gets no mail.
    """
    people = Person.objects.get_queryset().humans().filter(email=message.payload["email"])
    return _of_people(person for person in people if not person.signs_in_elsewhere())


def _new_address(message: OutboxMessage) -> list[Recipient]:
    """Return the new address of a change, while this address waits to be confirmed."""
    row = AddressChange.objects.open(clock.now()).filter(pk=message.about).first()
    return [Recipient(row.email, row.person_id)] if row else []


def _former_address(message: OutboxMessage) -> list[Recipient]:
    """Return the former address of a change, so that its owner learns about the change."""
    row = AddressChange.objects.get(pk=message.about)
    return [Recipient(row.email_before, row.person_id)]


def _second_staff(message: OutboxMessage) -> list[Recipient]:
    """Return the members of the staff who can confirm a proposal of staff, while it needs somebody.

    For a role through a group, return all members of the staff, while they can withdraw it.
    """
    related = ("proposed_by", "proposed_through__client__created_by")
    row = Proposal.objects.select_related(*related).get(pk=message.about)
    if row.is_through_group:
        staff = Person.objects.get_queryset().active().humans().filter(is_staff=True)
        return _of_people(staff) if row.ended_at is None else []
    return _of_people(who_can_confirm(row, clock.now()))


def _role_holder(message: OutboxMessage) -> list[Recipient]:
    """Return the person who got a role, if they still have it."""
    since = datetime.fromisoformat(message.payload["since"])
    if not given_roles.has(message.about, message.payload["role"], since=since):
        return []
    return _account_holder(message)


_ROWS: dict[Noun, Callable[[OutboxMessage], Any]] = {
    Noun.ACCESS_DRAFT: lambda message: AccessDraft.objects.get(pk=message.about),
    Noun.ACCESS_REQUEST: _access_request,
    Noun.TICKET: _ticket,
}
_READERS: dict[Audience, Callable[[OutboxMessage], list[Recipient]]] = {
    Audience.ENGINEER: _engineer,
    Audience.PROVIDER_APPROVERS: _provider_approvers,
    Audience.CUSTOMER: _customer,
    Audience.QUEUE: _queue,
    Audience.TICKET_CUSTOMERS: _ticket_customers,
    Audience.TICKET_WORKERS: _ticket_workers,
    Audience.ACCOUNT_HOLDER: _account_holder,
    Audience.ADMINISTRATORS: _administrators,
    Audience.INVITED: _invited,
    Audience.DEPUTY: _deputy,
    Audience.TENANT: _tenant,
    Audience.ADDRESS: _address,
    Audience.NEW_ADDRESS: _new_address,
    Audience.FORMER_ADDRESS: _former_address,
    Audience.SECOND_STAFF: _second_staff,
    Audience.ROLE_HOLDER: _role_holder,
}
