"""The types of a guided set-up: its steps, and what the facts say about each of them.

A step is done when a fact says so. Nothing is done because somebody pressed a button.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from requests_app.queries.installation import is_trial
from requests_app.words.times import when_words

Facts = TypeVar("Facts")

#: The name of the value in an address by which a form knows that its reader came from the list of steps.
ONWARDS = "set-up"


class StepState(StrEnum):
    """BLOCKED: another step must be done first. LEFT_OUT: this installation or tenant does not need the step."""

    DONE = "done"
    OPEN = "open"
    BLOCKED = "blocked"
    LEFT_OUT = "left_out"


@dataclass(frozen=True)
class Found:
    """What the facts say about a step: its state, a sentence that proves it, and further facts, one for each line.

    `links` is the number of the step's links that are useful now. None means all of them. `first` and `second` are the
    links to show before them, and `about` are links to what the lines are about. `commands` are command lines that make
    the step done. `waits` means that the reader has done their part, and others must act: for example, they are
    invited.
    """

    state: StepState
    says: str
    lines: tuple[str, ...] = ()
    links: int | None = None
    commands: tuple[str, ...] = ()
    first: StepLink | None = None
    second: StepLink | None = None
    waits: bool = False
    about: tuple[StepLink, ...] = ()


@dataclass(frozen=True)
class StepLink:
    """A link to the page where a step is done. `page` is the name of its address.

    In a tenant's guide, the address contains the tenant's id, unless `is_personal`: then the page is the reader's own.
    `args` are the parts of another address, and `query` are values that a form begins with. A link with `is_press` is a
    button: one press sends these values to the page, and so does the act.
    """

    label: str | Promise
    page: str
    is_personal: bool = False
    args: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    is_press: bool = False


@dataclass(frozen=True, kw_only=True)
class Step(Generic[Facts]):
    """One step. `without` says what happens if the step is left out. `button` is an act without a form.

    An optional step does not count for the list to be complete.
    """

    name: str
    title: Promise
    why: Promise
    without: Promise
    minutes: int
    fact: Callable[[Facts], Found]
    links: tuple[StepLink, ...] = ()
    button: StepLink | None = None
    is_optional: bool = False


@dataclass(frozen=True)
class ShownStep(Generic[Facts]):
    step: Step[Facts]
    found: Found
    is_next: bool = False

    @property
    def links(self) -> tuple[StepLink, ...]:
        before = [link for link in (self.found.first, self.found.second) if link is not None]
        pages = {link.page for link in before}
        useful = [link for link in self.step.links[: self.found.links] if link.page not in pages]
        return *self.found.about, *before, *useful

    @property
    def is_folded(self) -> bool:
        """Whether only the title is shown at first: the step is done, and nothing in it needs the reader."""
        return self.found.state is StepState.DONE and not self.found.about and self.found.first is None

    @property
    def has_links_in_sight(self) -> bool:
        """Whether the links are shown without opening the step: it can be done, or something in it needs the reader."""
        return self.found.state is StepState.OPEN or (self.found.state is StepState.DONE and not self.is_folded)

    @property
    def form(self) -> StepLink | None:
        """Where the reader does the step, if it is a page."""
        first = None if self.step.button else next(iter(self.links), None)
        return None if first is None or first.is_press else first


@dataclass(frozen=True)
class Guide(Generic[Facts]):
    """All steps with their states. `next` is the first step that can be done now.

    `then` says what comes next when all is done, with a link to where it is done, if this is a page.
    """

    steps: list[ShownStep[Facts]]
    facts: Facts
    then: str
    then_link: StepLink | None

    @property
    def counted(self) -> list[ShownStep[Facts]]:
        return [each for each in self.steps if not each.step.is_optional and each.found.state is not StepState.LEFT_OUT]

    @property
    def uncounted(self) -> list[ShownStep[Facts]]:
        """The steps that are optional or not needed here."""
        return [each for each in self.steps if each not in self.counted]

    @property
    def done(self) -> int:
        return sum(each.found.state is StepState.DONE for each in self.counted)

    @property
    def total(self) -> int:
        return len(self.counted)

    @property
    def is_complete(self) -> bool:
        return self.done == self.total

    @property
    def next(self) -> ShownStep[Facts] | None:
        return next((each for each in self.steps if each.is_next), None)

    @property
    def awaited(self) -> ShownStep[Facts] | None:
        """What comes next if the reader can do nothing now: the first step that others must do."""
        left = [each for each in self.counted if each.found.state is not StepState.DONE]
        return next((each for each in left if each.found.waits), next(iter(left), None))

    def is_about(self, page: str) -> bool:
        """Return whether acts of a step lead to this page. It is the name of an address."""
        links = [link for shown in self.steps for link in shown.step.links]
        return any(page in (link.page, _row_page(link.page)) for link in links)


def _row_page(page: str) -> str:
    """Return the page of one row, for the page of the administration where rows of this kind are listed or added."""
    kind = re.sub("_(add|changelist)$", "", page)
    return page if kind == page else f"{kind}_change"


def listed(steps: Iterable[Step[Facts]], facts: Facts, *, then: str, then_link: StepLink | None = None) -> Guide[Facts]:
    found = [(step, step.fact(facts)) for step in steps]
    following = next(
        (step for step, each in found if each.state is StepState.OPEN and not each.waits and not step.is_optional),
        None,
    )
    return Guide([ShownStep(step, each, step is following) for step, each in found], facts, then, then_link)


def done(says: str, *lines: str, links: int | None = None) -> Found:
    return Found(StepState.DONE, says, lines, links)


def still_open(says: str, *lines: str, **more: Any) -> Found:
    """Return an open step. `more` has further fields of `Found`."""
    return Found(StepState.OPEN, says, lines, **more)


def blocked(says: str, *lines: str, links: int | None = None) -> Found:
    return Found(StepState.BLOCKED, says, lines, links)


def left_out(says: str) -> Found:
    return Found(StepState.LEFT_OUT, says)


def played(words: str) -> str:
    """Return the words with what one person needs who plays everybody: whose mail to look for."""
    if not is_trial():
        return words
    return _("%(words)s Sign in as this person: the mail is in the terminal.") % {"words": words}


def when(at: datetime, now: datetime) -> str:
    return when_words(at, now)
