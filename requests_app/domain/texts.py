"""Decides which characters are allowed in what other people read: names, ids, paths and explanations. Pure.

One rule for every door: a form, a call of the API, a directory, and a row of a file.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from requests_app.domain import limits
from requests_app.domain.errors import Unacceptable

#: Unicode's general categories of characters that are invisible or change how others are shown: controls, direction
#: marks, zero-width characters, line separators, and code points without a meaning.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: Joiners inside a word. Persian, Hindi and emoji need them; all other invisible characters are refused.
_JOINERS = "\u200c\u200d"
#: A spreadsheet treats a cell that begins with one of these characters as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

WORDS: dict[str, Promise] = {
    "invisible_character": _(
        "The text contains an invisible character (%(char)s), such as a line break or a change of the writing "
        "direction. Remove it."
    ),
    "formula": _("The text begins with %(sign)s. A spreadsheet would run it as a formula. Remove the character."),
}


def fault_of(text: str, *, is_id: bool = False, has_lines: bool = False) -> tuple[str, dict[str, Any]] | None:
    """Return what is wrong: a code of WORDS and its facts. Return None if nothing is.

    An id or a path contains no invisible character at all, and no unusual space. A text that `has_lines` can have line
    breaks and tabs, and can begin as a list does.
    """
    # Nearly every text ends the search here: it contains nothing that `isprintable` calls invisible.
    for char in "" if text.isprintable() else text:
        is_allowed = (char in _JOINERS and not is_id) or (has_lines and char in "\n\t")
        is_seen = char.isprintable() if is_id else unicodedata.category(char) not in INVISIBLE
        if not (is_seen or is_allowed):
            return "invisible_character", {"char": f"U+{ord(char):04X}"}
    if not has_lines and text.startswith(_FORMULA):
        return "formula", {"sign": f"“{text[0]}”"}
    return None


def is_storable(text: str) -> bool:
    """Return whether a database can keep the text: it contains no NUL byte and no half of a character."""
    return "\0" not in text and not any(0xD800 <= ord(char) <= 0xDFFF for char in text)


def require(text: str, *, field: str, is_id: bool = False, has_lines: bool = False) -> str:
    """Return the text. Raise Unacceptable if one of its characters is not allowed."""
    if found := fault_of(text, is_id=is_id, has_lines=has_lines):
        code, facts = found
        raise Unacceptable(str(WORDS[code]) % facts, field=field)
    return text


def require_name(value: object, *, field: str, at_least: int = 1, at_most: int) -> str:
    """Return the name with one space between its words. Raise Unacceptable if it is not allowed."""
    name = limits.require_text(value, field=field, at_least=at_least, at_most=at_most)
    return require(" ".join(name.split()), field=field)
