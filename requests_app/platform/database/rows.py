"""The base of the models that most pages and calls read."""

from __future__ import annotations

from collections.abc import Collection
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
