"""Counts in the database how often somebody has guessed a secret, so that all processes use the same count."""

from __future__ import annotations

from django.db import models


class Tries(models.Model):
    """The number of guesses about one subject since the start of the present period.

    `subject` is an id or a hash. The guessed values are not stored.
    """

    subject = models.CharField(max_length=80, unique=True)
    since = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.subject
