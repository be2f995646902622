"""The declaration of an act, and of the entry that it writes. Only data: nothing here acts, reads or judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.utils.functional import Promise

from audit_app.meanings import Meaning
from requests_app.domain.actors import Role
from requests_app.domain.scopes import Scope
from requests_app.domain.states import Timing

Detail = dict[str, Any]
#: Whether a sentence applies to an entry, by its detail and its actor.
Condition = Callable[[Detail, Detail], bool]


class Mark(StrEnum):
    """The meaning of an entry in the life of an access request: histories, evidence and receipts select entries by it.

    LISTED are names that were seen, OPENED is an opened item. TROUBLE needs somebody's attention.
    """

    ASKED = "asked"
    APPROVED = "approved"
    DENIED = "denied"
    OVER = "over"
    CLOSED = "closed"
    LISTED = "listed"
    OPENED = "opened"
    TROUBLE = "trouble"
    OTHER = "other"


class Event(str):
    """The name of an entry, "subject.past", with its words for people and machines.

    It is a string, because it is compared with names in the log, which may be those of another version. `sentence` is
    the line of the log: {who} acted, and the other names come from the detail. The first of `variants` that applies is
    used. `did` follows the person's name in a history, and `look` is its colour and its icon there.
    """

    __slots__ = ("did", "label", "look", "mark", "meaning", "sentence", "variants")

    label: Promise
    sentence: Promise
    meaning: Meaning
    variants: tuple[tuple[Condition, Promise], ...]
    mark: Mark
    look: tuple[str, str]
    did: Promise | None

    def __new__(
        cls,
        name: str,
        *,
        label: Promise,
        sentence: Promise,
        siem: Meaning,
        variants: tuple[tuple[Condition, Promise], ...] = (),
        mark: Mark = Mark.OTHER,
        look: tuple[str, str] = ("over", "circle"),
        did: Promise | None = None,
    ) -> Event:
        event = super().__new__(cls, name)
        event.label, event.sentence, event.meaning, event.variants = label, sentence, siem, variants
        event.mark, event.look, event.did = mark, look, did
        return event

    def __copy__(self) -> Event:
        return self

    def __deepcopy__(self, _memo: object) -> Event:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Pickle only the name: another version may read a queued task."""
        return str, (str(self),)


@dataclass(frozen=True)
class Proposal:
    """A change that waits for a second person, in words that follow "proposes to".

    `without` are its words if it removes the rule. A change `by_staff` is announced to the customers that it weakens.
    """

    name: str
    words: Promise
    without: Promise | None = None
    by_staff: bool = False


class Noun(StrEnum):
    """What an act can be about. ACCOUNT is the account of the person who acts.

    INSTALLATION is what all tenants share. MAIL is an outgoing mail, and MESSAGE is an outgoing message of a webhook.
    """

    ACCESS_REQUEST = "access_request"
    ACCOUNT = "account"
    CLIENT = "client"
    DEPUTY = "deputy"
    DOMAIN = "domain"
    GRANT = "grant"
    IDENTITY = "identity"
    INSTALLATION = "installation"
    INVITATION = "invitation"
    LOG = "log"
    MAIL = "mail"
    MESSAGE = "message"
    MUTE = "mute"
    NOTIFICATION_ADDRESS = "notification_address"
    PASSKEY = "passkey"
    PERSON = "person"
    PLAN = "plan"
    PROPOSAL = "proposal"
    RECOVERY_KEY = "recovery_key"
    RESOURCE = "resource"
    SERVICE = "service"
    TENANT = "tenant"
    TICKET = "ticket"
    TOKEN = "token"  # noqa: S105 - a name
    WEBHOOK = "webhook"
    WITNESS = "witness"


class Door(StrEnum):
    """An interface through which an act can be done, by its name in the log (`events.DOORS`)."""

    PAGES = "pages"
    API = "api"
    ADMIN = "admin"
    COMMAND = "command"
    TASK = "task"


class StepUp(StrEnum):
    """Whether an act needs proof of who acts that is not older than five minutes.

    With DEPENDS the body says for which rows and inputs it does.
    """

    NEVER = "never"
    ALWAYS = "always"
    DEPENDS = "depends"


class Comment(StrEnum):
    """Whether the actor can, or must, write a reason."""

    NONE = "none"
    OPTIONAL = "optional"
    NEEDED = "needed"


class Party(StrEnum):
    """A human who may not do an act because of their part in its row.

    SUBJECT is the human whose account the act is about. DECIDER decided on the access request at an earlier stage.
    """

    REQUESTER = "requester"
    DECIDER = "decider"
    PROPOSER = "proposer"
    SUBJECT = "subject"


