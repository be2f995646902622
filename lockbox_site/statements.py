"""Limits how long a web process waits for the database (ADR 49 and 69). Commands set no limit."""

from __future__ import annotations

from django.conf import settings
from django.db import connections

from requests_app.platform.database import bounds


def bound() -> None:
    """Limit the time of every SQL statement in this web process from now on.

    If a statement takes longer, the answer is 503, and nothing is changed.
    """
    bounds.of_process(bounds.web(statement_seconds=settings.STATEMENT_SECONDS, threads=settings.WEB_THREADS))
    # Open connections do not have the limit yet.
    connections.close_all()
