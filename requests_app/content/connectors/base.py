"""The contract of all connectors: their methods, limits and errors.

A connector lists the items of a resource, and opens single items. It knows nothing of Django, models or grants. Its
caller must first decide that the person can read the content, and must commit an entry about it.
"""

import abc
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import ClassVar, Literal, Self

from requests_app.content.connectors._text import decode, visible_lines

#: The chunks are small, because a client still gets the bytes that the server has read when the window closes.
CHUNK_BYTES = 16 * 1024

ItemKind = Literal["message", "document", "folder"]
RenderHint = Literal["text", "image", "download"]

FOLDER_MEDIA_TYPE = "inode/directory"
MESSAGE_MEDIA_TYPE = "message/rfc822"
UNKNOWN_MEDIA_TYPE = "application/octet-stream"

# A page shows only these types. SVG, HTML and XML can contain script, and PDF needs a viewer that runs script.
_TEXT_TYPES = frozenset(
    {"text/plain", "text/csv", "text/tab-separated-values", "text/markdown", "text/x-log", "application/json"}
)
_IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


class ConnectorError(Exception):
    """A connector failed. `code` is stable and can be logged. The text contains no content of the customer."""

    code: ClassVar[str] = "connector_error"


class ItemNotFound(ConnectorError):
    """The resource has no readable item with exactly this name."""

    code = "item_not_found"


class ResourceNotFound(ItemNotFound):
    """The locator leads to nothing that this connector can serve."""

    code = "resource_not_found"


class OutsideResource(ConnectorError):
    """The name leads outside the resource, or is spelled in a way that could lead outside it."""

    code = "outside_resource"


class LinkRefused(OutsideResource):
    """The name is a link of the file system. Links are never followed."""

    code = "link_refused"


class ItemUnreadable(ConnectorError):
    """The item exists, but it is stored in a form that can't be read here."""

    code = "item_unreadable"


class ItemTooLarge(ConnectorError):
    """The item is larger than the limit for opening."""

    code = "item_too_large"


class ConnectorUnavailable(ConnectorError):
    """The store behind the connector failed, or the item changed while it was read."""

    code = "connector_unavailable"


class Malformed(ConnectorError):
    """The call itself is invalid: the cursor is damaged, or the page size is out of range."""

    code = "malformed"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the time and memory that one hostile item can use. Sizes are in bytes."""

    page_items: int = 500
    item_bytes: int = 50 * 1024 * 1024
    parts: int = 100
    mime_depth: int = 20
    header_bytes: int = 64 * 1024
    text_bytes: int = 1024 * 1024
    html_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """One item in a resource.

    `id` names the item inside the resource; callers must not interpret it. `reference` is the item's name in the log
    and contains no content. `title` and `details` are content (a subject, a sender) and must never be logged.
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
    """One page of items.

    `unlisted` counts the entries of the folder that can't be served: links, devices, unsafe names.
    """

    items: tuple[Item, ...]
    next_after: str | None
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the store that could become a resource. `name` is the last part of its locator."""

    locator: str
    name: str


@dataclass(frozen=True, slots=True)
class Places:
    """One page of places, in the order of their locators."""

    places: tuple[Place, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part of a message that is opened separately, with `part` as the argument of `open`.

    `size` is the decoded size.
    """

    part: str
    filename: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    """A mail that is ready to be shown. Its strings are decoded, without control characters. `html` is sanitised.

    `problems` has a code for each thing that is not shown as it was sent: headers_cut, parts_cut, depth_cut, text_cut,
    html_cut, images_withheld.
    """

    item: Item
    headers: Mapping[str, str]
    sent_at: datetime | None
    text: str
    html: str
    attachments: tuple[Attachment, ...]
    problems: tuple[str, ...] = ()


