"""Tickets and their comments."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.domain.states import TICKET_LIVE, TicketState
from requests_app.models.scoping import PRACTICE_PREFIX, ScopedQuerySet
from requests_app.platform.database.rows import Row


class TicketQuerySet(ScopedQuerySet):
    service_path = "service_id"

    def live(self) -> Self:
        return self.filter(state__in=TICKET_LIVE)

    def real(self) -> Self:
        """Leave out the practice tickets."""
        return self.filter(is_practice=False)


class Ticket(Row):
    EXTERNAL_REFERENCE_MAX, EXTERNAL_URL_MAX = 120, 500

    class Origin(models.TextChoices):
        CUSTOMER = "customer", _("Opened by the customer")
        RECORDED = "recorded", _("Recorded for a customer who called or wrote")
        PROVIDER = "provider", _("Found by the provider")

    class Priority(models.TextChoices):
        LOW = "low", _("Low")
        NORMAL = "normal", _("Normal")
        HIGH = "high", _("High")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reference = models.CharField(_("reference"), max_length=16, unique=True)
    # The column is the first one of other indexes.
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="tickets", db_index=False)
    service = models.ForeignKey("requests_app.Service", models.PROTECT, related_name="tickets")
    title = models.CharField(_("title"), max_length=200)
    body = models.TextField(_("what happened"))
    origin = models.CharField(_("origin"), max_length=12, choices=Origin.choices)
    priority = models.CharField(_("priority"), max_length=8, choices=Priority.choices, default=Priority.NORMAL)
    state = models.CharField(_("state"), max_length=24, choices=TicketState.choices, default=TicketState.NEW)
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="opened_tickets")
    on_behalf_of = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="tickets_on_behalf"
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="assigned_tickets"
    )
    external_reference = models.CharField(_("reference elsewhere"), max_length=EXTERNAL_REFERENCE_MAX, blank=True)
    external_url = models.URLField(_("address elsewhere"), max_length=EXTERNAL_URL_MAX, blank=True)
    opened_at = models.DateTimeField(_("opened"))
    changed_at = models.DateTimeField(_("changed"))
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    # Whether people practise with this ticket. Its access requests name only the practice resource.
    is_practice = models.BooleanField(_("practice"), default=False, db_default=False, editable=False)

    objects = TicketQuerySet.as_manager()

    class Meta:
        verbose_name = _("ticket")
        verbose_name_plural = _("tickets")
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=TicketState.values), name="ticket_state_known"),
            # If a help desk sends the same case twice, through any interface, only one ticket is opened.
            models.UniqueConstraint(
                fields=["tenant", "external_reference"],
                condition=~models.Q(external_reference=""),
                name="ticket_external_reference_once",
            ),
            # The reference says which it is, so the mark can't be changed alone.
            models.CheckConstraint(
                condition=models.Q(is_practice=True, reference__startswith=PRACTICE_PREFIX)
                | (models.Q(is_practice=False) & ~models.Q(reference__startswith=PRACTICE_PREFIX)),
                name="ticket_practice_reference",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "state", "-changed_at"], name="ticket_by_tenant"),
            models.Index(fields=["-opened_at"], name="ticket_newest"),
            models.Index(fields=["tenant", "-opened_at"], name="ticket_by_age"),
            models.Index(fields=["service", "state", "-changed_at"], name="ticket_by_queue"),
            models.Index(fields=["assignee", "state", "-changed_at"], name="ticket_by_assignee"),
            # There are few practice tickets, so the checklists find them without reading the others.
            models.Index(fields=["-opened_at"], condition=models.Q(is_practice=True), name="ticket_practice"),
            # For people who type the reference of another help desk.
            models.Index(fields=["external_reference"], name="ticket_by_external_reference"),
        ]

    def __str__(self) -> str:
        return self.reference

    def save_changed(self, *, at: datetime) -> None:
        """Save the ticket with the time of the change. Only the operation `apply_ticket` may change its state."""
        self.changed_at = at
        self.save()

    @property
    def is_live(self) -> bool:
        return self.state in TICKET_LIVE

    @property
    def ended_at(self) -> datetime | None:
        return self.closed_at or self.resolved_at


class TicketCommentQuerySet(ScopedQuerySet):
    service_path = "ticket__service_id"


class TicketComment(models.Model):
    """One comment on a ticket. An internal note is visible only to the provider's side."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="+")
    ticket = models.ForeignKey(Ticket, models.PROTECT, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    body = models.TextField(_("text"))
    is_internal = models.BooleanField(_("internal"), default=False)
    at = models.DateTimeField(_("at"))

    objects = TicketCommentQuerySet.as_manager()

    class Meta:
        verbose_name = _("ticket comment")
        verbose_name_plural = _("ticket comments")
        ordering = ["at"]
        indexes = [
            models.Index(fields=["tenant", "ticket", "at"], name="ticket_comment_by_ticket"),
            models.Index(fields=["-at"], name="ticket_comment_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.ticket_id} {self.at:%Y-%m-%d %H:%M}"
