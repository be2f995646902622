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
    """Record each refusal that the block raises, and raise it again.

    Use this for checks by a page. Operations record their own refusals.
    """
    try:
        yield
    except CodeAlreadyUsed:
        # Using a code twice is a mistake, not a refusal: the next code works.
        raise
    except DomainError as refusal:
        operations.note_refusal(row.pk, action=action, refusal=refusal, actor=actor)
        raise
