"""Finds the rows whose text differs from another text only in letter case or Unicode form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Lower
from django.db.models.lookups import In
from django.utils.translation import gettext_lazy as _

from requests_app.domain.spelling import folded

#: What a constraint says that compares without letter case.
EXISTS = _("This value already exists, perhaps in other letters.")


def maybe_alike(field: str, texts: Iterable[str]) -> Q:
    """Return a condition for the rows whose field could be one of the texts. Compare these rows with `folded`.

    No database folds all letters as Unicode does. So it selects by the small letters of ASCII, and each text that has
    other characters.
    """
    return Q(In(Lower(F(field)), sorted({folded(text) for text in texts}))) | Q(**{f"{field}__regex": "[^ -~]"})


def is_taken(text: str, rows: QuerySet[Any], *names: str) -> bool:
    """Return whether one of the rows has this text in a field with one of these names."""
    wanted = folded(text)
    return any(
        folded(value) == wanted
        for name in names
        for value in rows.order_by().filter(maybe_alike(name, [text])).values_list(name, flat=True)
    )
