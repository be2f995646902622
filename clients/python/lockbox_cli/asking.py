"""Questions to the person at the terminal. No secret comes from the command line, where others can read it."""

from __future__ import annotations

import getpass
import sys

from lockbox_cli.errors import NotConfirmed, Usage
from lockbox_cli.text import safe


def is_possible() -> bool:
    return sys.stdin.isatty()


def confirm(question: str) -> None:
    """Raise unless the answer is yes; just Enter means no."""
    if not is_possible():
        raise Usage("There is no terminal to ask on. Confirm with --yes.")
    print(f"{safe(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotConfirmed("Nothing was done.")


def line(question: str) -> str:
    """Read one line that is shown as it is typed; without a terminal, the next line of standard input."""
    if is_possible():
        print(f"{question}: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def secret(question: str) -> str:
    """Read one line that is not shown; without a terminal, the next line of standard input."""
    if is_possible():
        return getpass.getpass(f"{question}: ").strip()
    return sys.stdin.readline().strip()


def password(question: str) -> str:
    """Read a password, only from the terminal: a proof that a human gives must not be in a script."""
    return getpass.getpass(f"{question}: ")
