#!/usr/bin/env python
"""Django's command line, with this project's settings."""

import os
import sys

PROGRAM = "manage.py"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError:
        sys.exit(f"{PROGRAM}: This Python has no Django. Run bin/run once, and then .venv/bin/python manage.py")
    from django.db import DatabaseError

    from lockbox_site import starting
    from requests_app.domain.errors import DomainError
    from requests_app.management import _ending

    starting.collect_rarely()
    with starting.settings_or_exit(PROGRAM):
        try:
            execute_from_command_line(sys.argv)
        except (DatabaseError, DomainError) as failure:
            if unknown := _ending.unknown_in(failure):
                sys.stderr.write(f"{PROGRAM}: {unknown}\n")
                sys.exit(_ending.NOT_KNOWN)
            if isinstance(failure, DomainError):
                raise
            why = "" if "--traceback" in sys.argv else starting.why_database_failed(failure)
            if not why:
                raise
            raise starting.CannotStart(PROGRAM, why) from None


if __name__ == "__main__":
    main()
