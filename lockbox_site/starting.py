"""Starts processes quickly. If a process can't start, it prints one line for each reason and ends with status 1."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured

#: The thresholds of Python's garbage collector. With its usual ones, it runs 140 times while the modules are loaded.
BETWEEN_COLLECTIONS = (50_000, 20, 50)
#: From how many arenas the threads of a process take memory. The GNU library would make 8 for each core.
ARENAS = 2
#: The number of this option of mallopt(3). An operator can choose how many with MALLOC_ARENA_MAX, or with this part of
#: GLIBC_TUNABLES.
_M_ARENA_MAX = -8
_TUNABLE = "glibc.malloc.arena_max="


def manage_memory() -> None:
    """Choose how this process and its forks use memory. Call this before modules are loaded and threads start."""
    collect_rarely()
    share_arenas()


def collect_rarely() -> None:
    """Make Python collect garbage less often.

    A process loads some hundred thousand objects that stay until its end. To visit them again and again would take a
    third of the processor time of a short command.
    """
    gc.set_threshold(*BETWEEN_COLLECTIONS)
    # Otherwise Python would visit all of them once more before it ends.
    atexit.register(gc.freeze)


def share_arenas() -> None:
    """Make the threads of this process, and of its forks, take memory from a few arenas.

    Memory that is free in one arena is not used by another one. So if each thread has its own, each of them grows until
    it has room for the largest page that its thread has made. Call this before the first thread starts.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "").split(":")
    is_chosen = os.environ.get("MALLOC_ARENA_MAX") or any(each.startswith(_TUNABLE) for each in tunables)
    if not is_chosen:
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(_M_ARENA_MAX, ARENAS)


class CannotStart(SystemExit):
    """Ends the process with status 1. The reason was already written to standard error."""

    def __init__(self, program: str, why: str) -> None:
        for line in why.splitlines():
            sys.stderr.write(f"{program}: {line}\n")
        sys.stderr.flush()
        super().__init__(1)


@contextmanager
def settings_or_exit(program: str) -> Iterator[None]:
    """Inside the block, end the process with a short message if a setting is refused."""
    try:
        yield
    except ImproperlyConfigured as refusal:
        raise CannotStart(program, str(refusal)) from None


def why_database_failed(failure: Exception) -> str:
    """Return what an operator can do about a failure of the database, or "" if the program has a bug."""
    from django.db import OperationalError, connection

    from requests_app.platform import program
    from requests_app.platform.database import migrated

    try:
        # The connection may be in a failed transaction.
        connection.close()
        if migrated.missing():
            return f"The database is not up to date. Run: {program.command('migrate')}"
    except OperationalError as error:
        return f"The database can't be used: {' '.join(str(error).split())}"
    return ""


def require_fit() -> None:
    """Raise ImproperlyConfigured if files for the pages are missing, or if the setting for the logs' name is wrong."""
    from requests_app.platform import statics

    if why := statics.why_not_collected():
        raise ImproperlyConfigured(why)
    _require_log_name()
    compare_heads()


def _require_log_name() -> None:
    from django.db import DatabaseError, connection

    from audit_app import log_name

    try:
        why = log_name.contradiction()
    except DatabaseError:
        # The web server also starts without its database. Every page then shows this.
        why = ""
    finally:
        connection.close()
    if why:
        raise ImproperlyConfigured(f"{why}.")


def compare_heads() -> None:
    """Compare the logs with their signed heads, before this process adds anything to a log.

    A difference raises an alarm, and a database that was set back closes all windows. If a web server starts without
    its database, it compares as soon as the database answers, and before any other use of it.
    """
    from audit_app import restored_database
    from requests_app.domain import clock

    if not _has_compared():
        restored_database.compare_when_connected(clock.now)
        threading.Thread(target=_compare_when_possible, name="heads", daemon=True).start()


def _compare_when_possible() -> None:
    pause = threading.Event()
    while not _has_compared():
        pause.wait(1)


def _has_compared() -> bool:
    from django.db import DatabaseError, InterfaceError, connection

    from audit_app import restored_database
    from requests_app import operations
    from requests_app.domain import clock
    from requests_app.domain.actors import Actor
    from requests_app.domain.errors import DomainError

    try:
        restored_database.compare_once(clock.now())
        operations.note_set_back(actor=Actor.system("set-back"))
    except (DatabaseError, InterfaceError, DomainError):
        return False
    finally:
        connection.close()
    return True
