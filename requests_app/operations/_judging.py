"""Judges an act before the transaction that makes it, which judges it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from django.db import DatabaseError, InterfaceError

from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Act
from requests_app.domain.errors import DomainError
from requests_app.operations._change import Step, record_refusal
from requests_app.platform import outcome, telemetry
from requests_app.platform.database import bounds


@contextmanager
def judging(declared: Act, *, actor: Actor) -> Iterator[Step]:
    """Judge an act that another transaction makes later, and judges again under its locks.

    The block only reads, without a transaction, so it locks nothing and waits for no lock. A refusal is recorded as
    always. Each statement has the time limit of an act.
    """
    current = Step(actor=actor, act=declared)
    now = bounds.current()
    with telemetry.watched(telemetry.ACT, declared.name):
        try:
            with bounds.within(replace(now, read=now.act)):
                yield current
        except DomainError as refusal:
            record_refusal(current, refusal)
            raise
        except (DatabaseError, InterfaceError) as error:
            about = current.subject_type, current.subject_id
            raise outcome.failed(error, *about, has_begun=False) from error
