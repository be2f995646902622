"""The topics and audiences of the outbox, and the notes with which operations post messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from requests_app.domain.actors import Role
from requests_app.domain.acts import ACTS
from requests_app.domain.acts.declaration import Act, MailWords, Noun, Tell
from requests_app.domain.ids import id_by_time
from requests_app.domain.states import State
from requests_app.models import OutboxMessage
from requests_app.models.outbox import FANOUT
from requests_app.platform.database import compiled


@dataclass(frozen=True, kw_only=True)
class Sending:
    """When and how the mails of a topic are sent.

    With `is_awaited`, a mail is sent before all others, because somebody must answer it or waits for it on a page. With
    `is_grouped`, many mails that each ask for a decision become one mail. With states in `during`, a mail is sent only
    while its access request is in one of these states. With `is_of_live_ticket`, a mail is sent only while its ticket
    is open.
    """

    is_awaited: bool = False
    is_grouped: bool = False
    during: frozenset[str] = frozenset()
    is_of_live_ticket: bool = False


class Topic(StrEnum):
    """The topics that need code of their own, in the form "destination.purpose".

    The purpose is also the name of the folder with the templates, in templates/emails. For each topic, a function in
    messages/mails reads the facts for its mails (`reads`).
    """

    sending: Sending

    def __new__(cls, value: str, sending: Sending = Sending()) -> Self:
        member = str.__new__(cls, value)
        member._value_, member.sending = value, sending
        return member

    TICKET_OPENED = "notify.ticket_opened", Sending(is_of_live_ticket=True)
    TICKET_RECORDED = "notify.ticket_recorded"
    TICKET_ANSWERED = "notify.ticket_answered"
    DECIDE_AS_PROVIDER = (
        "notify.decide_as_provider",
        Sending(is_awaited=True, is_grouped=True, during=frozenset({State.PENDING_PROVIDER})),
    )
    DECIDE_AS_CUSTOMER = (
        "notify.decide_as_customer",
        Sending(is_awaited=True, is_grouped=True, during=frozenset({State.PENDING_CUSTOMER})),
    )
    REMINDER = (
        "notify.reminder",
        Sending(is_awaited=True, is_grouped=True, during=frozenset({State.PENDING_CUSTOMER})),
    )
    ACCESS_REQUEST_ENDED = "notify.access_request_ended"
    WINDOW_OPENED = "notify.window_opened", Sending(is_awaited=True, during=frozenset({State.OPEN}))
    CLOSING_SOON = "notify.closing_soon", Sending(is_awaited=True, during=frozenset({State.OPEN}))
    WINDOW_CLOSED = "notify.window_closed"
    REPORTED_OUTSIDE = "notify.reported_outside"
    REPORTED_LATE = "notify.reported_late"
    GUARD_SILENT = "notify.guard_silent"
    LOCKBOX_SWITCHED = "notify.lockbox_switched"
    APPROVERS_CHANGED = "notify.approvers_changed"
    OUT_OF_OFFICE = "notify.out_of_office"
    MUTE = "notify.mute"
    PROPOSAL = "notify.proposal"
    STAFF_CHANGE = "notify.staff_change"
    SECOND_PERSON = "notify.second_person"
    ROLE_GIVEN = "notify.role_given"
    PROVIDER_JOINED = "notify.provider_joined"
    RECOVERY_KEY = "notify.recovery_key"
    INVITATION = "notify.invitation", Sending(is_awaited=True)
    CLIENT_DECIDES = "notify.client_decides"
    PASSWORD_CHANGED = "notify.password_changed"  # noqa: S105 - a name
    PASSWORD_RESET = "notify.password_reset", Sending(is_awaited=True)
    ADDRESS_LINK = "notify.address_link", Sending(is_awaited=True)
    ADDRESS_CHANGED = "notify.address_changed"
    PASSKEYS_CHANGED = "notify.passkeys_changed"
    SECOND_FACTOR_CHANGED = "notify.second_factor_changed"
    SIGN_ON_CHANGED = "notify.sign_on_changed"
    PROVIDER_SIGN_ON = "notify.provider_sign_on"
    SIGN_ON_BYPASSED = "notify.sign_on_bypassed"
    YES_RULES_CHANGED = "notify.yes_rules_changed"
    LEVEL_RULE_CHANGED = "notify.level_rule_changed"
    WEBHOOK_OFF = "notify.webhook_off"
    STREAM_FAILING = "notify.stream_failing"
    RESTORED = "notify.restored"
    RESTORED_CONFIRMED = "notify.restored_confirmed"
    BACKUP_TROUBLE = "notify.backup_trouble"

    @property
    def purpose(self) -> str:
        return self.value.partition(".")[2]


class PlainTopic(str):
    """A topic that exists only in the declaration of an act, and needs no code.

    If the declaration lists states (`during`), mails are sent only while the row is in one of these states.
    """

    __slots__ = ("noun", "roles", "sending")

    noun: Noun
    roles: frozenset[Role]
    sending: Sending

    def __new__(cls, act: Act, tell: Tell) -> PlainTopic:
        topic = super().__new__(cls, tell.topic)
        topic.noun, topic.roles, topic.sending = act.noun, tell.roles, Sending(during=act.during)
        return topic

    @property
    def purpose(self) -> str:
        return self.partition(".")[2]


#: The kinds of rows that a mail without templates can be about.
PLAIN_NOUNS = frozenset({Noun.ACCESS_DRAFT, Noun.ACCESS_REQUEST, Noun.TICKET})
#: The words of the mails without templates, by their topics.
MAILS: dict[str, MailWords] = {
    tell.topic: tell.mail for act in ACTS.values() for tell in act.tells if tell.mail is not None
}
_PLAIN = {
    tell.topic: PlainTopic(act, tell)
    for act in ACTS.values()
    for tell in act.tells
    if tell.mail is not None and tell.topic not in Topic._value2member_map_
}


def known() -> set[str]:
    """Return the stored names of all topics of this version. A row of another topic is left for the version of it."""
    return {*map(str, Topic), *_PLAIN}


def topic_of(name: str) -> Topic | PlainTopic:
    """Return the topic with this stored name. Raise ValueError if this version has no such topic."""
    return _PLAIN.get(name) or Topic(name)


def problems() -> Iterator[str]:
    """Yield a sentence about each declared message that can't be sent, and about each topic that no act uses."""
    declared = [(act, tell) for act in ACTS.values() for tell in act.tells]
    for act, tell in declared:
        if tell.topic not in Topic._value2member_map_ and tell.mail is None:
            yield f"{act.name} sends {tell.topic}, which is not a topic"
        elif tell.topic not in Topic._value2member_map_ and act.noun not in PLAIN_NOUNS:
            yield f"{act.name} sends {tell.topic}, but a mail about such a row needs templates"
        for name in tell.to:
            if name.startswith(OF_ROW):
                if tell.topic in Topic._value2member_map_ or not tell.roles:
                    yield f"{act.name} sends a message to {name}, but the message lacks its own words, or roles"
            elif name not in Audience._value2member_map_:
                yield f"{act.name} sends a message to {name}, which is not an audience"
    sent = {tell.topic for _act, tell in declared} | SCHEDULED
    yield from (f"no act sends a message about {topic}" for topic in Topic if topic not in sent)


