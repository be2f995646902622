"""The connector contract: the methods, limits and errors of every way to real content.

Nothing here knows Django, models or grants. A connector lists the items of a resource, and returns one item. Before the
caller calls it, the caller has decided, recorded and committed that the person may read this content.
"""

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import ClassVar, Literal, Self

from requests_app.content.connectors._text import decode, visible_lines

#: Small, because a client still gets what the server has read of a stream after the window has closed.
CHUNK_BYTES = 16 * 1024

ItemKind = Literal["message", "document", "folder"]
RenderHint = Literal["text", "image", "download"]

FOLDER_MEDIA_TYPE = "inode/directory"
MESSAGE_MEDIA_TYPE = "message/rfc822"
UNKNOWN_MEDIA_TYPE = "application/octet-stream"

# Only these are ever shown inside a page. SVG, HTML and XML can carry script, and PDF needs a viewer that does.
_TEXT_TYPES = frozenset(
    {"text/plain", "text/csv", "text/tab-separated-values", "text/markdown", "text/x-log", "application/json"}
)
_IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


class ConnectorError(Exception):
    """A connector failed. `code` is stable and safe for the log; the text never quotes content."""

    code: ClassVar[str] = "connector_error"


class ItemNotFound(ConnectorError):
    """Nothing readable has exactly this name in the resource."""

    code = "item_not_found"


class ResourceNotFound(ItemNotFound):
    """The locator names nothing that this connector can serve."""

    code = "resource_not_found"


class OutsideResource(ConnectorError):
    """The name leads, or could lead, out of the resource."""

    code = "outside_resource"


class LinkRefused(OutsideResource):
    """A link of the file system. The product does not follow links."""

    code = "link_refused"


class ItemUnreadable(ConnectorError):
    """The item exists, in a form that can't be read here."""

    code = "item_unreadable"


class ItemTooLarge(ConnectorError):
    """The item is larger than the limit for opening."""

    code = "item_too_large"


class ConnectorUnavailable(ConnectorError):
    """The store behind the connector failed, or the item changed while it was read."""

    code = "connector_unavailable"


class Malformed(ConnectorError):
    """The call itself is invalid: a bad cursor, or a page size out of range."""

    code = "malformed"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits so that one hostile item does not cost more than one item should. Sizes are in bytes."""

    page_items: int = 500
    item_bytes: int = 50 * 1024 * 1024
    parts: int = 100
    mime_depth: int = 20
    header_bytes: int = 64 * 1024
    text_bytes: int = 1024 * 1024
    html_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in a resource.

    `id` names it inside the resource and is opaque to callers. `reference` is its name in the log and has no content in
    it. `title` and `details` are content (a subject, a sender) and must never be logged.
    """

    id: str
    reference: str
    title: str
    kind: ItemKind
    size: int
    modified_at: datetime | None
    media_type: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of items. `unlisted` counts entries of the folder that can't be served: links, devices, unsafe names."""

    items: tuple[Item, ...]
    next_after: str | None
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part of a message that is opened separately. `part` is its name for `open`; `size` is after decoding."""

    part: str
    filename: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    """A mail ready to be shown: every string is decoded and without control characters; `html` is sanitised.

    `problems` are codes for what is not shown as sent: headers_cut, parts_cut, depth_cut, text_cut, html_cut,
    images_withheld.
    """

    item: Item
    headers: Mapping[str, str]
    sent_at: datetime | None
    text: str
    html: str
    attachments: tuple[Attachment, ...]
    problems: tuple[str, ...] = ()


class Stream:
    """The bytes of one item in chunks of at most 16 KiB. Close it, or use it in a `with` statement.

    A stream that is closed, or whose item shrank meanwhile, raises ConnectorUnavailable instead of ending as if it were
    complete. `size` may be unknown (None); a web client then can't tell a stream that was cut from a complete one.
    """

    def __init__(self, *, filename: str, media_type: str, size: int | None, source: "ByteSource") -> None:
        self.filename = filename
        self.media_type = media_type
        self.size = size
        self._source = source
        self.chunks: Iterator[bytes] = iter(source)

    def read_text(self, limit: int, charset: str = "") -> tuple[str, bool]:
        """Return the start of the item as clean text, and whether it was cut at `limit` bytes; closes the stream."""
        with self:
            buffer = bytearray()
            for chunk in self.chunks:
                buffer += chunk
                if len(buffer) > limit:
                    break
        return visible_lines(decode(bytes(buffer[:limit]), charset)), len(buffer) > limit

    def close(self) -> None:
        """Release the stream's resources. Repeating this does no harm."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ByteSource(abc.ABC):
    """The source of a stream's chunks."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[bytes]: ...

    @abc.abstractmethod
    def close(self) -> None: ...


class Connector(abc.ABC):
    """Access to the content of one kind of resource.

    Every method takes the locator of a resource and opens nothing outside it. All of them raise ConnectorError and
    nothing else, are safe to call from several threads, and keep no state between calls.
    """

    kind: ClassVar[str]
    holds_messages: ClassVar[bool] = False
    # Codes of what a listing shows of an item, and so of all that the level "names" reveals.
    names: ClassVar[tuple[str, ...]]

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()

    @abc.abstractmethod
    def check(self, locator: str) -> None:
        """Return if the resource exists; raise ResourceNotFound, OutsideResource or ConnectorUnavailable."""

    @abc.abstractmethod
    def list(self, locator: str, *, after: str | None = None, limit: int = 100, prefix: str = "") -> Listing:
        """Return one page of a folder (`prefix` is the id of a folder, empty for the top), folders first.

        `after` is the `next_after` of the page before. Raises Malformed for a limit outside 1..limits.page_items.
        """

    @abc.abstractmethod
    def stat(self, locator: str, item_id: str) -> Item:
        """Describe one item without opening its content, if it exists under exactly this id."""

    @abc.abstractmethod
    def open(self, locator: str, item_id: str, *, part: str | None = None) -> Stream:
        """Open one item, or one part of a message, for reading; raises ItemTooLarge above limits.item_bytes."""

    def message(self, locator: str, item_id: str) -> Message:
        """Read one mail for display; connectors without mail have none."""
        raise ItemNotFound("This connector holds no messages.")

    def checked_page_size(self, limit: int) -> int:
        """Return `limit`, or raise Malformed: a page without a limit could empty a server's memory."""
        if not 1 <= limit <= self.limits.page_items:
            raise Malformed(f"A page has 1 to {self.limits.page_items} items.")
        return limit


def render_hint(media_type: str) -> RenderHint:
    """Return how a page may show this type. A type that is not known to be harmless is only for download."""
    plain = media_type.partition(";")[0].strip().lower()
    if plain in _TEXT_TYPES:
        return "text"
    return "image" if plain in _IMAGE_TYPES else "download"
