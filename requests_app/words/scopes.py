"""Labels for scopes. Where people choose scopes, the technical names are shown too."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.html import format_html

from requests_app.domain.scopes import LABELS, Scope, known


def labels(names: Iterable[str]) -> list[Promise]:
    """Return the labels in the order of LABELS. Leave out unknown names: they grant nothing."""
    scopes = known(names)
    return [words for scope, words in LABELS.items() if scope in scopes]


def choices(scopes: Iterable[Scope]) -> list[tuple[str, str]]:
    """Return the scopes as choices for check boxes."""
    offered = frozenset(scopes)
    shown = '<span>{} <code class="mono hint">{}</code></span>'
    return [(str(scope), format_html(shown, words, scope)) for scope, words in LABELS.items() if scope in offered]