class Stream:
    """The bytes of one item in chunks of at most 16 KiB. Close the stream, or use it in a `with` statement.

    If the stream was closed or the item became shorter, reading raises ConnectorUnavailable, so that nobody uses an
    incomplete item. `size` can be unknown (None). A web client then can't distinguish a cut stream from a complete one.
    """

    def __init__(self, *, filename: str, media_type: str, size: int | None, source: "ByteSource") -> None:
        self.filename = filename
        self.media_type = media_type
        self.size = size
        self._source = source
        self.chunks: Iterator[bytes] = iter(source)

    def read_text(self, limit: int, charset: str = "") -> tuple[str, bool]:
        """Return the start of the item as clean text, and whether the item was cut at `limit` bytes.

        Close the stream.
        """
        with self:
            buffer = bytearray()
            for chunk in self.chunks:
                buffer += chunk
                if len(buffer) > limit:
                    break
        return visible_lines(decode(bytes(buffer[:limit]), charset)), len(buffer) > limit

    def close(self) -> None:
        """Release the stream's resources. Further calls do nothing."""
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
    """Reads the content of one kind of resource.

    Every method takes the locator of a resource and opens nothing outside that resource. A method raises only
    ConnectorError, can be called from several threads, and stores nothing between calls.
    """

    kind: ClassVar[str]
    # The kinds of resources that it serves (`Resource.Kind`).
    kinds: ClassVar[tuple[str, ...]]
    # Codes of what `check` does, in its order. Pages and the log show them in words.
    check_steps: ClassVar[tuple[str, ...]]
    holds_messages: ClassVar[bool] = False
    # Codes of the properties that a listing shows for each item. The level "names" reveals these and nothing else.
    names: ClassVar[tuple[str, ...]]

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()

    @abc.abstractmethod
    def check(self, locator: str) -> None:
        """Raise ResourceNotFound, OutsideResource or ConnectorUnavailable unless the resource exists.

        Do only what `check_steps` names. Open no item and list no item: nobody has been given access.
        """

    @abc.abstractmethod
    def list(self, locator: str, *, after: str | None = None, limit: int = 100, prefix: str = "") -> Listing:
        """Return one page of a folder, folders first. `prefix` is the folder's id, or empty for the top folder.

        `after` is the `next_after` of the previous page. Raise Malformed if `limit` is not in 1..limits.page_items.
        """

    @abc.abstractmethod
    def stat(self, locator: str, item_id: str) -> Item:
        """Describe one item without opening its content. Raise ItemNotFound if no item has exactly this id."""

    @abc.abstractmethod
    def open(self, locator: str, item_id: str, *, part: str | None = None) -> Stream:
        """Open one item, or one part of a message, for reading. Raise ItemTooLarge above limits.item_bytes."""

    def resources(
        self, root: str, *, taken: Collection[str] = (), after: str | None = None, limit: int = 100
    ) -> Places:
        """Return one page of the places under a tenant's root that could become resources of this connector.

        Nobody has been given access: return no name of an item, and nothing at or under the `taken` locators, which are
        resources already. `after` is the `next_after` of the previous page. A connector that can't list its resources
        raises ItemNotFound.
        """
        raise ItemNotFound("This connector can't list its resources.")

    def place_of(self, locator: str) -> str:
        """Return where an operator finds this locator, as a message to staff names it."""
        return locator

    def is_store_missing(self) -> bool:
        """Return whether there is nothing at the place of the whole store: nobody has made it, or it isn't mounted."""
        return False

    def message(self, locator: str, item_id: str) -> Message:
        """Read one mail for display. A connector without messages raises ItemNotFound."""
        raise ItemNotFound("This connector holds no messages.")

    def checked_page_size(self, limit: int) -> int:
        """Return `limit` if it is allowed.

        Raise Malformed if not: a page of any size could use all memory of a server.
        """
        if not 1 <= limit <= self.limits.page_items:
            raise Malformed(f"A page has 1 to {self.limits.page_items} items.")
        return limit


def render_hint(media_type: str) -> RenderHint:
    """Return how a page can show this media type. Types that are not known to be harmless can only be downloaded."""
    plain = media_type.partition(";")[0].strip().lower()
    if plain in _TEXT_TYPES:
        return "text"
    return "image" if plain in _IMAGE_TYPES else "download"
