"""Streams downloads and re-checks the reader's permission every second."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterator
from itertools import islice
from uuid import UUID

from django.utils import timezone, translation
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _

from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.scopes import Scope
from requests_app.models.people import reread
from requests_app.models.row_security import only_tenants

#: How many seconds can pass in a download before the reader's roles are read again.
REREAD_SECONDS = 1.0


def disposition(filename: str, *, as_attachment: bool) -> str:
    """Return a Content-Disposition header for a file name (RFC 6266).

    Characters that are not printable, such as line breaks, are removed from the name.
    """
    clean = "".join(char for char in filename if char.isprintable()) or "content"
    return content_disposition_header(as_attachment, clean) or "attachment"


def in_steps(chunks: Generator[bytes], tenant_id: UUID, *, actor: Actor) -> Iterator[bytes]:
    """Yield the chunks of a download. Stop within a second if the reader may no longer read this tenant's log.

    Each chunk is made in UTC and in the language of the HTTP request, because Django resets the language when
    the view returns. Between two chunks, the thread can work for other requests. So the database connection is
    limited to this tenant only while a chunk is made.

    If the answer has no length, a client can't distinguish a cut answer from a complete one. So a stopped
    download ends in the middle of a line, which no format accepts as its end.
    """
    language, checked, has_begun = translation.get_language(), clock.monotonic(), False
    try:
        while True:
            with only_tenants([tenant_id]), timezone.override(dt.UTC), translation.override(language):
                if clock.monotonic() - checked >= REREAD_SECONDS:
                    require_reader(reread(actor), tenant_id)
                    checked = clock.monotonic()
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk
            has_begun = True
    except Exception:
        if not has_begun:
            raise  # the answer is then an error, not a file
        with translation.override(language):
            words = _(
                "This file is not complete: the reader lost the permission to download it, or the content could not "
                "be read."
            )
        yield f'"{words}'.encode()
        raise
    finally:
        # If the reader disconnects, the generator must end now, not only when its memory is cleared.
        chunks.close()


def require_reader(actor: Actor, tenant_id: UUID) -> None:
    """Raise NotAllowed, or a subclass of it, unless the actor is allowed to read this tenant's whole log."""
    policy.require_scope(actor, Scope.LOG_READ)
    policy.require_role(actor, policy.LOG_READERS | {Role.STAFF}, tenant_id=tenant_id)


def in_batches(lines: Iterator[str], *, size: int = 500) -> Generator[bytes]:
    """Join up to `size` lines into a chunk, because `in_steps` needs two round trips to the database for each chunk."""
    while batch := "".join(islice(lines, size)):
        yield batch.encode()
