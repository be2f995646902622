"""`manage.py backup --to DIRECTORY`: write an encrypted backup, check it by restoring it into a scratch place."""

from __future__ import annotations

import sqlite3
from argparse import ArgumentParser, BooleanOptionalAction
from pathlib import Path
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from audit_app.keys import NoKey
from audit_app.stored_heads import HeadsUnavailable
from lockbox_site.backup import BackupRefused, contents, loading, making, sealing, tables
from lockbox_site.backup.contents import Contents
from lockbox_site.backup.making import Made
from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.work import heartbeats

logger = structlog.get_logger(__name__)

#: The errors of Django, and of the drivers, which a backup uses directly.
_DATABASE = (DatabaseError, sqlite3.Error, psycopg.Error)


class Command(BaseCommand):
    help = (
        "Write a backup: one encrypted file with the database, the keys and the settings. Then check it, by restoring "
        "it into a scratch place and verifying all logs there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", type=Path, metavar="PLACE", help="a directory, or a new file (default: BACKUP_TO)")
        parser.add_argument(
            "--recipient",
            action="append",
            metavar="KEY",
            help="a public key, age1… or of SSH; can be given several times (default: BACKUP_RECIPIENTS)",
        )
        parser.add_argument(
            "--passphrase-file", type=Path, metavar="FILE", help="in place of keys (default: BACKUP_PASSPHRASE_FILE)"
        )
        parser.add_argument(
            "--verify",
            action=BooleanOptionalAction,
            default=True,
            help="restore the new backup into a scratch place, and verify its logs (default: yes)",
        )
        parser.add_argument(
            "--keep", type=int, metavar="N", help="afterwards remove all but the newest N backups (needs --verify)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        to = options["to"] or (Path(settings.BACKUP_TO) if settings.BACKUP_TO else None)
        keep = options["keep"] if options["keep"] is not None or options["to"] else settings.BACKUP_KEEP
        if to is None:
            raise CommandError("Say where to write the backup: --to DIRECTORY.", returncode=2)
        if keep is not None and (keep < 1 or not options["verify"]):
            raise CommandError("--keep needs a number of 1 or more, and a backup that is checked.", returncode=2)
        try:
            made = making.make(to, self._readers(options), at=clock.now())
        except (BackupRefused, HeadsUnavailable, NoKey, OSError, *_DATABASE) as failure:
            raise self._failed(failure) from failure
        self.stdout.write(f"{made.path}  {made.path.stat().st_size:,} bytes")
        if options["verify"]:
            self._verify(made)
            heartbeats.touch(Heartbeat.BACKUP, at=clock.now())
        if keep is not None and made.path.parent == to:
            for path in making.prune(to, keep, but=made.path):
                self.stdout.write(f"Removed: {path.name}")

    def _readers(self, options: dict[str, Any]) -> sealing.Readers:
        recipients, passphrase = options["recipient"], options["passphrase_file"]
        if not (recipients or passphrase):
            recipients = settings.BACKUP_RECIPIENTS
            passphrase = Path(settings.BACKUP_PASSPHRASE_FILE) if settings.BACKUP_PASSPHRASE_FILE else None
        return sealing.readers(recipients or [], passphrase)

    def _verify(self, made: Made) -> None:
        def finish(_found: Contents) -> None:
            """Nothing: the logs are verified before this."""

        try:
            contents.read(made.path, made.opener)
            database = Path(str(settings.DATABASES["default"]["NAME"]))
            found = loading.into_nothing(made.path, made.opener, finish, beside=database)
        except (BackupRefused, OSError, *_DATABASE) as failure:
            bad = making.withdraw(made)
            raise self._failed(failure, f" It is not counted as a backup, and has the name {bad.name}.") from failure
        place = "a scratch file" if tables.vendor() == "sqlite" else "a scratch schema of the database"
        self.stdout.write(
            f"Checked: restored into {place}, which is removed; {found.entries:,} entries of logs verified."
        )

    def _failed(self, failure: Exception, more: str = "") -> CommandError:
        """Store and report that there is no new backup, so that somebody looks."""
        why = " ".join(str(failure).split())
        logger.error("backup_failed", error=why)
        try:
            heartbeats.report_failure(Heartbeat.BACKUP, why)
        except DatabaseError:
            more += " This could not be stored in the database."
        return CommandError(f"{why}{more}", returncode=1)
