"""Scopes in words, and with their technical names where somebody chooses them."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.html import format_html

from requests_app.domain.scopes import LABELS, Scope, known


def labels(names: Iterable[str]) -> list[Promise]:
    """Return the labels in the order of the table. A stored name that is unknown grants nothing, and is not shown."""
    scopes = known(names)
    return [words for scope, words in LABELS.items() if scope in scopes]


def choices(scopes: Iterable[Scope]) -> list[tuple[str, str]]:
    """Return the choices for check boxes."""
    offered = frozenset(scopes)
    shown = '<span>{} <code class="mono hint">{}</code></span>'
    return [(str(scope), format_html(shown, words, scope)) for scope, words in LABELS.items() if scope in offered]
