"""The base of the models that most pages and calls read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from typing import Any, Self

from django.db import models
from django.db.models.base import ModelState


class Row(models.Model):
    """A model whose rows are made from the database's columns in a quarter of Django's time.

    Django sets each attribute by itself, and sends two signals for each row. Nothing here needs either, as long as no
    field changes a value that is set. tests/database/test_rows.py checks this.
    """

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **_: Any) -> Self:
        row = cls.__new__(cls)
        # An attribute that is missing here is read later, as for every deferred field.
        row.__dict__.update(zip(field_names, values, strict=True))
        row._state = ModelState()
        row._state.adding, row._state.db = False, db
        return row

    @classmethod
    def new(cls, **columns: Any) -> Self:
        """Return a new row that is not saved yet, as `cls(**columns)` does. Name the columns and not the relations."""
        row = cls.__new__(cls)
        values, makers = _defaults(cls)
        row.__dict__.update(values)
        row.__dict__.update(columns)
        for name, make in makers:
            if name not in columns:
                row.__dict__[name] = make()
        row._state = ModelState()
        return row


@cache
def _defaults(model: type[models.Model]) -> tuple[dict[str, Any], list[tuple[str, Callable[[], Any]]]]:
    """Return the default of each column: the value, or the function that makes a value for each row."""
    made = [field for field in model._meta.concrete_fields if field.has_default() and callable(field.default)]
    fixed = [field for field in model._meta.concrete_fields if field not in made]
    return {each.attname: each.get_default() for each in fixed}, [(each.attname, each.get_default) for each in made]
