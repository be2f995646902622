"""What is declared of an act, and of the entry that it writes. Pure data: nothing here acts, reads or judges."""

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


class Event(str):
    """The name of an entry, "subject.past", with the words that people and machines read.

    A text, because it is compared with the names in the log, which may be those of another version. `sentence` is the
    line of the log: {who} acted, the other names come from the detail. The first of `variants` that applies counts.
    """

    __slots__ = ("label", "meaning", "sentence", "variants")

    label: Promise
    sentence: Promise
    meaning: Meaning
    variants: tuple[tuple[Condition, Promise], ...]

    def __new__(
        cls,
        name: str,
        *,
        label: Promise,
        sentence: Promise,
        siem: Meaning,
        variants: tuple[tuple[Condition, Promise], ...] = (),
    ) -> Event:
        event = super().__new__(cls, name)
        event.label, event.sentence, event.meaning, event.variants = label, sentence, siem, variants
        return event

    def __copy__(self) -> Event:
        return self

    def __deepcopy__(self, _memo: object) -> Event:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Pickle the name alone: a task that is queued may be read by another version."""
        return str, (str(self),)


@dataclass(frozen=True)
class Proposal:
    """A change that waits for a second person, in words that follow "proposes to".

    `without` are its words where the rule that it sets is taken away. One `by_staff` is announced to the customers that
    it weakens.
    """

    name: str
    words: Promise
    without: Promise | None = None
    by_staff: bool = False


class StepUp(StrEnum):
    """Whether an act takes proof of who acts that is not older than five minutes.

    With DEPENDS the body says of which rows and inputs it does.
    """

    NEVER = "never"
    ALWAYS = "always"
    DEPENDS = "depends"


@dataclass(frozen=True, kw_only=True)
class Moves:
    """How an act moves the state of its row. `sources` is empty for the act that makes the row.

    `closes` is how the window closes by it, as the grant has it (Grant.CloseReason).
    """

    sources: frozenset[str]
    targets: tuple[str, ...]
    timing: Timing = Timing.ANY
    is_decision: bool = False
    closes: str = ""


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing that somebody can do.

    `title` names it where it is offered. `roles` are those of which one is needed on the row, and `moves` how its state
    moves. `is_of_approver`: a client does it in the name of the approver for whom it decides, though it is no decision.
    `scope` is what a token needs; without one no token is enough, unless `any_token` is. `tried` follows "tried
    to", in the entry about a refusal. The system's own acts have none: nobody tried them.
    """

    name: str = field(kw_only=False)
    title: Promise | None = None
    roles: frozenset[Role] = frozenset()
    scope: Scope | None = None
    any_token: bool = False
    moves: Moves | None = None
    step_up: StepUp = StepUp.NEVER
    needs_note: bool = False
    is_of_approver: bool = False
    events: tuple[Event, ...] = ()
    tried: Promise | None = None
    proposes: tuple[Proposal, ...] = ()


def has(name: str, value: object = None, *, and_also: str = "") -> Condition:
    """The detail has something under this name, or exactly this value; and something under the other name."""

    def applies(detail: Detail, _actor: Detail) -> bool:
        found = bool(detail.get(name)) if value is None else detail.get(name) == value
        return found and (not and_also or bool(detail.get(and_also)))

    return applies


def says(name: str) -> Condition:
    """The detail has this name, with or without something under it."""
    return lambda detail, _actor: name in detail


def is_actor(name: str) -> Condition:
    """The detail names under this name the person who acted."""
    return lambda detail, actor: detail.get(name) is not None and detail[name] == actor.get("id")
