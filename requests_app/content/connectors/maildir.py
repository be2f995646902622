"""The connector for mailboxes in Maildir format.

The directories `cur` and `new` contain one RFC 5322 message in each file. A directory `.Name` is a folder of the
mailbox.
"""

import base64
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from requests_app.content.connectors import _headers, _mailbox, _mime, _paths, _places, _stored
from requests_app.content.connectors._mail import read_message
from requests_app.content.connectors._text import one_line, safe_filename
from requests_app.content.connectors.base import (
    FOLDER_MEDIA_TYPE,
    MESSAGE_MEDIA_TYPE,
    Connector,
    ConnectorError,
    Item,
    ItemNotFound,
    ItemTooLarge,
    Limits,
    Listing,
    Message,
    OutsideResource,
    Places,
    ResourceNotFound,
    Stream,
)

#: How many levels below a tenant's root Maildirs are found.
MOST_DEPTH = 5
_UTF7_RUN = re.compile(r"&([A-Za-z0-9+,]*)-")


class Maildir(Connector):
    """Mailboxes under the content root. The locator is the path of a Maildir under that root.

    A message's id is its unique name: the file name without flags. It does not change when the message is read, flagged
    or moved from `new` to `cur`. For a message in a folder of the mailbox, the id is "<folder>/<unique name>".
    """

    kind = "maildir"
    kinds = ("mailbox",)
    check_steps = ("directory", "mail_directories")
    holds_messages = True
    names = ("sender", "date", "size", "subject")

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self._root = root

    def check(self, locator: str) -> None:
        with self._box(locator, ""):
            pass

    def resources(
        self, root: str, *, taken: Collection[str] = (), after: str | None = None, limit: int = 100
    ) -> Places:
        """Return the Maildirs under the root, at most MOST_DEPTH levels below it."""

        def judge(directory: int, depth: int) -> tuple[bool, bool]:
            is_box = _places.is_maildir(directory)
            return is_box, not is_box and depth < MOST_DEPTH

        count = self.checked_page_size(limit)
        return _places.page(self._root, root, judge, taken=taken, after=after, limit=count)

    def place_of(self, locator: str) -> str:
        return str(self._root / locator)

    def is_store_missing(self) -> bool:
        return not self._root.exists()

    def list(self, locator: str, *, after: str | None = None, limit: int = 100, prefix: str = "") -> Listing:
        count = self.checked_page_size(limit)
        cursor = _mailbox.Cursor.read(after)
        with self._box(locator, prefix) as box:
            folders = [] if prefix else [name for name in _mailbox.folders(box) if cursor.precedes_folder(name)]
            room = max(0, count - len(folders))
            messages, unlisted = _mailbox.newest(box, cursor, room + 1)
            # One more mark than the page has items shows that there is a next page, and where it begins.
            marks = [f"0{name}" for name in folders] + [f"1{stamp}~{unique}" for stamp, unique, _, _ in messages]
            items = [_folder_item(name) for name in folders[:count]]
            for entry in messages[:room]:
                item = self._listed(box, prefix, entry)
                unlisted += item is None
                # If a file is in both `cur` and `new`, it is one message.
                if item and item.id not in {earlier.id for earlier in items[-1:]}:
                    items.append(item)
        return Listing(tuple(items), marks[count - 1] if len(marks) > count else None, unlisted)

    def stat(self, locator: str, item_id: str) -> Item:
        folder, unique = _split_id(item_id)
        if not unique:
            with self._box(locator, folder):
                return _folder_item(folder)
        with self._opened(locator, folder, unique) as (file, facts):
            return self._item(folder, unique, file, facts)

    def open(self, locator: str, item_id: str, *, part: str | None = None) -> Stream:
        folder, unique = _split_id(item_id)
        with self._box(locator, folder) as box:
            file, facts = self._plain(_mailbox.find(box, unique), whole=True)
        try:
            self._refuse_large(facts)
            return _part_stream(file, facts, part, self.limits) if part is not None else _whole(file, facts, unique)
        except BaseException:
            file.close()
            raise

    def message(self, locator: str, item_id: str) -> Message:
        folder, unique = _split_id(item_id)
        with self._opened(locator, folder, unique, whole=True) as (file, facts):
            self._refuse_large(facts)
            return read_message(self._item(folder, unique, file, facts), file, facts.st_size, self.limits)

    def _plain(self, opened: _mailbox.Opened, *, whole: bool) -> tuple[io.FileIO, _stored.Facts]:
        file, facts, name = opened
        try:
            return _stored.plain(file, facts, name, self.limits, whole=whole)
        except BaseException:
            file.close()
            raise

    def _refuse_large(self, facts: _stored.Facts) -> None:
        if facts.st_size > self.limits.item_bytes:
            raise ItemTooLarge("The message is larger than the limit.")

    @contextmanager
    def _box(self, locator: str, folder: str) -> Iterator[int]:
        """Open a mailbox or one of its folders, and yield its descriptor.

        The directory must contain both `cur` and `new`.
        """
        with _paths.resource(self._root, locator) as resource:
            _mailbox.require_maildir(resource, ResourceNotFound)
            if not folder:
                yield resource
                return
            if not _mailbox.is_folder_name(folder):
                raise OutsideResource("This is not the name of a folder of a mailbox.")
            with _paths.subdirectory(resource, [folder]) as inner:
                _mailbox.require_maildir(inner, ItemNotFound)
                yield inner

    @contextmanager
    def _opened(
        self, locator: str, folder: str, unique: str, *, whole: bool = False
    ) -> Iterator[tuple[io.FileIO, _stored.Facts]]:
        with self._box(locator, folder) as box:
            file, facts = self._plain(_mailbox.find(box, unique), whole=whole)
        with file:
            yield file, facts

    def _listed(self, box: int, folder: str, entry: _mailbox.Entry) -> Item | None:
        """Describe one entry of a page. Return None if the message was removed meanwhile or can't be read."""
        _stamp, unique, place, name = entry
        try:
            with _paths.subdirectory(box, [place]) as messages, suppress(ItemNotFound):
                opened = (*_paths.open_file(messages, name, is_from_listing=True), name)
                file, facts = self._plain(opened, whole=False)
                with file:
                    return self._item(folder, unique, file, facts)
            # Somebody read the message meanwhile, so its file has another name now.
            file, facts = self._plain(_mailbox.find(box, unique), whole=False)
            with file:
                return self._item(folder, unique, file, facts)
        except ConnectorError:
            return None

    def _item(self, folder: str, unique: str, file: io.FileIO, facts: _stored.Facts) -> Item:
        headers = _mime.read_headers(file, facts.st_size, self.limits)
        sent_at = _headers.sent_at(headers)
        item_id = f"{folder}/{unique}" if folder else unique
        return Item(
            id=item_id,
            reference=_headers.message_id(headers) or item_id,
            title=_headers.decoded(headers.get("subject", "")),
            kind="message",
            size=facts.st_size,
            modified_at=_mailbox.delivered_at(unique, facts),
            media_type=MESSAGE_MEDIA_TYPE,
            details={
                "from": _headers.decoded(headers.get("from", "")),
                "sent_at": sent_at.isoformat() if sent_at else "",
            },
        )


