"""A select that stays fast with hundreds of options."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class OpenChoice(forms.ChoiceField):
    """A choice that offers only some of the rows. The operation checks the row that was chosen."""

    def valid_value(self, value: Any) -> bool:
        return True


class LongSelect(forms.Select):
    """A select with hundreds of options. Django would render a template for each of them."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        chosen, found = self.format_value(value), SafeString("")
        for key, label in self.choices:
            if isinstance(label, list | tuple):
                found += format_html('<optgroup label="{}">{}</optgroup>', key, _options(label, chosen))
            else:
                found += _options([(key, label)], chosen)
        return format_html(
            "<select{}>{}</select>", flatatt(self.build_attrs(self.attrs, {"name": name, **(attrs or {})})), found
        )


def _options(choices: Iterable[tuple[Any, Any]], chosen: list[str]) -> SafeString:
    texts = tuple((str(key), str(label)) for key, label in choices)
    return _rendered(texts, tuple(key for key, _label in texts if key in chosen))


@lru_cache(maxsize=256)
def _rendered(choices: tuple[tuple[str, str], ...], chosen: tuple[str, ...]) -> SafeString:
    marks = (SafeString(""), SafeString(" selected"))
    return format_html_join(
        "", '<option value="{}"{}>{}</option>', ((key, marks[key in chosen], label) for key, label in choices)
    )
