"""The levels of access in their order, and which level each action needs. Pure.

Everything that asks whether a window allows something asks `covers`.
"""

from __future__ import annotations

from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _


class Level(models.TextChoices):
    """How much a window allows. Each level allows everything that the levels above it in this list allow."""

    NAMES = "names", _("names only")
    VIEW = "view", _("view")
    READ = "read", _("view and download")


class Action(StrEnum):
    """What somebody can ask the decision point about. Other services send these names, so they never change."""

    LIST = "list"
    VIEW = "view"
    READ = "read"
    DOWNLOAD = "download"


#: The level that each action needs. "read" has always meant view and download.
NEEDED: dict[str, Level] = {
    Action.LIST: Level.NAMES,
    Action.VIEW: Level.VIEW,
    Action.READ: Level.READ,
    Action.DOWNLOAD: Level.READ,
}
_ORDER = tuple(map(str, Level))


def levels_of(*, is_external: bool) -> tuple[Level, ...]:
    """Return the levels that a service has.

    A connector holds "view" by itself: it sends no file. An application outside was never told that it must.
    """
    return (Level.NAMES, Level.READ) if is_external else (Level.NAMES, Level.VIEW, Level.READ)


def covers(granted: str, needed: str) -> bool:
    """Return whether a window with the level `granted` allows what needs the level `needed`.

    An unknown level allows nothing, and nothing allows an unknown level.
    """
    known = granted in _ORDER and needed in _ORDER
    return known and _ORDER.index(granted) >= _ORDER.index(needed)


def covering(needed: str) -> list[str]:
    """Return the levels that allow what needs the level `needed`."""
    return [level for level in _ORDER if covers(level, needed)]
