"""Sends content. The first chunk is read before the answer begins. If the client disconnects, the stream is closed."""

from __future__ import annotations

from collections.abc import Iterator

from requests_app.content.connectors.base import ByteSource, ConnectorError
from requests_app.domain.errors import ContentUnavailable


class Body:
    """The chunks of a stream. The first chunk is read immediately.

    If this fails, ContentUnavailable is raised, and the answer can still be a page. A later failure ends the
    connection.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        try:
            self._first = next(chunks, b"")
        except ConnectorError as error:
            raise ContentUnavailable from error

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        yield from self._chunks

    def close(self) -> None:
        """Close the stream. The server calls this after the last byte, or after the client has disconnected."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


class GuardedSource(ByteSource):
    """Provides the chunks of an item to code that reads the item as text.

    When the window closes, reading the chunks fails.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._body = Body(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        self._body.close()
