"""Compares ids, short names and locators without their letter case and Unicode form. Pure.

People, file systems and applications take "Finance" and "finance" for the same thing, and so must the product.
"""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath


def folded(text: str) -> str:
    """Return the form in which two texts are compared: the canonical caseless match of the Unicode standard (D145)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def is_composed(text: str) -> bool:
    """Return whether the text is in the Unicode form NFC, so that it is also equal to others byte by byte."""
    return unicodedata.is_normalized("NFC", text)


def is_plain_path(locator: str) -> bool:
    """Return whether this is the only way to write this path."""
    return str(PurePosixPath(locator)) == locator and "\\" not in locator and is_composed(locator)


def overlap(one: str, other: str) -> bool:
    """Return whether two paths are the same, or one of them is above the other."""
    first, second = folded(one), folded(other)
    return first == second or first.startswith(f"{second}/") or second.startswith(f"{first}/")
