"""Highlights text for a person at a terminal."""

from __future__ import annotations

import os
import sys


def has_colours() -> bool:
    """Return whether the output is shown in colours. A child of the supervisor learns it from FORCE_COLOR."""
    return "NO_COLOR" not in os.environ and ("FORCE_COLOR" in os.environ or sys.stdout.isatty())


def highlighted(text: str) -> str:
    """Return the text in bold and cyan, or unchanged if the output has no colours."""
    return f"\033[1;36m{text}\033[0m" if has_colours() else text
