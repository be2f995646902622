"""Counts guesses in rows, so that all processes count together, one at a time."""

from __future__ import annotations

from django.db import models


class Tries(models.Model):
    """The guesses about one subject since an instant. The subject is an id; what was guessed is not stored."""

    subject = models.CharField(max_length=80, unique=True)
    since = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.subject
