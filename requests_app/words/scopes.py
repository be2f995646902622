"""How scopes are shown: in words, and where somebody chooses, by the name that a program gives them, too."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.html import format_html

from requests_app.domain.scopes import LABELS, Scope, known


def labels(names: Iterable[str]) -> list[Promise]:
    """In the order of the table; a name that is stored and no longer known gives nothing, and is not shown."""
    held = known(names)
    return [words for scope, words in LABELS.items() if scope in held]


def choices(scopes: Iterable[Scope]) -> list[tuple[str, str]]:
    """For check boxes."""
    offered = frozenset(scopes)
    shown = '<span>{} <code class="mono hint">{}</code></span>'
    return [(str(scope), format_html(shown, words, scope)) for scope, words in LABELS.items() if scope in offered]
