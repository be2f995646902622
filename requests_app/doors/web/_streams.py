"""Sends content. It reads the first chunk before the answer begins, and closes the stream if the client disconnects."""

from __future__ import annotations

from collections.abc import Iterator

from requests_app.content.connectors.base import ByteSource, ConnectorError
from requests_app.domain.errors import ContentUnavailable


class Body:
    """The chunks of a stream. The first chunk is already read.

    If reading it fails, the answer can still be a page. A later failure ends the connection.
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
    """The chunks of an item while its window is open, to be read as text."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._body = Body(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        self._body.close()
