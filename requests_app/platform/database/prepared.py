"""Marks the fixed texts of statements, which PostgreSQL plans once for each connection (ADR 123)."""

from __future__ import annotations

from functools import cache


class Prepared(str):
    """The text of a statement that PostgreSQL prepares at its first use on each connection.

    Without it, PostgreSQL plans the statement again at each call, which often takes longer than to run it. Use it for
    texts that never change and that run all the time. Do not use it for a statement that finds the first few of many
    rows (LIMIT): the plan is made for values that are usual, and PostgreSQL underestimates how long it may look for
    rare ones. On SQLite, it is a text like any other.
    """

    __slots__ = ()


@cache
def prepared(text: str) -> Prepared:
    """Return the text as a Prepared. The text must be one of a few, because all of them stay in memory."""
    return Prepared(text)
