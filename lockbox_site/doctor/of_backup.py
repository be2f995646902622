"""Checks of what remains if this machine is lost: the last backup, and the copy of the heads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.conf import settings

from audit_app.models import SignedHead
from lockbox_site import readiness
from lockbox_site.doctor.findings import Found, ok, problem, warning
from lockbox_site.doctor.of_database import bounded
from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.platform import program

#: The heads are copied each minute. A copy that is older than this is reported.
OLD_COPY = dt.timedelta(minutes=15)


@bounded
def backups() -> Iterator[Found]:
    """Look at the last backup, and at the last copy of the heads to another place."""
    rows = dict(Heartbeat.objects.filter(name__in=(Heartbeat.BACKUP, Heartbeat.HEADS)).values_list("name", "at"))
    made, copied = rows.get(Heartbeat.BACKUP), rows.get(Heartbeat.HEADS)
    check = readiness.states(("backup",))["backup"]
    if not check["ok"]:
        why = check.get("detail") or "The last good backup is too old."
        yield problem(why, f"Run: {program.command('backup')}. If it works, look at its timer: docs/backup.md.")
    elif made is None:
        yield warning("This installation knows of no backup.", "Make one each night: docs/backup.md.")
    else:
        yield ok(f"The last good backup was made at {made:%Y-%m-%d %H:%M} UTC.")
    # A shared place is already another one than the disk of this machine.
    if not settings.LOG_HEADS and SignedHead.objects.exists() and (copied is None or clock.now() - copied > OLD_COPY):
        when = f"since {copied:%Y-%m-%d %H:%M} UTC" if copied else "yet"
        yield warning(
            f"The heads were not copied to another place {when}.",
            "If this disk is lost together with the database, nothing shows which entries are missing. Start "
            "lockbox-heads.timer on the machine that signs: docs/backup.md.",
        )