def _folder_item(name: str) -> Item:
    return Item(name, name, _folder_title(name), "folder", 0, None, FOLDER_MEDIA_TYPE)


def _folder_title(name: str) -> str:
    """Decode the name of a Maildir++ folder, which is written in modified UTF-7 (RFC 3501, section 5.1.3)."""

    def run(match: re.Match[str]) -> str:
        text = match[1].replace(",", "/")
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-16-be") if text else "&"

    plain = name[1:].replace(".", "/")
    try:
        return one_line(_UTF7_RUN.sub(run, plain))
    except ValueError:
        return plain


def _split_id(item_id: str) -> tuple[str, str]:
    """Return (folder, unique name). If the id is a folder's, the unique name is empty."""
    names = _paths.split(item_id)
    if len(names) == 1 and _mailbox.is_folder_name(names[0]):
        return names[0], ""
    folder, unique = ("", names[0]) if len(names) == 1 else (names[0], names[-1])
    if len(names) > 2 or not _mailbox.is_unique_name(unique) or (folder and not _mailbox.is_folder_name(folder)):
        raise OutsideResource("This is not the id of a message.")
    return folder, unique


def _whole(file: io.FileIO, facts: _stored.Facts, unique: str) -> Stream:
    return Stream(
        filename=safe_filename(f"{unique}.eml", "message.eml"),
        media_type=MESSAGE_MEDIA_TYPE,
        size=facts.st_size,
        source=_paths.FileSource(file, facts.st_size),
    )


def _part_stream(file: io.FileIO, facts: _stored.Facts, name: str, limits: Limits) -> Stream:
    structure = _mime.scan(file, facts.st_size, limits)
    part = next((part for part in structure.parts if part.name == name), None)
    if part is None:
        raise ItemNotFound("The message has no such part.")
    source = _mime.PartSource(file, part)
    # The part is decoded once for its size and once for its bytes, so it is never in memory as a whole. Without a size,
    # nobody could distinguish a part that was cut from a complete one.
    size = sum(len(chunk) for chunk in source)
    return Stream(filename=part.safe_filename, media_type=part.media_type, size=size, source=source)
