"""Data types for the declarations of acts, and of the log entries that acts write. They contain no rules."""

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
    """What an entry of the log means for an access request.

    Histories, evidence and receipts select entries by their mark. LISTED: names were seen. OPENED: an item was opened.
    TROUBLE: somebody should look at this entry.
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
    """The name of a kind of log entry, in the form "subject.past", with its words for people and for a SIEM.

    It is a string, because it is compared with the names in a log, and another version may have written that log.
    `sentence` is the line that people read in the log: {who} is the actor, and the entry's detail replaces the other
    names in braces. The first of `variants` whose condition is true for the entry replaces `sentence`. In the history
    of an access request, `did` follows the person's name, and `look` is the colour and the icon.
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
        """Pickle only the name, because a process of another version may read the queued task."""
        return str, (str(self),)


@dataclass(frozen=True)
class Proposal:
    """A change that waits for a second person. `words` describe the change, after "proposes to".

    If the change removes a rule, `without` is used in place of `words`. With `by_staff`, the change is announced to the
    customers whose protection it reduces. With `follows`, it follows from a change on which people agreed before, and
    then nobody confirms it.
    """

    name: str
    words: Promise
    without: Promise | None = None
    by_staff: bool = False
    follows: bool = False


class Noun(StrEnum):
    """The kinds of things that an act can be about.

    ACCOUNT is the account of the person who acts. INSTALLATION is everything that all tenants share. MAIL is an
    outgoing mail. MESSAGE is an outgoing message to a webhook.
    """

    ACCESS_DRAFT = "access_draft"
    ACCESS_REQUEST = "access_request"
    ACCOUNT = "account"
    CLIENT = "client"
    DEPUTY = "deputy"
    DOMAIN = "domain"
    GRANT = "grant"
    IDENTITY = "identity"
    IMPORT = "import"
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
    PROXY = "proxy"
    RECOVERY_KEY = "recovery_key"
    RESOURCE = "resource"
    SERVICE = "service"
    SIGNAL_STREAM = "signal_stream"
    TENANT = "tenant"
    TICKET = "ticket"
    TOKEN = "token"  # noqa: S105 - a name
    WEBHOOK = "webhook"
    WITNESS = "witness"


class Door(StrEnum):
    """An interface through which people or programs do acts. The log stores its name (see `events.DOORS`)."""

    PAGES = "pages"
    API = "api"
    ADMIN = "admin"
    COMMAND = "command"
    TASK = "task"


class StepUp(StrEnum):
    """Whether an act needs a proof of identity that is less than five minutes old.

    DEPENDS means that the body of the act decides this, from the row and the inputs.
    """

    NEVER = "never"
    ALWAYS = "always"
    DEPENDS = "depends"


class Comment(StrEnum):
    """Whether the actor can write a comment, or must write one."""

    NONE = "none"
    OPTIONAL = "optional"
    NEEDED = "needed"


class Party(StrEnum):
    """A relation of a human to the row of an act. An act can exclude the humans who have this relation.

    SUBJECT is the human whose account the act is about. DECIDER is a human who decided at an earlier stage of
    the access request.
    """

    REQUESTER = "requester"
    DECIDER = "decider"
    PROPOSER = "proposer"
    SUBJECT = "subject"


class Kind(StrEnum):
    """The kind of an input.

    LINE is a text without line breaks. NAME is a line in which people can see each character. ID is the id of another
    row.
    """

    LINE = "line"
    NAME = "name"
    TEXT = "text"
    EMAIL = "email"
    NUMBER = "number"
    CHOICE = "choice"
    FLAG = "flag"
    INSTANT = "instant"
    ID = "id"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input of an act. The kernel reads the input and checks its limits, for every interface.

    `at_least` and `at_most` limit the number of characters of a text, or the value of a number. `of` is the kind of row
    that an ID names. If `roles` is not empty, the ID names a person who must have one of these roles. If `is_needed` is
    False, the input may be None. `label` is the name of the input in a form that is built from the declaration.
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
    """How an act changes the state of its row. For an act that creates a row, `sources` is empty.

    If the act ends a window, `closes` is the reason that the grant stores (Grant.CloseReason).
    """

    sources: frozenset[str]
    targets: tuple[str, ...]
    timing: Timing = Timing.ANY
    is_decision: bool = False
    closes: str = ""


