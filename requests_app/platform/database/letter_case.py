"""Compares texts with letters beyond ASCII without regard to capital letters, in the same way on both databases.

SQLite's LIKE knows only the capital letters of ASCII, so `łódź` does not find `Łódź`. On PostgreSQL, it depends on the
locale of the database. So a text with other letters becomes a pattern with a set for each letter: `[Łł][Óó][Dd][Źź]`.

The pattern is for GLOB on SQLite, which is slower than LIKE. So LIKE first selects the rows that have the letters of
ASCII in their places: `%__d_%`. On PostgreSQL, it is a regular expression. No index helps such a search, as before.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from django.core.exceptions import EmptyResultSet
from django.db.models import Field
from django.db.models.expressions import Col
from django.db.models.lookups import IContains, IEndsWith, IExact, IStartsWith

#: The last capital letter of Unicode is below this.
_END = 0x1F000


@cache
def _sets() -> dict[str, str]:
    """Return the letters that have the same capital letter, as a set for GLOB, by each of these letters."""
    same: dict[str, list[str]] = {}
    for letter in map(chr, range(_END)):
        capital = letter.upper()
        # PostgreSQL compares letter by letter, so a letter that becomes two, such as ß, is equal only to itself.
        if capital != letter and len(capital) == 1:
            same.setdefault(capital, [capital]).append(letter)
    return {letter: f"[{''.join(group)}]" for group in same.values() for letter in group}


def regex_of(text: str) -> str:
    """Return the regular expression of PostgreSQL that matches this text in capital and small letters."""
    sets = _sets()
    literal = {each: each if each.isalnum() or not each.isascii() else f"\\{each}" for each in text}
    return "".join(sets.get(each, literal[each]) for each in text)


def glob_of(text: str) -> str:
    """Return the pattern for GLOB that matches this text in capital and small letters."""
    sets = _sets()
    return "".join(f"[{each}]" if each in "*?[" else sets.get(each, each) for each in text)


class _AnyCase:
    """A lookup that does for a text in ASCII what Django does, and compares any other text with a pattern.

    `around` has what the patterns have around the text: those of LIKE, GLOB and the regular expression.
    """

    around: ClassVar[tuple[str, str, str]]

    def as_sqlite(self: Any, compiler: Any, connection: Any) -> Any:
        _require_short(self)
        if not _is_beyond_ascii(self):
            return self.as_sql(compiler, connection)
        column, parameters = self.process_lhs(compiler, connection)
        like = connection.ops.prep_for_like_query("".join(each if each.isascii() else "\0" for each in self.rhs))
        like, glob = self.around[0].format(like.replace("\0", "_")), self.around[1].format(glob_of(self.rhs))
        sql = rf"({column} LIKE %s ESCAPE '\' AND {column} GLOB %s)"
        return sql, [*parameters, like, *parameters, glob]

    def as_postgresql(self: Any, compiler: Any, connection: Any) -> Any:
        _require_short(self)
        if not _is_beyond_ascii(self):
            return self.as_sql(compiler, connection)
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column}::text ~ %s", [*parameters, self.around[2].format(regex_of(self.rhs))]


def _is_beyond_ascii(lookup: Any) -> bool:
    return isinstance(lookup.rhs, str) and not lookup.rhs.isascii() and not lookup.bilateral_transforms


def _require_short(lookup: Any) -> None:
    """Raise EmptyResultSet if the text is longer than any value of the column, so that no row can match.

    The databases refuse a pattern that is too long, and such a refusal would look like a failure of the database.
    """
    longest = lookup.lhs.output_field.max_length if isinstance(lookup.lhs, Col) else None
    if longest is not None and isinstance(lookup.rhs, str) and len(lookup.rhs) > longest:
        raise EmptyResultSet


@Field.register_lookup
class _Contains(_AnyCase, IContains):
    around = ("%{}%", "*{}*", "{}")


@Field.register_lookup
class _StartsWith(_AnyCase, IStartsWith):
    around = ("{}%", "{}*", "^{}")


@Field.register_lookup
class _EndsWith(_AnyCase, IEndsWith):
    around = ("%{}", "*{}", "{}$")


@Field.register_lookup
class _Exact(_AnyCase, IExact):
    around = ("{}", "{}", "^{}$")
