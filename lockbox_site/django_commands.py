"""Runs one command of Django's command line, and ends with one line if it fails for a reason that is known."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line
from django.db import DatabaseError

from lockbox_site import starting


def run(program: str, words: list[str]) -> None:
    """Run the command `words[0]` with its arguments. `program` is the name of the program that was called."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    from requests_app.domain.errors import DomainError
    from requests_app.management import _ending

    starting.collect_rarely()
    with starting.settings_or_exit(program):
        try:
            execute_from_command_line([program, *words])
        except (DatabaseError, DomainError) as failure:
            if unknown := _ending.unknown_in(failure):
                sys.stderr.write(f"{program}: {unknown}\n")
                sys.exit(_ending.NOT_KNOWN)
            if isinstance(failure, DomainError):
                raise
            why = "" if "--traceback" in words else starting.why_database_failed(failure)
            if not why:
                raise
            raise starting.CannotStart(program, why) from None
