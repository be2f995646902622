"""The files of a Maildir: finds its messages and folders, and orders them."""

import heapq
import io
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from requests_app.content.connectors import _paths, _stored
from requests_app.content.connectors.base import ConnectorError, ItemNotFound, Malformed

Entry = tuple[int, str, str, str]  # (delivery time in seconds, unique name, "cur" or "new", file name)
Opened = tuple[io.FileIO, os.stat_result, str]  # the text is the file's name

_ATTEMPTS = 5
_DELIVERED = re.compile(r"(\d{9,11})\.")
_CURSOR = re.compile(r"1(\d{1,12})~(.+)\Z", re.DOTALL)


class Cursor:
    """The position at which a page of a list begins.

    A page begins after the folder `folder`, or with the messages that are older than `message` (delivery time, unique
    name).
    """

    def __init__(self, folder: str | None, message: tuple[int, str] | None) -> None:
        self._folder = folder
        self._message = message

    @classmethod
    def read(cls, after: str | None) -> "Cursor":
        """Parse the cursor that an earlier page returned. Raise Malformed for any other text."""
        if after is None:
            return cls("", None)
        match = _CURSOR.match(after)
        if match:
            return cls(None, (int(match[1]), match[2]))
        if after[:1] == "0" and is_folder_name(after[1:]):
            return cls(after[1:], None)
        raise Malformed("This is not a cursor of this listing.")

    def precedes_folder(self, name: str) -> bool:
        """Return whether a folder of this name comes after the cursor."""
        return self._folder is not None and name > self._folder

    def precedes_message(self, stamp: int, unique: str) -> bool:
        """Return whether a message with this delivery time and unique name comes after the cursor."""
        return self._message is None or (stamp, unique) < self._message


def require_maildir(box: int, error: type[ConnectorError]) -> None:
    """Raise `error` unless the open directory `box` contains both `cur` and `new`."""
    try:
        for place in ("cur", "new"):
            with _paths.subdirectory(box, [place]):
                pass
    except ItemNotFound as absent:
        raise error("This directory is not a Maildir.") from absent


def is_folder_name(name: str) -> bool:
    """Return whether `name` has the form of a folder's name in Maildir++."""
    return _paths.is_safe_name(name) and name.startswith(".")


def folders(box: int) -> list[str]:
    """Return the names of the mailbox's folders.

    A name is only checked for its form. Whether it really is a folder shows when it is opened.
    """
    with _paths.translated(), os.scandir(box) as entries:
        names = [entry.name for entry in entries if is_folder_name(entry.name) and entry.is_dir(follow_symlinks=False)]
    return sorted(names)


def _entries(box: int) -> Iterator[tuple[os.DirEntry[str], str]]:
    for place in ("cur", "new"):
        with _paths.subdirectory(box, [place]) as messages, _paths.translated(), os.scandir(messages) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield entry, place


def newest(box: int, cursor: Cursor, count: int) -> tuple[list[Entry], int]:
    """Return the newest `count` entries after the cursor, and the number of entries that can't be served.

    No message is opened for this.
    """
    unlisted = 0

    def served() -> Iterator[Entry]:
        nonlocal unlisted
        for entry, place in _entries(box):
            unique = unique_name(entry.name)
            if not is_unique_name(unique) or not entry.is_file(follow_symlinks=False):
                unlisted += 1
                continue
            try:
                stamp = _stamp(unique) or seconds(entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue  # The message was read or moved meanwhile, and now has another name.
            if cursor.precedes_message(stamp, unique):
                yield stamp, unique, place, entry.name

    with _paths.translated():
        entries = heapq.nlargest(count, served(), key=lambda entry: entry[:2])
    return entries, unlisted


def unique_name(file_name: str) -> str:
    """Return the part of a file's name before the flags. It does not change when flags are set."""
    return file_name.partition(":")[0]


def is_unique_name(name: str) -> bool:
    """Return whether a message with this unique name can be served."""
    return _paths.is_safe_name(name) and not name.startswith(".") and ":" not in name


def delivered_at(unique: str, facts: _stored.Facts) -> datetime:
    """Return when a message was delivered. Its unique name begins with this time; otherwise the file's time is used."""
    return datetime.fromtimestamp(_stamp(unique) or seconds(facts), UTC)


def _stamp(unique: str) -> int:
    match = _DELIVERED.match(unique)
    return int(match[1]) if match else 0


def seconds(facts: os.stat_result | _stored.Facts) -> int:
    """Return the file's modification time in seconds, limited to values that a datetime accepts."""
    return min(max(int(facts.st_mtime), 0), 99_999_999_999)


def find(box: int, unique: str) -> Opened:
    """Open the message with this unique name. If it is moved or renamed meanwhile, search again.

    Raise ItemNotFound if no attempt finds it.
    """
    for _ in range(_ATTEMPTS):
        found = next(((entry.name, place) for entry, place in _entries(box) if unique_name(entry.name) == unique), None)
        if found:
            try:
                with _paths.subdirectory(box, [found[1]]) as messages:
                    return *_paths.open_file(messages, found[0], is_from_listing=True), found[0]
            except ItemNotFound:
                continue
    raise ItemNotFound("No message has exactly this id.")