class Audience(StrEnum):
    """A group of recipients. The people in it are found when the message is sent, not when it is written."""

    ENGINEER = "engineer"
    PROVIDER_APPROVERS = "provider_approvers"
    CUSTOMER = "customer"
    QUEUE = "queue"
    TICKET_CUSTOMERS = "ticket_customers"
    TICKET_WORKERS = "ticket_workers"
    ACCOUNT_HOLDER = "account_holder"
    ADMINISTRATORS = "administrators"
    INVITED = "invited"
    DEPUTY = "deputy"
    TENANT = "tenant"
    ADDRESS = "address"
    NEW_ADDRESS = "new_address"
    FORMER_ADDRESS = "former_address"
    SECOND_STAFF = "second_staff"
    ROLE_HOLDER = "role_holder"


#: For up to this number of notes, the text of the statement is stored. Nearly every act posts fewer.
FEW = 5
#: The topics that no act sends. The sweep posts them because of the time.
SCHEDULED = frozenset({Topic.REMINDER, Topic.CLOSING_SOON, Topic.GUARD_SILENT, Topic.BACKUP_TROUBLE})
#: The beginning of an audience that is the person in a field of the message's row.
OF_ROW = "row."


@dataclass(frozen=True, kw_only=True)
class Note:
    """A message to post.

    `about` is the id of the row that the message is about. `mark` distinguishes several messages about one row. Without
    a `tenant_id`, the message belongs to no tenant, for example because it is about an account of the provider.
    """

    topic: Topic | PlainTopic
    tenant_id: UUID | None
    about: UUID
    audiences: tuple[str, ...]
    mark: str = ""
    # How long the message waits before it is sent.
    waits_for: timedelta = timedelta()
    extra: dict[str, str] = field(default_factory=dict)

    def key(self, recipient: str = "") -> str:
        return ":".join(filter(None, (self.topic, str(self.about), self.mark, recipient)))


def note_of(tell: Tell, row: Any, *, mark: str) -> Note:
    """Return the note for a message whose content the act declares completely. `row` must belong to a tenant."""
    return Note(topic=topic_of(tell.topic), tenant_id=row.tenant_id, about=row.pk, audiences=tell.to, mark=mark)


def post(notes: Iterable[Note], *, at: datetime) -> int:
    """Write one row to the outbox for each note, in the caller's transaction.

    A worker later finds the recipients and writes a row for each of them, so the caller need not find them. A note that
    was posted before is not sent again, because its `key` is unique.
    """
    rows = [row_of(note, at=at) for note in notes]
    if 0 < len(rows) <= FEW:
        compiled.insert(rows, skips_known=True)
    else:
        OutboxMessage.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
    return len(rows)


def row_of(note: Note, *, at: datetime) -> OutboxMessage:
    """Return the row of the outbox for a note. It is not saved yet."""
    return OutboxMessage.new(
        id=id_by_time(at),
        tenant_id=note.tenant_id,
        topic=note.topic,
        about=note.about,
        mark=note.mark,
        key=note.key(),
        lane=FANOUT,
        payload={"audiences": [str(audience) for audience in note.audiences], **note.extra},
        created_at=at,
        next_attempt_at=at + note.waits_for,
    )
