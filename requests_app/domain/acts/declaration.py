"""The data types that declare an act and the entry that it writes. They hold data only and decide nothing."""

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
#: A function that says, from an entry's detail and actor, whether a sentence applies to the entry.
Condition = Callable[[Detail, Detail], bool]


class Mark(StrEnum):
    """The meaning of an entry in the life of an access request.

    Histories, evidence and receipts select entries by their mark. LISTED means that names were seen, OPENED that an
    item was opened. TROUBLE needs somebody's attention.
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

    It is a string, so that it can be compared with the names in a log, which another version may have written.
    `sentence` is the line of the log: {who} is the actor, and the detail fills in the other names. The first of
    `variants` that applies replaces `sentence`. In a history, `did` follows the person's name, and `look` gives the
    colour and the icon.
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
        """Pickle only the name, because another version may read a queued task."""
        return str, (str(self),)


@dataclass(frozen=True)
class Proposal:
    """A change that waits for a second person, in words that follow "proposes to".

    `without` has the words for a change that removes the rule. With `by_staff`, the customers that the change weakens
    get an announcement.
    """

    name: str
    words: Promise
    without: Promise | None = None
    by_staff: bool = False


class Noun(StrEnum):
    """The kinds of things that an act can be about.

    ACCOUNT is the account of the person who acts. INSTALLATION is what all tenants share. MAIL is an outgoing mail, and
    MESSAGE is an outgoing message of a webhook.
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
    """An interface through which an act can be done, with its name in the log (`events.DOORS`)."""

    PAGES = "pages"
    API = "api"
    ADMIN = "admin"
    COMMAND = "command"
    TASK = "task"


class StepUp(StrEnum):
    """Whether an act needs a proof of identity that is not older than five minutes.

    With DEPENDS, the body of the act decides this from the row and the inputs.
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

    SUBJECT is the human whose account the act is about. DECIDER decided at an earlier stage of the access request.
    """

    REQUESTER = "requester"
    DECIDER = "decider"
    PROPOSER = "proposer"
    SUBJECT = "subject"


class Kind(StrEnum):
    """The kind of an input. LINE is a text without line breaks; ID is the id of another row."""

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
    """One input of an act. The kernel reads it and checks its limits, for every interface.

    For a text, `at_least` and `at_most` count characters; for a number, they are the smallest and the largest value.
    `of` is the kind of row that an ID names. If `roles` is not empty, the named person must have one of them. An input
    that is not needed (`is_needed`) may be None. `label` is its name in a form that is built from the declaration.
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
    """How an act changes the state of its row. `sources` is empty for the act that creates the row.

    `closes` is the reason for the end of the window, as the grant stores it (Grant.CloseReason).
    """

    sources: frozenset[str]
    targets: tuple[str, ...]
    timing: Timing = Timing.ANY
    is_decision: bool = False
    closes: str = ""


@dataclass(frozen=True, kw_only=True)
class MailWords:
    """The words of a mail that has no templates. The facts about the mail's row replace the names in braces."""

    subject: Promise
    headline: Promise
    lead: tuple[Promise, ...]
    link: Promise


@dataclass(frozen=True)
class Tell:
    """A message that an act sends: its topic, and who can get it.

    Each name in `to` is an audience, or a field of the row that holds a person, as in "row.assignee". This person gets
    the message only if they hold one of `roles` on the row when it is sent. A topic with `mail` needs no templates, and
    only the facts that every row of its kind has.
    """

    topic: str
    to: tuple[str, ...]
    mail: MailWords | None = None
    roles: frozenset[Role] = frozenset()


@dataclass(frozen=True)
class Route:
    """A call of the API that is built from the act's declaration: POST to the row's address, followed by `word`.

    `summary` and `explains` are for the API document.
    """

    word: str
    summary: str
    explains: str = ""


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing that somebody can do. The kernel judges each act by this declaration (`operations._perform`).

    `noun` is what the act is about. An act that creates a row is about the row to which the new one belongs. The actor
    needs one of `roles` on the row, or one of `provider_roles` if the row belongs to the provider and to no tenant.
    With `is_holders`, the person to whom the row belongs may do it too. With `is_public`, anybody may try it: the act
    checks a secret that they bring, or it changes nothing. `humans_only` excludes the clients of the API. A human with
    one of the parts in `separate_from` may not do the act. The body of an act may refuse more actors than the
    declaration, and never fewer.

    `moves` says how the act changes the row's state. An act that does not change the state can name in `during` the
    states in which it is possible; on an access request it is then possible only before the deadline. `scope` is the
    scope that a token needs. Without `scope`, the act can't be done with a token, unless `any_token` is set. With
    `is_of_approver`, a client does the act in the name of the approver for whom it decides, although the act is not a
    decision.

    `title` names the act where it is offered, `explains` describes it there, and `done` is shown after it. `tried`
    follows "tried to" in the entry about a refusal. Acts of the system have none of these texts, because no person
    tries them. In `done`, the interface fills in the names in braces.

    `tells` lists the messages that the act itself sends. If it also ends or proposes something, the messages of that
    are not listed here.

    `route` is the act's call of the API, if the call needs no code of its own.

    `own_order` gives the reason why an act does not follow the kernel's order. `own_doors` gives the reason why its
    interfaces are not built from the declaration. Both are empty for all other acts.
    """

    name: str = field(kw_only=False)
    noun: Noun
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

    @property
    def is_deciding(self) -> bool:
        """Whether a client does it in the name of the approver for whom it decides (`Actor.deciding_human`)."""
        return self.is_of_approver or (self.moves is not None and self.moves.is_decision)


def has(name: str, value: object = None, *, and_also: str = "") -> Condition:
    """Return a condition: the detail has a non-empty value under `name`, or exactly `value` if it is given.

    With `and_also`, the detail must also have a non-empty value under that name.
    """

    def applies(detail: Detail, _actor: Detail) -> bool:
        found = bool(detail.get(name)) if value is None else detail.get(name) == value
        return found and (not and_also or bool(detail.get(and_also)))

    return applies


def says(name: str) -> Condition:
    """Return a condition: the detail has this name, even with an empty value."""
    return lambda detail, _actor: name in detail


def is_actor(name: str) -> Condition:
    """Return a condition: the detail has the actor's id under this name."""
    return lambda detail, actor: detail.get(name) is not None and detail[name] == actor.get("id")
