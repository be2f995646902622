"""Records what a page refuses before it calls an operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.errors import CodeAlreadyUsed, DomainError
from requests_app.models import AccessRequest


@contextmanager
def noted(row: AccessRequest, action: str, actor: Actor) -> Iterator[None]:
    """Record a refusal and pass it on. For code of the page itself, outside of operations."""
    try:
        yield
    except CodeAlreadyUsed:
        # A mistake: the next code will do, and nothing was refused.
        raise
    except DomainError as refusal:
        operations.note_refusal(row.pk, action=action, refusal=refusal, actor=actor)
        raise