@dataclass(frozen=True, kw_only=True)
class MailWords:
    """The words of a mail that has no templates of its own. Facts about the mail's row replace the names in braces."""

    subject: Promise
    headline: Promise
    lead: tuple[Promise, ...]
    link: Promise


@dataclass(frozen=True)
class Tell:
    """A message that an act sends: its topic, and the people who can get it.

    Each name in `to` is an audience, or a field of the row that holds a person, as in "row.assignee". Such a
    person gets the message only if they have one of `roles` for the row when the message is sent. A topic with
    `mail` needs no templates. The words in `mail` use only facts that every row of the act's noun has.
    """

    topic: str
    to: tuple[str, ...]
    mail: MailWords | None = None
    roles: frozenset[Role] = frozenset()


@dataclass(frozen=True)
class Route:
    """A call of the API that is built from an act's declaration: a POST to the address of the row, followed by `word`.

    `summary` and `explains` are the texts in the API document.
    """

    word: str
    summary: str
    explains: str = ""


@dataclass(frozen=True, kw_only=True)
class Act:
    """The declaration of one thing that somebody can do.

    The kernel judges the act by this declaration (`operations._perform`).

    `noun` is the kind of row that the act is about. For an act that creates a row, it is the kind of the row to
    which the new row will belong. The actor needs one of `roles` on the row. If the row belongs to the provider
    and to no tenant, the actor needs one of `provider_roles` instead. With `is_holders`, the person to whom the
    row belongs may do the act too. With `is_public`, anybody may try the act: they must bring a secret, or the
    act changes nothing. `humans_only` excludes the clients of the API. `separate_from` excludes every human who
    has one of these relations to the row. The body of an act may refuse more actors than the declaration does,
    but never allow more.

    `moves` says how the act changes the state of its row. An act that leaves the state as it is can list in
    `during` the states in which it is possible. On an access request, such an act is possible only before the
    deadline. `scope` is the scope that a token needs. Without `scope`, no token can be used for the act, unless
    `any_token` is set. A token of the provider can have `provider_scope` instead. `is_of_approver` is for acts
    that are not decisions. A client still does such an act in the name of the approver for whom the client
    decides.

    `title` is the name of the act where it is offered, and `explains` describes it there. `done` is shown after
    the act, and the interface replaces the names in braces. `tried` begins with "to". It follows "tried" in the
    entry about a refusal. Acts of the system have none of these texts, because no person tries them.

    `tells` lists the messages that the act itself sends. If the act also ends or proposes something else, the
    messages about that are not listed here.

    `route` is the act's call of the API, if the call needs no code of its own.

    `own_order` is the reason why an act does not follow the kernel's order of steps. `own_doors` is the reason
    why its interfaces are not built from the declaration. For all other acts, both are empty.
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
    provider_scope: Scope | None = None
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
        """Whether a client does this act in the name of the approver for whom it decides (`Actor.deciding_human`)."""
        return self.is_of_approver or (self.moves is not None and self.moves.is_decision)


def has(name: str, value: object = None, *, and_also: str = "") -> Condition:
    """Return a condition for an entry: its detail has a value that is not empty under `name`.

    With `value`, the detail must have exactly this value there. With `and_also`, the detail must also have a value that
    is not empty under that second name.
    """

    def applies(detail: Detail, _actor: Detail) -> bool:
        found = bool(detail.get(name)) if value is None else detail.get(name) == value
        return found and (not and_also or bool(detail.get(and_also)))

    return applies


def says(name: str) -> Condition:
    """Return a condition for an entry: its detail contains this name, even if the value is empty."""
    return lambda detail, _actor: name in detail


def is_actor(name: str) -> Condition:
    """Return a condition for an entry: under this name, its detail has the id of the entry's actor."""
    return lambda detail, actor: detail.get(name) is not None and detail[name] == actor.get("id")
