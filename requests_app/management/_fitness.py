"""Refuses to run a command on a database that does not fit the code or the settings."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, connection
from django.utils.translation import gettext as _

from audit_app import log_name, restored_database
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError
from requests_app.platform import program, statics
from requests_app.platform.database import migrated, versions


def require_migrated() -> None:
    if migrated.missing():
        words = _("The database is not up to date. Run: %(command)s")
        raise CommandError(words % {"command": program.command("migrate")})


def version_of_database() -> list[str]:
    """Return a line for the operator if PostgreSQL is newer than all tested versions. Too old a server is refused."""
    if connection.vendor != "postgresql":
        return []
    why = versions.why_too_new(versions.of(connection))
    return [why] if why else []


def require_log_name() -> None:
    """Raise CommandError if LOG_ORIGIN differs from the name under which the logs were signed."""
    try:
        why = log_name.contradiction()
    except DatabaseError:
        # A process can start before its database does. The signer also refuses to sign under another name later.
        return
    if why:
        raise CommandError(f"{why}.")


def compare_heads() -> list[str]:
    """Compare the logs with their signed heads. Return a line for the operator if some logs are older than their heads.

    The command starts anyway: each of these logs has an alarm, and the signer refuses to sign it. If the database was
    set back, all windows are closed.
    """
    try:
        restored_database.compare_once(clock.now())
        operations.note_set_back(actor=Actor.system("set-back"))
        count = restored_database.alarms()
    except (DatabaseError, InterfaceError, DomainError):
        # A process can start before its database does. The signer compares each log before it signs.
        restored_database.compare_when_connected(clock.now)
        return []
    if not count:
        return []
    line = _(
        "The database is an older copy: %(count)d logs do not match their signed checkpoints. See “After a restore” in "
        "docs/operators.md."
    )
    return [line % {"count": count}]


def require_static_files() -> None:
    """Raise CommandError if the static files were not collected, because no page works without them."""
    if why := statics.why_not_collected():
        raise CommandError(why)
