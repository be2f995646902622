"""Access requests that a client of the provider raised from a denial of the decision point (AuthZEN)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Actor
from requests_app.domain.levels import Level
from requests_app.models.access import SOURCE_URL_MAX
from requests_app.models.scoping import ScopedQuerySet


class _CalledBack(models.Model):
    """Where the client gets a message when the task ends, what it gets back unchanged, and which ends it wants to know.

    Without `callback_events`, it wants to know them all.
    """

    callback = models.ForeignKey(
        "requests_app.Webhook",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("callback address"),
    )
    callback_state = models.TextField(_("state of the callback"), blank=True, default="", db_default="")
    callback_events = models.JSONField(_("events of the callback"), null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def called_back(self) -> dict[str, Any]:
        """Return the columns above, for the task that a draft becomes."""
        return {field.name: getattr(self, field.name) for field in _CalledBack._meta.local_fields}


class AccessTask(_CalledBack):
    """A client's handle on the access request that it raised. It has the id of the access request."""

    access_request = models.OneToOneField(
        "requests_app.AccessRequest",
        models.PROTECT,
        primary_key=True,
        related_name="task",
        verbose_name=_("access request"),
    )
    client = models.ForeignKey("requests_app.Client", models.PROTECT, related_name="+", verbose_name=_("client"))
    # The number of the denial. Each denial can be used once.
    denial = models.UUIDField(_("denial"), unique=True)
    # What the client asked, as the decision point denied it. The approval counts for exactly this.
    asked = models.JSONField(_("asked"))
    expires_at = models.DateTimeField(_("can be read until"))
    # Whether the engineer has confirmed a draft of the client.
    was_draft = models.BooleanField(_("was a draft"), default=False, db_default=False)

    class Meta:
        verbose_name = _("access request of a client")
        verbose_name_plural = _("access requests of clients")
        indexes = [models.Index(fields=["-expires_at"], name="access_task_newest")]

    def __str__(self) -> str:
        return str(self.access_request_id)


class AccessDraftQuerySet(ScopedQuerySet):
    service_path = "service_id"

    def visible_to(self, actor: Actor) -> Self:
        """Return the drafts of this engineer, because a draft is not an access request yet.

        Staff read all drafts in the administration, but can't act on them.
        """
        return self if actor.is_system else self.filter(engineer=actor.person_id)

    def waiting(self, at: datetime) -> Self:
        return self.filter(ended_at=None, expires_at__gt=at)

    def overdue(self, at: datetime) -> Self:
        return self.filter(ended_at=None, expires_at__lte=at)


class AccessDraft(_CalledBack):
    """What a client wants to ask for in the name of an engineer, until the engineer confirms or discards it.

    An access request that comes from a draft has the draft's id. So the client's handle stays the same.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    client = models.ForeignKey("requests_app.Client", models.PROTECT, related_name="+", verbose_name=_("client"))
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="+")
    service = models.ForeignKey("requests_app.Service", models.PROTECT, related_name="+")
    ticket = models.ForeignKey("requests_app.Ticket", models.PROTECT, related_name="+")
    resource = models.ForeignKey("requests_app.Resource", models.PROTECT, related_name="+")
    engineer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("engineer"))
    level = models.CharField(_("how much"), max_length=8, choices=Level.choices)
    window_for = models.PositiveIntegerField(_("window (seconds)"))
    tried = models.TextField(_("what was tried"))
    justification = models.TextField(_("why there is no other way"))
    until_at = models.DateTimeField(_("no longer than until"), null=True, blank=True)
    is_emergency = models.BooleanField(_("emergency"), default=False)
    # What the client calls the address of its own ticket or page. It is only shown, as text.
    source_url = models.CharField(
        _("address that the client names"), max_length=SOURCE_URL_MAX, blank=True, default="", db_default=""
    )
    denial = models.UUIDField(_("denial"), unique=True)
    asked = models.JSONField(_("asked"))
    made_at = models.DateTimeField(_("drafted"))
    expires_at = models.DateTimeField(_("ends"))
    # When it was confirmed or discarded, or when the system ended it after `expires_at`.
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = AccessDraftQuerySet.as_manager()

    class Meta:
        verbose_name = _("draft of an access request")
        verbose_name_plural = _("drafts of access requests")
        ordering = ["made_at"]
        indexes = [
            models.Index(fields=["engineer", "ended_at"], name="access_draft_by_engineer"),
            models.Index(fields=["-made_at"], name="access_draft_newest"),
            models.Index(fields=["expires_at"], condition=models.Q(ended_at=None), name="access_draft_overdue"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
