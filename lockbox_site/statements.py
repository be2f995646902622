"""Say how long this process waits for the database (ADR 49 and 69); commands say nothing, and wait as they must."""

from __future__ import annotations

from django.conf import settings
from django.db import connections

from requests_app.platform.database import bounds


def bound() -> None:
    """Bound every statement of this web process from now on. What takes longer is a 503, with nothing done."""
    bounds.of_process(bounds.web(statement_seconds=settings.STATEMENT_SECONDS, threads=settings.WEB_THREADS))
    # What is open was not told.
    connections.close_all()
