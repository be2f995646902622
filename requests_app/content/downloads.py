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

#: How long a download may run on the roles that its reader last had, in seconds.
REREAD_SECONDS = 1.0


def disposition(filename: str, *, as_attachment: bool) -> str:
    """Return Content-Disposition (RFC 6266) without characters that no name needs, such as line breaks."""
    clean = "".join(char for char in filename if char.isprintable()) or "content"
    return content_disposition_header(as_attachment, clean) or "attachment"


def in_steps(chunks: Generator[bytes], tenant_id: UUID, *, actor: Actor) -> Iterator[bytes]:
    """Yield the chunks, each made under the request's settings, which end when the view returns.

    The connection is limited to this tenant only while a chunk is made: a longer limit would apply to other users of
    the thread. Times are in UTC, as in the entries.

    A download takes time, and a role or a token can be revoked meanwhile. A reader who may not read the log any more is
    refused within a second, in the middle of it. A server that knows no length ends a broken answer like a complete
    one, so a stopped download ends in the middle of a line, which no format accepts as its end.
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
            raise  # it is answered as a failure, and no file comes
        with translation.override(language):
            words = _(
                "This file is not complete: its reader is no longer allowed to download it, or it could not be read."
            )
        yield f'"{words}'.encode()
        raise
    finally:
        # The reader may have gone: the page must learn this before the memory is cleared.
        chunks.close()


def require_reader(actor: Actor, tenant_id: UUID) -> None:
    """Raise NotAllowed, or a kind of it, unless the actor reads this tenant's whole log."""
    policy.require_scope(actor, Scope.LOG_READ)
    policy.require_role(actor, policy.LOG_READERS | {Role.STAFF}, tenant_id=tenant_id)


def in_batches(lines: Iterator[str], *, size: int = 500) -> Generator[bytes]:
    """Join some hundred lines to a chunk, because the settings of a chunk cost two round trips to the database."""
    while batch := "".join(islice(lines, size)):
        yield batch.encode()
