"""Finds the parts of a MIME message by their positions in the file, and decodes one part at a time.

Only the headers and one block are in memory, so a mail of 50 MiB needs no more memory than a small one. Compiled
patterns search whole blocks, because a sender could make a loop over lines take millions of steps.
"""

import binascii
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO

from requests_app.content.connectors import _headers
from requests_app.content.connectors._paths import read_exactly_some
from requests_app.content.connectors._text import safe_filename
from requests_app.content.connectors._types import extension_of
from requests_app.content.connectors.base import (
    CHUNK_BYTES,
    UNKNOWN_MEDIA_TYPE,
    ByteSource,
    ConnectorUnavailable,
    Limits,
)

_BLOCK = 256 * 1024
# Longer than any match of the patterns below, so that a match that begins inside a block is always complete.
_OVERLAP = 1024
_MAX_BOUNDARY = 200
_INNER_HEADER_BYTES = 16 * 1024
_HEADER_END = rb"\n\r?\n"


@dataclass(slots=True)
class Part:
    """A part that contains no other parts: its headers, and the position of its encoded body in the file."""

    name: str
    headers: _headers.Headers
    media_type: str
    start: int
    end: int

    @property
    def disposition(self) -> str:
        return self.headers.get("content-disposition", "").partition(";")[0].strip().lower()

    @property
    def filename(self) -> str:
        """The file name that the sender chose. It can be hostile, so use `safe_filename` for a download."""
        stated = _headers.parameters(self.headers.get("content-disposition", "")).get("filename", "")
        return stated or _headers.parameters(self.headers.get("content-type", "")).get("name", "")

    @property
    def safe_filename(self) -> str:
        """A file name that is safe for a download.

        If the sender's name is unusable, it is made from the part's number.
        """
        extension = extension_of(self.media_type)
        return safe_filename(self.filename, f"attachment-{self.name}{extension}")

    @property
    def charset(self) -> str:
        return _headers.parameters(self.headers.get("content-type", "")).get("charset", "")


@dataclass(frozen=True, slots=True)
class Structure:
    """The headers of the whole message, its parts in order, and a code for each thing that was cut or left out."""

    headers: _headers.Headers
    parts: tuple[Part, ...]
    problems: tuple[str, ...]


def read_headers(file: FileIO, size: int, limits: Limits) -> _headers.Headers:
    """Return the headers of the message, read from at most `limits.header_bytes`."""
    file.seek(0)
    block = read_fully(file, min(size, limits.header_bytes))
    return _headers.parse(block[: _header_length(block)])


def _header_length(block: bytes) -> int:
    if block.startswith((b"\n", b"\r\n")):
        return 0
    match = re.search(_HEADER_END, block)
    return match.start() if match else len(block)


def read_fully(file: FileIO, count: int) -> bytes:
    """Read exactly `count` bytes. Raise ConnectorUnavailable if the file became shorter."""
    buffer = bytearray()
    while len(buffer) < count:
        buffer += read_exactly_some(file, count - len(buffer))
    return bytes(buffer)


def scan(file: FileIO, size: int, limits: Limits) -> Structure:
    """Find all parts of a message. A damaged message is read as far as possible."""
    return _Scanner(file, size, limits).run()


