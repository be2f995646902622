"""Commands of the operator that pages and other commands name, in the form that works on this machine."""

from __future__ import annotations

import shlex

from django.conf import settings


def command(words: str) -> str:
    """Return a command line that reaches this installation from any directory, for the operator to copy.

    The program is often not on the PATH. And without the data directory, it would look for another installation.
    """
    program = settings.PROGRAM
    name = shlex.quote(str(program)) if program.is_file() else program.name
    return f"{name} {words} --data-dir {shlex.quote(str(settings.DATA_DIR))}"
