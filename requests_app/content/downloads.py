"""Files on their way out, made piece by piece while they are read: by whoever may still have them, and nobody else."""

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
    """Content-Disposition by RFC 6266; a character that no name needs, such as a line break, is left out."""
    clean = "".join(char for char in filename if char.isprintable()) or "content"
    return content_disposition_header(as_attachment, clean) or "attachment"


def in_steps(chunks: Generator[bytes], tenant_id: UUID, *, actor: Actor) -> Iterator[bytes]:
    """The chunks, each made as the request itself was answered: after the view has returned all that is undone.

    The database shows this connection nothing of other tenants, and only while a chunk is made: what is set longer
    would be met by whatever else uses the thread. Times are in UTC, as in the entries.

    A download lasts, and a role can be taken away meanwhile, or a token. Whoever may not read the log any more is
    refused within a second, in the middle of it. A server that knows no length ends a broken answer as it ends a whole
    one, so what stopped early ends with half a line, which no format takes for its end.
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
        # Whoever reads may have gone: what tells the page so must not wait for the memory to be cleared.
        chunks.close()


def require_reader(actor: Actor, tenant_id: UUID) -> None:
    """Raise NotAllowed, or one of its kinds, unless the actor reads this tenant's whole log."""
    policy.require_scope(actor, Scope.LOG_READ)
    policy.require_role(actor, policy.LOG_READERS | {Role.STAFF}, tenant_id=tenant_id)


def in_batches(lines: Iterator[str], *, size: int = 500) -> Generator[bytes]:
    """Some hundred lines to a chunk: what is set for a chunk costs two words with the database."""
    while batch := "".join(islice(lines, size)):
        yield batch.encode()
