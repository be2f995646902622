"""Makes the server's text safe for a terminal, and writes times for people."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

#: Unicode categories of characters that could move the cursor, change other text on the screen, or show text in another
#: order: controls, formats (such as direction marks), lone surrogates, private use, unassigned, and line separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe(value: object, *, lines: bool = False) -> str:
    """Return the text with each invisible or harmful character written as its code, such as `\\x1b`.

    With `lines`, line breaks stay as they are.
    """
    text = str(value).replace("\r\n", "\n") if lines else str(value)
    keeps = "\n" if lines else ""
    return "".join(each if _is_shown(each) or each in keeps else _written_out(each) for each in text)


def as_json(data: Any, *, indent: int | None = 2) -> str:
    """Return JSON in which the letters of every script are readable, and harmful characters are escaped."""
    plain = json.dumps(data, ensure_ascii=False, indent=indent)
    return "".join(each if _is_shown(each) or each == "\n" else json.dumps(each)[1:-1] for each in plain)


def _is_shown(letter: str) -> bool:
    return unicodedata.category(letter) not in _UNSAFE


def _written_out(letter: str) -> str:
    if letter in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[letter]
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def instant(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value).astimezone(UTC) if value else None


def at(value: str | None, *, now: datetime | None = None) -> str:
    """Return a time as `2026-11-25 14:05 UTC`. With `now`, add how long ago or how far ahead it is."""
    found = instant(value)
    if found is None:
        return "–"
    shown = f"{found:%Y-%m-%d %H:%M} UTC"
    return shown if now is None else f"{shown} ({_away(found, now)})"


def length(seconds: float) -> str:
    """Return a length of time as `2 h`, `1 h 30 min` or `45 min`."""
    minutes = int(seconds) // 60
    if minutes >= 48 * 60:
        return f"{minutes // 1440} days"
    hours, rest = divmod(minutes, 60)
    return " ".join(
        part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest or not hours else "") if part
    )


def _away(then: datetime, now: datetime) -> str:
    seconds = (then - now).total_seconds()
    if -60 < seconds <= 0:
        return "just now"
    return f"in {length(seconds)}" if seconds >= 0 else f"{length(-seconds)} ago"


def practice(row: dict[str, Any]) -> str:
    """Return what a row about practice says before everything else, or "" for a real row."""
    return "the content is made up, and nobody's real content is opened" if row.get("is_practice") else ""