class Kind(StrEnum):
    """What an input is. A LINE is a text without line breaks; ID is the id of another row."""

    LINE = "line"
    TEXT = "text"
    EMAIL = "email"
    NUMBER = "number"
    CHOICE = "choice"
    FLAG = "flag"
    INSTANT = "instant"
    ID = "id"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input of an act. The kernel reads and limits it, for every interface.

    For a text, `at_least` and `at_most` count characters; for a number they are the smallest and the largest value.
    `of` is the noun whose row an ID names; a person named has one of `roles`, if there are any. An input that is not
    `is_needed` may be None. `label` is its name in a form that is made of the declaration.
    """

    name: str = field(kw_only=False)
    kind: Kind = field(kw_only=False, default=Kind.LINE)
    at_least: int = 1
    at_most: int = 0
    choices: tuple[str, ...] = ()
    of: Noun | None = None
    roles: frozenset[Role] = frozenset()
    is_needed: bool = True
    label: str | Promise = ""


@dataclass(frozen=True, kw_only=True)
class Moves:
    """How an act moves the state of its row. `sources` is empty for the act that makes the row.

    `closes` is the reason of the window's end, as the grant stores it (Grant.CloseReason).
    """

    sources: frozenset[str]
    targets: tuple[str, ...]
    timing: Timing = Timing.ANY
    is_decision: bool = False
    closes: str = ""


@dataclass(frozen=True, kw_only=True)
class MailWords:
    """The words of a mail that has no templates of its own. Braces name the facts about its row."""

    subject: Promise
    headline: Promise
    lead: tuple[Promise, ...]
    link: Promise


@dataclass(frozen=True)
class Tell:
    """A message that an act leaves: its topic, and to whom it can go.

    The names of `to` are audiences, or a field of the row that holds a person, as in "row.assignee". A topic with
    `mail` needs no templates, and no facts but those of its kind of row.
    """

    topic: str
    to: tuple[str, ...]
    mail: MailWords | None = None


@dataclass(frozen=True)
class Route:
    """A call of the API that is made of the act's declaration: POST to the row's address and `word`.

    `summary` and `explains` are for the document of the API.
    """

    word: str
    summary: str
    explains: str = ""


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing that somebody can do. The kernel judges it by what is declared here (`operations._perform`).

    `noun` is what the act is about, and `makes` is the new row that it makes. The actor needs one of `roles` on that
    row, or one of `provider_roles` if the row belongs to the provider and to no tenant. `is_holders`: the person to
    whom the row belongs may do it, too. `is_public`: anybody may try it, because a secret that they bring decides, or
    because it shows and changes nothing. `humans_only` excludes the clients of the API. A human in one of the parts
    `separate_from` may not do it. A body may refuse more people than the declaration, and never fewer.

    `moves` is how it moves the row's state. An act that leaves the state as it is can name the states `during` which it
    is possible, on an access request always before the deadline. `scope` is what a token needs; without one no token is
    enough, unless `any_token` is. `is_of_approver`: a client does it in the name of the approver for whom it decides,
    though it is no decision.

    `title` names the act where it is offered, `explains` says there what it means, `done` is what a person reads after
    it, and `tried` follows "tried to", in the entry about a refusal. The system's own acts have none of them: nobody
    tried them. In `done`, braces name what the interface fills in.

    `tells` are the messages that the act itself leaves; what it ends tells what ending it tells, and what it proposes
    tells what a proposal does.

    `route` is its call of the API, for an act that needs no code of its own there.

    `own_order` says why an act does not follow the kernel's order, and `own_doors` why its interfaces have code of its
    own where others are made of their declarations; both are empty for all others.
    """

    name: str = field(kw_only=False)
    noun: Noun
    makes: Noun | None = None
    title: Promise | None = None
    explains: str | Promise = ""
    roles: frozenset[Role] = frozenset()
    provider_roles: frozenset[Role] = frozenset()
    is_holders: bool = False
    is_public: bool = False
    humans_only: bool = False
    separate_from: tuple[Party, ...] = ()
    scope: Scope | None = None
    any_token: bool = False
    moves: Moves | None = None
    during: frozenset[str] = frozenset()
    step_up: StepUp = StepUp.NEVER
    comment: Comment = Comment.NONE
    inputs: tuple[Field, ...] = ()
    is_of_approver: bool = False
    events: tuple[Event, ...] = ()
    tried: Promise | None = None
    done: str | Promise = ""
    proposes: tuple[Proposal, ...] = ()
    tells: tuple[Tell, ...] = ()
    doors: frozenset[Door] = frozenset()
    route: Route | None = None
    own_order: str = ""
    own_doors: str = ""


def has(name: str, value: object = None, *, and_also: str = "") -> Condition:
    """The detail has a non-empty value under this name, or exactly this value; and a non-empty one under the other
    name.
    """

    def applies(detail: Detail, _actor: Detail) -> bool:
        found = bool(detail.get(name)) if value is None else detail.get(name) == value
        return found and (not and_also or bool(detail.get(and_also)))

    return applies


def says(name: str) -> Condition:
    """The detail has this name, even with an empty value."""
    return lambda detail, _actor: name in detail


def is_actor(name: str) -> Condition:
    """The value of this name in the detail is the id of the actor."""
    return lambda detail, actor: detail.get(name) is not None and detail[name] == actor.get("id")
