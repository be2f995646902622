"""The periods in which people were staff."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class StaffTermQuerySet(models.QuerySet["StaffTerm"]):
    def since(self, at: datetime) -> Self:
        """Return the terms that had not ended at this instant."""
        return self.filter(Q(until_at=None) | Q(until_at__gt=at))


class StaffTerm(models.Model):
    """One period in which somebody was staff. The row stays if the account is switched off.

    A new term begins when the account might have a new user: it was switched on again, its second factors were reset,
    or its identity at an identity provider was unlinked.
    """

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="staff_terms")
    # The human at that time, so that linking accounts later does not change how many humans were staff in the past.
    human_id = models.UUIDField()
    from_at = models.DateTimeField(_("from"))
    until_at = models.DateTimeField(_("until"), null=True, blank=True)

    objects = StaffTermQuerySet.as_manager()

    class Meta:
        verbose_name = _("period on the staff")
        verbose_name_plural = _("periods on the staff")
        ordering = ["from_at"]
        constraints = [
            models.UniqueConstraint(fields=["person"], condition=Q(until_at=None), name="staff_term_open_once"),
        ]
        indexes = [models.Index(fields=["until_at"], name="staff_term_by_end")]

    def __str__(self) -> str:
        return f"{self.person} · {self.from_at:%Y-%m-%d}"

    @classmethod
    def begin(cls, person: Any, *, at: datetime) -> None:
        cls.end(person, at=at)
        cls.objects.create(person=person, human_id=person.human_id, from_at=at)

    @classmethod
    def end(cls, person: Any, *, at: datetime) -> None:
        cls.objects.filter(person=person, until_at=None).update(until_at=at)
