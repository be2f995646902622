"""The name of the program that was called, for messages that name a command."""

from __future__ import annotations

import os

#: `customer-lockbox` sets this variable for itself and for the processes that it starts.
VARIABLE = "LOCKBOX_PROGRAM"


def command(words: str) -> str:
    """Return a command line that runs these words with the program that was called."""
    return f"{os.environ.get(VARIABLE) or 'manage.py'} {words}"
