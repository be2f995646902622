"""Makes command lines that also work in a shell without this project's environment."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from django.conf import settings

from requests_app.platform import program


def line(command: str) -> str:
    """Return a command line that uses this Python and this data directory. It is for manage.py, if that is here."""
    if not (settings.BASE_DIR / "manage.py").is_file():
        return program.command(command)
    base = Path(settings.BASE_DIR)
    python = Path(sys.executable)
    words = [str(python.relative_to(base) if python.is_relative_to(base) else python), "manage.py", *command.split()]
    # The command reads .env again. Only a variable of this shell must be repeated in the line.
    data = [f"DATA_DIR={shlex.quote(os.environ['DATA_DIR'])}"] if os.environ.get("DATA_DIR") else []
    return " ".join([*data, *map(shlex.quote, words)])
