"""A folder of documents: each regular file in a directory tree is an item, and its relative path is the item's id."""

import heapq
import os
import stat
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from requests_app.content.connectors import _paths, _places
from requests_app.content.connectors._text import safe_filename
from requests_app.content.connectors._types import media_type_of
from requests_app.content.connectors.base import (
    FOLDER_MEDIA_TYPE,
    Connector,
    Item,
    ItemNotFound,
    ItemTooLarge,
    Limits,
    Listing,
    Malformed,
    OutsideResource,
    Places,
    Stream,
)

#: How many levels below a tenant's root folders are offered.
MOST_DEPTH = 2


class Folder(Connector):
    """Documents under one directory of the content root. The locator is the directory's path under that root."""

    kind = "folder"
    kinds = ("library",)
    check_steps = ("directory",)
    names = ("file_name", "date", "size")

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self._root = root

    def check(self, locator: str) -> None:
        with _paths.resource(self._root, locator):
            pass

    def resources(
        self, root: str, *, taken: Collection[str] = (), after: str | None = None, limit: int = 100
    ) -> Places:
        """Return the directories one and two levels below the root. Deeper names are more likely to be content.

        A Maildir is left out, and so is a directory with Maildirs: mail is no document.
        """

        def judge(directory: int, depth: int) -> tuple[bool, bool]:
            if _places.is_maildir(directory):
                return False, False
            return depth > 1 or not _has_maildir(directory), depth < MOST_DEPTH

        count = self.checked_page_size(limit)
        return _places.page(self._root, root, judge, taken=taken, after=after, limit=count)

    def place_of(self, locator: str) -> str:
        return str(self._root / locator)

    def is_store_missing(self) -> bool:
        return not self._root.exists()

    def list(self, locator: str, *, after: str | None = None, limit: int = 100, prefix: str = "") -> Listing:
        count = self.checked_page_size(limit)
        start = _cursor_key(after)
        names = _paths.split(prefix) if prefix else []
        with _paths.resource(self._root, locator) as resource, _paths.subdirectory(resource, names) as folder:
            keys, unlisted = _page_of_keys(folder, names, start, count + 1)
            items = [item for key in keys[:count] if (item := _described(folder, names, key[1]))]
        next_after = f"{keys[count - 1][0]}{keys[count - 1][1]}" if len(keys) > count else None
        return Listing(tuple(items), next_after, unlisted)

    def stat(self, locator: str, item_id: str) -> Item:
        *parents, name = _paths.split(item_id)
        with _paths.resource(self._root, locator) as resource, _paths.subdirectory(resource, parents) as folder:
            facts = _paths.facts_of(folder, name)
            if not _is_served(facts) or not _paths.has_exactly(folder, name):
                raise ItemNotFound("Nothing has exactly this name.")
            return _item(item_id, name, facts)

    def open(self, locator: str, item_id: str, *, part: str | None = None) -> Stream:
        if part is not None:
            raise ItemNotFound("A document has no parts.")
        *parents, name = _paths.split(item_id)
        with _paths.resource(self._root, locator) as resource, _paths.subdirectory(resource, parents) as folder:
            file, facts = _paths.open_file(folder, name)
        if facts.st_size > self.limits.item_bytes:
            file.close()
            raise ItemTooLarge("The document is larger than the limit.")
        return Stream(
            filename=safe_filename(name, "document"),
            media_type=media_type_of(name),
            size=facts.st_size,
            source=_paths.FileSource(file, facts.st_size),
        )


def _has_maildir(directory: int) -> bool:
    for name in _paths.directories(directory):
        with _paths.listed_directory(directory, name) as inner:
            if _places.is_maildir(inner):
                return True
    return False


_Key = tuple[str, str]  # ("0" for a folder or "1" for a document, name), so that folders come first


def _cursor_key(after: str | None) -> _Key:
    if after is None:
        return ("", "")
    if after[:1] not in ("0", "1") or not _paths.is_safe_name(after[1:]):
        raise Malformed("This is not a cursor of this listing.")
    return (after[0], after[1:])


def _page_of_keys(folder: int, parents: list[str], start: _Key, count: int) -> tuple[list[_Key], int]:
    """Return the `count` smallest keys after `start`, and the number of entries that can't be served.

    Only `count` keys are in memory, also for a very large folder.
    """
    unlisted = 0

    def served() -> Iterator[_Key]:
        nonlocal unlisted
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                is_file = entry.is_file(follow_symlinks=False)
                if not (is_folder or is_file) or not _paths.is_servable(parents, entry.name):
                    unlisted += 1
                    continue
                yield ("0" if is_folder else "1", entry.name)

    with _paths.translated():
        keys = heapq.nsmallest(count, (key for key in served() if key > start))
    return keys, unlisted


def _described(folder: int, parents: list[str], name: str) -> Item | None:
    try:
        facts = _paths.facts_of(folder, name)
    except (ItemNotFound, OutsideResource):
        return None  # The entry was removed or became a link after it was listed.
    return _item("/".join([*parents, name]), name, facts) if _is_served(facts) else None


def _is_served(facts: os.stat_result) -> bool:
    return stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)


def _item(item_id: str, name: str, facts: os.stat_result) -> Item:
    is_folder = stat.S_ISDIR(facts.st_mode)
    return Item(
        id=item_id,
        reference=item_id,
        title=name,
        kind="folder" if is_folder else "document",
        size=0 if is_folder else facts.st_size,
        modified_at=instant(facts.st_mtime),
        media_type=FOLDER_MEDIA_TYPE if is_folder else media_type_of(name),
    )


def instant(seconds: float) -> datetime | None:
    """Return a file's time in UTC, or None if a datetime can't store it."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
