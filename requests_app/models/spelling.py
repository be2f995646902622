"""Finds the rows whose text differs from another text only in letter case or Unicode form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Func, IntegerField, Q, QuerySet
from django.db.models.functions import Length, Lower
from django.db.models.lookups import GreaterThan, In
from django.utils.translation import gettext_lazy as _

from requests_app.domain.spelling import folded

#: What a constraint says that compares without letter case.
EXISTS = _("This value already exists, perhaps in other letters.")


class Octets(Func):
    """The number of bytes of a text. It is more than that of its characters if one of them is not ASCII."""

    function = "OCTET_LENGTH"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # SQLite has the function only since 3.43.
        return self.as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)


def maybe_alike(field: str, texts: Iterable[str]) -> Q:
    """Return a condition for the rows whose field could be one of the texts. Compare these rows with `folded`.

    No database folds all letters as Unicode does. So it selects by the small letters of ASCII, and each text that has
    other characters.
    """
    in_small = In(Lower(F(field)), sorted({folded(text) for text in texts}))
    # Not by a regular expression: on SQLite, that would be a call of Python for each row.
    return Q(in_small) | Q(GreaterThan(Octets(F(field)), Length(F(field))))


def is_taken(text: str, rows: QuerySet[Any], *names: str) -> bool:
    """Return whether one of the rows has this text in a field with one of these names."""
    wanted = folded(text)
    return any(
        folded(value) == wanted
        for name in names
        for value in rows.order_by().filter(maybe_alike(name, [text])).values_list(name, flat=True)
    )
