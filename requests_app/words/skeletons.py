"""Renders a template once, and then only fills in the values, for parts that a page or all pages repeat.

Rendering a row of the log's table fifty times took four fifths of the page's time. Nearly all of it was for words that
are the same in every row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from typing import Any, cast

from django.template.loader import get_template
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

#: The beginning and the end of a slot. A template never contains these characters.
_SLOT = re.compile("\x02(\\w+)\x03")


class Skeleton:
    """A rendered template with slots, in one language.

    The template writes a slot as `{{ slot.name }}`. It can also test the flags, which are the same wherever this
    skeleton is used.
    """

    def __init__(self, template: str, slots: tuple[str, ...], flags: frozenset[str]) -> None:
        marks = {name: mark_safe(f"\x02{name}\x03") for name in slots}  # noqa: S308 - fill() escapes the values
        html = get_template(template).render({"slot": marks, **dict.fromkeys(flags, True)}).strip()
        self._parts = _SLOT.split(html)
        self._names = self._parts[1::2]

    def fill(self, values: Mapping[str, Any]) -> SafeString:
        """Return the HTML with a value in each slot. A value is escaped, unless it is marked as safe."""
        parts = list(self._parts)
        parts[1::2] = [
            value if type(value) is SafeString else _escaped(value) for value in map(values.__getitem__, self._names)
        ]
        # mark_safe() would look for lazy texts first. Both parts are safe: the template's HTML, and escaped values.
        return SafeString("".join(parts))


def _escaped(value: object) -> str:
    kind = type(value)
    if kind is int:
        return str(value)
    # This is what conditional_escape() does with a text, after it has looked for other kinds.
    return escape(cast(str, value)) if kind is str else conditional_escape(cast(Any, value))


def skeleton(
    template: str, slots: tuple[str, ...], flags: frozenset[str] = frozenset(), place: tuple[Any, ...] = ()
) -> Skeleton:
    return _skeleton(template, slots, flags, place, get_language())


@lru_cache(maxsize=512)
def _skeleton(
    template: str, slots: tuple[str, ...], flags: frozenset[str], _place: tuple[Any, ...], _language: str | None
) -> Skeleton:
    return Skeleton(template, slots, flags)


def filled(template: str, values: Mapping[str, Any], *, place: tuple[Any, ...] = (), **flags: object) -> SafeString:
    """Return the template's HTML with these values. The flags that are true belong to the skeleton.

    If the template itself has addresses, `place` is what they depend on (`addresses.places`).
    """
    names = frozenset([name for name, flag in flags.items() if flag])
    return skeleton(template, tuple(values), names, place).fill(values)
