"""Runs one command of Django's command line, and ends with one line if it fails for a reason that is known."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from pathlib import Path

from django.core.management import execute_from_command_line
from django.db import DatabaseError

from lockbox_site import places, starting

#: Commands that make a database, or need none.
NEED_NO_DATABASE = {
    *("migrate", "help", "--help", "-h", "version", "--version", "check", "collectstatic", "openapi"),
    *("lifecycle_docs", "makemigrations", "makemessages", "compilemessages"),
}
#: The errors of an account that may not read or write a file, or that writes where nobody can.
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def run(program: str, words: list[str]) -> None:
    """Run the command `words[0]` with its arguments. `program` is the name of the program that was called."""
    if words and words[0] == "restore":
        # The settings are in the backup, so it must be read before them.
        from lockbox_site.backup import restoring

        sys.exit(restoring.run(words[1:], data=_data_directory(), program=program))
    if why := why_no_database(program, words):
        raise starting.CannotStart(program, why)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    from requests_app.domain.errors import DomainError
    from requests_app.management import _ending
    from requests_app.platform import forks, frames

    starting.manage_memory()
    forks.allow()
    if words[:1] == ["doctor"]:
        _examine_broken_settings(words)
    with starting.settings_or_exit(program):
        try:
            frames.in_one_chunk(execute_from_command_line, [program, *words])
        except (DatabaseError, DomainError) as failure:
            if unknown := _ending.unknown_in(failure):
                sys.stderr.write(f"{program}: {unknown}\n")
                sys.exit(_ending.NOT_KNOWN)
            if isinstance(failure, DatabaseError) and "--traceback" not in words:
                _end_with(program, starting.why_database_failed(failure))
            raise
        except OSError as failure:
            if "--traceback" not in words:
                _end_with(program, _why_not_allowed(failure))
            raise


def _end_with(program: str, why: str) -> None:
    """End the program with this reason. Do nothing if there is no reason."""
    if why:
        raise starting.CannotStart(program, why) from None


def _why_not_allowed(failure: OSError) -> str:
    if failure.errno not in NOT_ALLOWED or not failure.filename:
        return ""
    advice = "Run the command as the account of the installation, or change the permissions."
    return f"This account can't use {failure.filename} ({failure.strerror}). {advice}"


def _examine_broken_settings(words: list[str]) -> None:
    """If the settings are refused, print what `doctor` can find without them, and end the process."""
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from lockbox_site.doctor import running

    try:
        _ = settings.DATA_DIR
    except ImproperlyConfigured as refusal:
        found = running.broken_settings(str(refusal), _data_directory())
        sys.exit(running.report(found, sys.stdout, as_json="--json" in words))


def _data_directory() -> Path:
    return places.HOME / (os.environ.get("DATA_DIR") or places.DATA_DIR)


def why_no_database(program: str, words: list[str]) -> str:
    """Return what to do if there is only the database of a trial (`bin/run --empty`), and the command is not for it.

    SQLite would make a second database, in which there is nothing. This reads no settings, which would make files too.
    """
    data = _data_directory()
    trial = data / "empty"
    is_chosen = any((data / name).exists() for name in (".env", "lockbox.sqlite3")) or any(
        os.environ.get(name) for name in ("DATABASE_URL", "DATABASE_URL_FILE")
    )
    if is_chosen or not (trial / "lockbox.sqlite3").exists() or not words or words[0] in NEED_NO_DATABASE:
        return ""
    return (
        f"There is no database in {data}, but there is a trial in {trial}. If you mean the trial, write "
        f"DATA_DIR={shlex.quote(str(trial))} before the command. To make a database in {data}, run: {program} migrate"
    )
