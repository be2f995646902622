#!/usr/bin/env python
"""Django's command line, with this project's settings."""

import sys

PROGRAM = "manage.py"


def main() -> None:
    try:
        from lockbox_site import django_commands
    except ModuleNotFoundError:
        sys.exit(f"{PROGRAM}: This Python has no Django. Run bin/run once, and then .venv/bin/python manage.py")
    django_commands.run(PROGRAM, sys.argv[1:])


if __name__ == "__main__":
    main()
