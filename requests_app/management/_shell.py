"""Makes command lines that work in a shell in which nothing was set up."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from django.conf import settings


def line(command: str) -> str:
    """Return the line that runs a command of manage.py here, with this Python and this data directory."""
    base = Path(settings.BASE_DIR)
    python = Path(sys.executable)
    words = [str(python.relative_to(base) if python.is_relative_to(base) else python), "manage.py", *command.split()]
    # What .env says is read again; what only this shell knows is not.
    data = [f"DATA_DIR={shlex.quote(os.environ['DATA_DIR'])}"] if os.environ.get("DATA_DIR") else []
    return " ".join([*data, *map(shlex.quote, words)])
