"""Counts guesses in rows, so that all processes count together, one guess at a time."""

from __future__ import annotations

from django.db import models


class Tries(models.Model):
    """The guesses about one subject since the start of its period.

    `subject` is an id or a hash. The guessed value is not stored.
    """

    subject = models.CharField(max_length=80, unique=True)
    since = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.subject
