"""The levels of access in their order, which level each action needs, and which levels a service has. Pure.

Everything that asks whether a window allows something asks `covers`.

A service declares its levels in a text, which staff write in a form or a file. Each line has one level, and can have
words of the service about it: "view | for the customer | for engineers". An empty text means the usual levels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from django.db import models
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from requests_app.domain import texts
from requests_app.domain.errors import Unacceptable


class Level(models.TextChoices):
    """How much a window allows. Each level allows everything that the levels above it in this list allow."""

    NAMES = "names", _("names only")
    VIEW = "view", _("view")
    READ = "read", _("view and download")
    ACT_AS = "act_as", _("act as (can change things)")


class Action(StrEnum):
    """What somebody can ask the decision point about. Other services send these names, so they never change."""

    LIST = "list"
    VIEW = "view"
    READ = "read"
    DOWNLOAD = "download"
    ACT_AS = "act_as"


#: The level that each action needs. "read" has always meant view and download.
NEEDED: dict[str, Level] = {
    Action.LIST: Level.NAMES,
    Action.VIEW: Level.VIEW,
    Action.READ: Level.READ,
    Action.DOWNLOAD: Level.READ,
    Action.ACT_AS: Level.ACT_AS,
}
#: The levels with which an engineer can change things. Only an application of the provider can offer them, because this
#: product only reads. A tenant must allow each of them before anybody can ask for it.
CHANGING = frozenset({str(Level.ACT_AS)})
_ORDER = tuple(map(str, Level))
#: Quotation marks, and what looks like them. Pages show the words of a service in quotation marks. With one inside, a
#: service could seem to end the quotation, and to go on in the name of the page.
_QUOTES = (*'"“”„‟«»″‴‶‷〝〞〟＂ˮ״ʺ❝❞❠', "''", "’’", "‘‘", "‛‛", "‚‚", "´´", "``", "′′", "ʹʹ", "ʼʼ")
#: Between a level and the words about it.
_BAR = "|"
#: The longest words of a service about one level, and the longest text with all levels.
WORDS_MAX = 200
TEXT_MAX = 2000


@dataclass(frozen=True)
class Offer:
    """A level that a service has, with the service's own words about it. They are shown beside the usual words."""

    level: str
    for_customer: str = ""
    for_engineer: str = ""

    @property
    def line(self) -> str:
        words = [self.level, self.for_customer, self.for_engineer]
        while not words[-1]:
            words.pop()
        return f" {_BAR} ".join(words)


def covers(granted: str, needed: str) -> bool:
    """Return whether a window with the level `granted` allows what needs the level `needed`.

    An unknown level allows nothing, and nothing allows an unknown level.
    """
    known = granted in _ORDER and needed in _ORDER
    return known and _ORDER.index(granted) >= _ORDER.index(needed)


def covering(needed: str) -> list[str]:
    """Return the levels that allow what needs the level `needed`."""
    return [level for level in _ORDER if covers(level, needed)]


def can_change(level: str) -> bool:
    """Return whether an engineer can change things with this level. For an unknown level, the answer is yes."""
    return level in CHANGING or level not in _ORDER


def usual(*, is_external: bool) -> tuple[Offer, ...]:
    """Return the levels of a service that declares none.

    A connector holds "view" by itself: it sends no file. An application outside was never told that it must.
    """
    levels = (Level.NAMES, Level.READ) if is_external else (Level.NAMES, Level.VIEW, Level.READ)
    return tuple(Offer(str(level)) for level in levels)


def offers_in(text: str) -> tuple[Offer, ...]:
    """Return the offers in a text, in its order and without checking them."""
    parts = [[part.strip() for part in line.split(_BAR)] for line in text.splitlines() if line.strip()]
    return tuple(Offer(*[*part, "", ""][:3]) for part in parts)


def offers_of(text: str, *, is_external: bool) -> tuple[Offer, ...]:
    """Return the levels that a service has. `text` was checked when it was stored.

    Nothing can be changed through a connector, even if the text says so. So a level that changes things is left out.
    """
    found = tuple(offer for offer in offers_in(text) if is_external or offer.level not in CHANGING)
    return found or usual(is_external=is_external)


def text_of(offers: Iterable[Offer]) -> str:
    return "\n".join(offer.line for offer in offers)


def declared(wanted: str | Iterable[Offer], *, is_external: bool) -> str:
    """Return the text to store, with the levels in their order. Raise Unacceptable if a service can't declare this."""
    if isinstance(wanted, str):
        if any(line.count(_BAR) > 2 for line in wanted.splitlines()):
            words = _now("A line has at most two “|”: level | for the customer | for engineers.")
            raise Unacceptable(words, field="levels")
        wanted = offers_in(wanted)
    found = sorted(map(_checked, wanted), key=lambda offer: _ORDER.index(offer.level))
    for offer, following in pairwise(found):
        if offer.level == following.level:
            raise Unacceptable(_now("The level “%(level)s” is there twice.") % {"level": offer.level}, field="levels")
    for offer in found:
        if offer.level in CHANGING and not is_external:
            words = _now("Only an external service can have the level “%(level)s”. A connector only reads.")
            raise Unacceptable(words % {"level": offer.level}, field="levels")
    return "" if tuple(found) in ((), usual(is_external=is_external)) else text_of(found)


def _checked(offer: Offer) -> Offer:
    if offer.level not in _ORDER:
        raise Unacceptable(
            _now("There is no level “%(level)s”. The levels are: %(known)s.")
            % {"level": offer.level[:60], "known": ", ".join(_ORDER)},
            field="levels",
        )
    return Offer(offer.level, _words(offer.for_customer), _words(offer.for_engineer))


def _words(value: str) -> str:
    found = texts.require_name(value, field="levels", at_least=0, at_most=WORDS_MAX)
    if _BAR in found:
        raise Unacceptable(_now("The words can’t contain “|”."), field="levels")
    if any(mark in found for mark in _QUOTES):
        raise Unacceptable(_now("The words can’t contain quotation marks."), field="levels")
    return found
