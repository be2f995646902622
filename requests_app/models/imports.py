"""Imports: the rows of a file as a journal that is worked off, and the changes among them that need a second person."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Actor, Side
from requests_app.models.scoping import ScopedQuerySet


class ImportQuerySet(ScopedQuerySet):
    """Imports belong to no tenant. Only staff and the system see them."""

    def visible_to(self, actor: Actor) -> Self:
        return self.none() if actor.side is Side.CUSTOMER else super().visible_to(actor)

    def unfinished(self) -> Self:
        """Return those with rows that are not written yet, or with proposed changes that are not announced yet."""
        return self.filter(Q(finished_at=None) | Q(pk__in=HeldRow.objects.unannounced().values("of")))


class Import(models.Model):
    """One import. Its rows are in its batches until they are written, and its report is in them afterwards.

    `started_by` is a member of staff or a client, and is empty if the operator started the import on the server.
    `started_human` is the human at that time, and is empty for a client.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    file_name = models.CharField(_("file"), max_length=200)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    door = models.CharField(_("interface"), max_length=16)
    started_name = models.CharField(_("started by"), max_length=200)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("started by"),
    )
    started_human = models.UUIDField(null=True, blank=True)
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    # How many rows there are, and how many of them have been written so far, by status.
    rows = models.PositiveIntegerField(_("rows"))
    counts = models.JSONField(_("counts"), default=dict)
    proposal = models.ForeignKey(
        "requests_app.Proposal", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("proposal")
    )

    objects = ImportQuerySet.as_manager()

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["started_at"], condition=Q(finished_at=None), name="import_unfinished")]

    def __str__(self) -> str:
        return self.file_name

    @property
    def rows_done(self) -> int:
        return sum(self.counts.values())


class ImportBatch(models.Model):
    """Rows of an import that one transaction writes: those of one tenant, or a part of them if there are many.

    `number` is that of its first row. So a batch can be divided when it is written.

    `rows` are [line, kind, values]. When the batch is written, in the same transaction, `results` gets what became of
    each: [line, kind, name, status, column, code, facts]. So nothing is written twice, and a killed process leaves no
    row half done.
    """

    id = models.BigAutoField(primary_key=True)
    of = models.ForeignKey(Import, models.CASCADE, related_name="batches")
    number = models.PositiveIntegerField()
    rows = models.JSONField(default=list)
    results = models.JSONField(default=list)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["of", "number"], name="import_batch_once")]

    def __str__(self) -> str:
        return str(self.number)


class HeldRowQuerySet(ScopedQuerySet):
    def unannounced(self) -> Self:
        """Return the rows that are proposed, and that are not in the logs of all affected tenants yet."""
        return self.filter(outcome="", announced_at=None, of__proposal__isnull=False, of__proposal__ended_at=None)

    def concerning(self, tenant_ids: Iterable[UUID]) -> Self:
        """Return the rows that affect any of these tenants. Each row is returned once."""
        tenants = list(tenant_ids)
        links = HeldRow.touched.through.objects.filter(tenant_id__in=tenants)
        return self.filter(Q(tenant__in=tenants) | Q(pk__in=links.values("heldrow_id")))

    def open(self, at: datetime) -> Self:
        """Return the rows that wait: for a proposal, for its confirmation, or for the end of its waiting time."""
        proposed = Q(of__proposal__ended_at=None) & (
            Q(of__proposal__expires_at__gt=at) | Q(of__proposal__effective_at__isnull=False)
        )
        return self.filter(outcome="").filter(Q(of__proposal=None, until_at__gt=at) | proposed)


class HeldRow(models.Model):
    """A change of an import that reduces a tenant's protection. It waits for the one confirmation of its import.

    `act` and `terms` are those of the proposal that the same change would have alone. `digest` is a hash of both, by
    which the same change is found in another file.

    A change of a plan or a service has no `tenant`. It affects all tenants in `touched`, which are filled when the
    change is announced to them.

    `announced_at` is set in the transaction that writes the entries about the row. So they are written once, and a
    killed process leaves no row without them.
    """

    class Outcome(models.TextChoices):
        APPLIED = "applied", _("took effect")
        LAPSED = "lapsed", _("did not take effect")

    id = models.BigAutoField(primary_key=True)
    of = models.ForeignKey(Import, models.PROTECT, related_name="held")
    tenant = models.ForeignKey(
        "requests_app.Tenant", models.PROTECT, related_name="+", null=True, blank=True, verbose_name=_("tenant")
    )
    touched = models.ManyToManyField("requests_app.Tenant", related_name="+", editable=False)
    line = models.PositiveIntegerField(_("line"))
    act = models.CharField(_("act"), max_length=40)
    terms = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    resource = models.ForeignKey("requests_app.Resource", models.PROTECT, related_name="+", null=True, blank=True)
    # Until this time, a member of staff can propose the row, if the import itself had no human who did.
    until_at = models.DateTimeField()
    announced_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.choices, blank=True, default="")
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = HeldRowQuerySet.as_manager()

    class Meta:
        verbose_name = _("held row")
        verbose_name_plural = _("held rows")
        ordering = ["line", "pk"]
        indexes = [
            models.Index(fields=["digest"], condition=Q(outcome=""), name="held_row_open"),
            models.Index(fields=["of", "tenant"], condition=Q(outcome=""), name="held_row_left"),
            models.Index(
                fields=["of", "tenant"], condition=Q(outcome="", announced_at=None), name="held_row_unannounced"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.act} · {self.line}"
