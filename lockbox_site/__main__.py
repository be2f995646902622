"""`python -m lockbox_site COMMAND ...`: runs one command of Django, as manage.py does in the source tree."""

import sys

from lockbox_site import django_commands

if __name__ == "__main__":
    django_commands.run("customer-lockbox", sys.argv[1:])
