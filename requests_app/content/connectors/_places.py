"""Lists the directories under a tenant's root that could become resources. It opens no file, and follows no link.

It enters no resource that exists already: the names in there are content, which only a grant makes readable.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path

from requests_app.content.connectors import _paths
from requests_app.content.connectors.base import ConnectorError, ConnectorUnavailable, Malformed, Place, Places
from requests_app.domain import clock


class _TookTooLong(Exception):
    """The walk has reached its deadline. This is no ConnectorError, because the walk skips directories with one."""


#: The longest time of one walk. It ends before the caller stops to wait (`checking.CHECK_SECONDS`).
WALK_SECONDS = 3.0

#: Whether a directory is offered, and whether the directories in it are offered too.
Judge = Callable[[int, int], tuple[bool, bool]]


def page(
    root: Path, tenant_root: str, judge: Judge, *, taken: Collection[str], after: str | None, limit: int
) -> Places:
    """Return one page of places. `judge(descriptor, depth)` decides about a directory `depth` levels below the root.

    Raise ConnectorUnavailable if this takes too long. Nobody would wait for the result any more, and the walk would
    take the place of other calls.
    """
    if after is not None and not all(map(_paths.is_safe_name, after.split("/"))):
        raise Malformed("This is not a cursor of this listing.")
    names = [locator.split("/") for locator in taken]
    barred = frozenset(taken), frozenset("/".join(parts[:n]) for parts in names for n in range(1, len(parts)))
    until = clock.monotonic() + WALK_SECONDS

    def judged(directory: int, depth: int) -> tuple[bool, bool]:
        if clock.monotonic() > until:
            raise _TookTooLong
        return judge(directory, depth)

    try:
        with _paths.resource(root, tenant_root) as top:
            walk = _walked(top, tenant_root, judged, *barred, after.split("/") if after else [])
            found = list(islice(walk, limit + 1))
    except _TookTooLong:
        raise ConnectorUnavailable from None
    places = tuple(Place(locator, locator.rpartition("/")[2]) for locator in found[:limit])
    return Places(places, places[-1].locator if len(found) > limit else None)


def _walked(
    top: int, locator: str, judge: Judge, taken: frozenset[str], above: frozenset[str], after: list[str]
) -> Iterator[str]:
    """Yield locators. Nothing at or under `taken` is yielded or opened, and nothing of `above` is yielded."""
    depth = locator.count("/") + 1
    for name in _paths.directories(top):
        here = f"{locator}/{name}"
        # The parts of locators are compared, and not the texts: "a-b" comes before "a/b" as a text.
        parts = here.split("/")
        if parts < after[: len(parts)] or here in taken or not _fits(here):
            continue
        try:
            with _paths.listed_directory(top, name) as inner:
                is_offered, is_entered = judge(inner, depth)
                if is_offered and parts > after and here not in above:
                    yield here
                if is_entered:
                    yield from _walked(inner, here, judge, taken, above, after)
        except ConnectorError:
            continue  # The directory was removed or replaced meanwhile, or can't be read.


def _fits(locator: str) -> bool:
    """Return whether the product can store this locator."""
    try:
        return len(locator) <= _MOST_LOCATOR and bool(_paths.split(locator))
    except ConnectorError:
        return False


#: The length of the column for locators.
_MOST_LOCATOR = 400


def is_maildir(directory: int) -> bool:
    """Return whether an open directory has the two directories of a Maildir. Nothing in them is read."""
    try:
        return all(_is_directory(directory, name) for name in ("cur", "new"))
    except OSError:
        return False


def _is_directory(directory: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
