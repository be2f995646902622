"""How long the web server waits for one statement, on PostgreSQL: a costly search must not starve decisions.

Clusters, beat and commands have no such bound: what they read is as long as the log, and nobody waits for them. SQLite
knows none; its web server is for one machine and few people.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

#: Who waits for a lock holds locks of its own.
LOCK_SECONDS = 10
_BOUND = "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)"


def bound() -> None:
    """Bound every statement of this process from now on. What takes longer is a 503, with nothing done."""
    connection_created.connect(_tell, dispatch_uid="statements")
    connections.close_all()


def _tell(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_BOUND, [f"{settings.STATEMENT_SECONDS}s", f"{LOCK_SECONDS}s"])
