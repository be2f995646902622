"""Bytes on their way out: read ahead by one chunk, closed when the client has gone, named by a safe header."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterator
from itertools import islice

from django.utils import timezone, translation
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _

from requests_app import clock, policy
from requests_app.actors import Actor, Role
from requests_app.connectors.base import ByteSource, ConnectorError
from requests_app.errors import ContentUnavailable
from requests_app.models import Tenant
from requests_app.models.people import reread
from requests_app.models.row_security import only_tenants

#: How long a download may run on the roles that its reader last had, in seconds.
REREAD_SECONDS = 1.0


class Body:
    """The chunks of a stream, the first of them read already.

    What fails before the first byte can still be answered with a page; what fails later ends the connection.
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
        """Called by the server when the client has all, or has gone away."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


class GuardedSource(ByteSource):
    """The chunks of an item while its window is open, for reading them as text."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._body = Body(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        self._body.close()


def disposition(filename: str, *, as_attachment: bool) -> str:
    """Content-Disposition by RFC 6266; a character that no name needs, such as a line break, is left out."""
    clean = "".join(char for char in filename if char.isprintable()) or "content"
    return content_disposition_header(as_attachment, clean) or "attachment"


def in_steps(chunks: Generator[bytes], tenant: Tenant, *, actor: Actor, readers: frozenset[Role]) -> Iterator[bytes]:
    """The chunks, each made as the request itself was answered: after the view has returned all that is undone.

    The database shows this connection nothing of other tenants, and only while a chunk is made: what is set longer
    would be met by whatever else uses the thread. Times are in UTC, as in the entries.

    A download lasts, and a role can be taken away meanwhile. Whoever is none of `readers` any more is refused within
    a second, in the middle of it. A server that knows no length ends a broken answer as it ends a whole one, so what
    stopped early ends with half a line, which no format takes for its end.
    """
    language, checked = translation.get_language(), clock.monotonic()
    try:
        while True:
            with only_tenants([tenant.pk]), timezone.override(dt.UTC), translation.override(language):
                if clock.monotonic() - checked >= REREAD_SECONDS:
                    policy.require_role(reread(actor), readers, tenant_id=tenant.pk)
                    checked = clock.monotonic()
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk
    except Exception:
        with translation.override(language):
            words = _("This file is not complete: its reader may not take it any more, or it could not be read.")
        yield f'"{words}'.encode()
        raise
    finally:
        # Whoever reads may have gone: what tells the page so must not wait for the memory to be cleared.
        chunks.close()


def in_batches(lines: Iterator[str], *, size: int = 500) -> Generator[bytes]:
    """Some hundred lines to a chunk: what is set for a chunk costs two words with the database."""
    while batch := "".join(islice(lines, size)):
        yield batch.encode()
