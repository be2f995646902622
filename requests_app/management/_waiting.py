"""Waits for the database and its migrations, where containers start in any order."""

from __future__ import annotations

import sys
import threading

from django.db import DatabaseError, InterfaceError, connection
from django.utils.translation import gettext as _

from requests_app.platform.database import bounds, migrated
from requests_app.work import probe_file

PAUSE_SECONDS = 2.0


def for_database() -> None:
    """Return when the database answers and is up to date. Until then, print each new reason once.

    The container is alive meanwhile, but not ready.
    """
    printed, pause = "", threading.Event()
    while why := _why_not():
        if why != printed:
            sys.stderr.write(f"{why}\n")
            sys.stderr.flush()
        printed = why
        probe_file.write([why])
        pause.wait(PAUSE_SECONDS)
    if printed:
        sys.stderr.write(_("The database is there and up to date.") + "\n")


def _why_not() -> str:
    try:
        # A failed connection must not be used again, and the parts that start next must not share this one.
        connection.close()
        with bounds.within(bounds.probe()):
            missing = migrated.missing()
    except (DatabaseError, InterfaceError) as failure:
        why = " ".join(str(failure).split())
        return _("Waiting for the database: %(why)s") % {"why": why}
    finally:
        connection.close()
    if missing:
        return _("Waiting for the command migrate. Missing migrations: %(count)d") % {"count": missing}
    return ""
