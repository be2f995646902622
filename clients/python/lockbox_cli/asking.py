"""Asks questions to the person at the terminal.

Secrets are asked for, and never given as arguments of a command, where other users can read them.
"""

from __future__ import annotations

import getpass
import sys

from lockbox_cli.errors import NotConfirmed, Usage
from lockbox_cli.text import safe


def is_possible() -> bool:
    return sys.stdin.isatty()


def confirm(question: str) -> None:
    """Ask a question. Raise an error unless the person answers "y" or "yes". The Enter key alone means no."""
    if not is_possible():
        raise Usage("The question can't be asked, because there is no terminal. Confirm with --yes.")
    print(f"{safe(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotConfirmed("Nothing was done.")


def line(question: str) -> str:
    """Ask for one line, which is visible while it is typed. Without a terminal, read a line from standard input."""
    if is_possible():
        print(f"{question}: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def secret(question: str) -> str:
    """Ask for one line, which is not shown while it is typed. Without a terminal, read a line from standard input."""
    if is_possible():
        return getpass.getpass(f"{question}: ").strip()
    return sys.stdin.readline().strip()


def password(question: str) -> str:
    """Ask for a password, only at a terminal: it proves that a person is there, so no script can give it."""
    return getpass.getpass(f"{question}: ")