class _Scanner:
    def __init__(self, file: FileIO, size: int, limits: Limits) -> None:
        self._file, self._size, self._limits = file, size, limits
        self._boundaries: list[bytes] = []
        self._parts: list[Part] = []
        self._problems: dict[str, None] = {}
        self._seen = 0
        self._top: _headers.Headers | None = None

    def run(self) -> Structure:
        position: int | None = 0
        while position is not None:
            position = self._entity(position)
        return Structure(self._top or {}, tuple(self._parts), tuple(self._problems))

    def _entity(self, position: int) -> int | None:
        """Read the headers of one entity and find its end.

        Return the position of the next entity, or None if there is no further one.
        """
        if self._seen >= self._limits.parts:
            self._problems["parts_cut"] = None
            return None
        self._seen += 1
        headers, body, boundary_met = self._read_headers(position)
        if self._top is None:
            self._top = headers
        inner = self._boundary_of(headers)
        if inner and boundary_met is None:
            self._boundaries.append(inner)
            return self._next_part(self._find_boundary(body))
        match = boundary_met or self._find_boundary(body)
        if not inner:
            self._parts.append(self._leaf(headers, body, self._size if match is None else match.start))
        return self._next_part(match)

    def _read_headers(self, position: int) -> tuple[_headers.Headers, int, "_Match | None"]:
        """Return an entity's headers, the position of its body, and the boundary line that ended the headers, or None.

        Headers that end with a boundary line have no body.
        """
        start = max(position - 1, 0)
        first = self._read(position, 2)
        if position == 0 and first.startswith((b"\n", b"\r\n")):
            return {}, first.index(b"\n") + 1, None
        patterns = [_HEADER_END, *([_boundary_pattern(self._boundaries)] if self._boundaries else [])]
        match = self._find(re.compile(b"|".join(patterns)), start)
        end = self._size if match is None else max(match.start, position)
        most = min(self._limits.header_bytes, _INNER_HEADER_BYTES) if position else self._limits.header_bytes
        if end - position > most:
            self._problems["headers_cut"] = None
        headers = _headers.parse(self._read(position, min(end - position, most)))
        if match is None:
            return headers, self._size, None
        return headers, match.end, match if match.boundary else None

    def _boundary_of(self, headers: _headers.Headers) -> bytes:
        """Return the boundary between the parts of a multipart entity.

        Return an empty value for any other entity, and for a multipart entity that is nested too deeply to be read.
        """
        if not _headers.media_type(headers).startswith("multipart/"):
            return b""
        if len(self._boundaries) >= self._limits.mime_depth:
            self._problems["depth_cut"] = None
            return b""
        stated = _headers.parameters(headers["content-type"]).get("boundary", "")
        boundary = stated.encode("utf-8", "replace").rstrip()
        return boundary if len(boundary) <= _MAX_BOUNDARY else b""

    def _leaf(self, headers: _headers.Headers, start: int, end: int) -> Part:
        media_type = _headers.media_type(headers)
        if media_type.startswith("multipart/"):
            # Without a boundary it can only be text. A container that is nested too deeply is offered as a whole for
            # download.
            has_boundary = _headers.parameters(headers["content-type"]).get("boundary")
            media_type = UNKNOWN_MEDIA_TYPE if has_boundary else "text/plain"
        return Part(str(len(self._parts) + 1), headers, media_type, start, max(start, end))

    def _next_part(self, match: "_Match | None") -> int | None:
        """Follow the boundary lines from `match` on, and leave each container that is closed.

        Return the position of the next part's headers, or None if no further part follows.
        """
        while match is not None:
            index = max(at for at, name in enumerate(self._boundaries) if name == match.boundary)
            del self._boundaries[index + 1 :]
            if not match.is_closing:
                return match.end + 1 if match.end + 1 < self._size else None
            del self._boundaries[index:]
            match = self._find_boundary(match.end)
        return None

    def _find_boundary(self, position: int) -> "_Match | None":
        if not self._boundaries:
            return None
        # The line break before a boundary is part of the boundary. A line break always precedes a body's first byte.
        return self._find(re.compile(_boundary_pattern(self._boundaries)), max(position - 1, 0))

    def _find(self, pattern: re.Pattern[bytes], position: int) -> "_Match | None":
        while position < self._size:
            block = self._read(position, _BLOCK + _OVERLAP)
            is_last = position + len(block) >= self._size
            match = pattern.search(block)
            found = _Match.of(match, position) if match else None
            if found and (is_last or found.start < position + _BLOCK):
                return found
            if is_last:
                return None
            position += _BLOCK
        return None

    def _read(self, position: int, count: int) -> bytes:
        self._file.seek(position)
        return read_fully(self._file, max(0, min(count, self._size - position)))


@dataclass(frozen=True, slots=True)
class _Match:
    start: int
    end: int
    boundary: bytes
    is_closing: bool

    @classmethod
    def of(cls, match: re.Match[bytes], offset: int) -> "_Match":
        groups = match.groupdict()
        start, boundary = match.start(), groups.get("name") or b""
        if boundary and match.string[max(0, start - 1) : start] == b"\r":
            start -= 1
        return cls(offset + start, offset + match.end(), boundary, bool(groups.get("closing")))


def _boundary_pattern(boundaries: list[bytes]) -> bytes:
    # A carriage return before the line break is part of the boundary too, and `_Match` adds it: the search is several
    # times as fast if the pattern begins with a fixed text. Longer boundaries come first: a short boundary can be the
    # beginning of a longer one and would hide it.
    names = b"|".join(re.escape(name) for name in sorted(set(boundaries), key=len, reverse=True))
    return rb"\n--(?P<name>" + names + rb")(?P<closing>--)?[ \t]{0,64}\r?(?=\n|\Z)"


class PartSource(ByteSource):
    """The decoded bytes of one part, in chunks. Only one block is in memory at a time."""

    def __init__(self, file: FileIO, part: Part) -> None:
        self._file = file
        self._part = part

    def __iter__(self) -> Iterator[bytes]:
        encoding = self._part.headers.get("content-transfer-encoding", "").strip().lower()
        decoders = {"base64": _from_base64, "quoted-printable": _from_quoted_printable}
        decoder = decoders.get(encoding)
        encoded = self._encoded()
        for data in decoder(encoded) if decoder else encoded:
            for start in range(0, len(data), CHUNK_BYTES):
                yield data[start : start + CHUNK_BYTES]

    def _encoded(self) -> Iterator[bytes]:
        position = self._part.start
        while position < self._part.end:
            try:
                # Another reader of the same file may have moved the position.
                self._file.seek(position)
            except (OSError, ValueError) as error:
                raise ConnectorUnavailable("The part could not be read completely.") from error
            data = read_exactly_some(self._file, min(CHUNK_BYTES, self._part.end - position))
            position += len(data)
            yield data

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()


def _from_base64(encoded: Iterator[bytes]) -> Iterator[bytes]:
    pending = b""
    for block in encoded:
        body, padding, _rest = block.partition(b"=")
        pending += _headers.alphabet_only(body)
        if padding:
            break
        whole = len(pending) - len(pending) % 4
        yield binascii.a2b_base64(pending[:whole])
        pending = pending[whole:]
    yield _headers.base64_bytes(pending)


def _from_quoted_printable(encoded: Iterator[bytes]) -> Iterator[bytes]:
    pending = b""
    for block in encoded:
        pending += block
        # Whole lines are decoded. A line that is longer than a block is cut before an escape that may be incomplete.
        cut = pending.rfind(b"\n") + 1
        if not cut:
            escape = pending.find(b"=", max(0, len(pending) - 2))
            cut = len(pending) if escape < 0 else escape
        yield binascii.a2b_qp(pending[:cut])
        pending = pending[cut:]
    yield binascii.a2b_qp(pending)
