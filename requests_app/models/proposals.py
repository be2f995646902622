"""Proposals: changes that another person must confirm, in a tenant under two-person control or among staff."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.domain.acts import PROPOSALS
from requests_app.models.scoping import ScopedQuerySet

if TYPE_CHECKING:
    from requests_app.models.people import Person

#: The changes that follow from one on which people agreed before.
_FOLLOWING = [change.name for change in PROPOSALS.values() if change.follows]


class ProposalQuerySet(ScopedQuerySet):
    def pending(self, at: datetime) -> Self:
        return self.filter(ended_at=None).filter(models.Q(expires_at__gt=at) | models.Q(effective_at__isnull=False))

    def of_staff(self) -> Self:
        return self.filter(tenant=None)

    def unconfirmed(self, at: datetime) -> Self:
        """Return the proposals of staff that a second member of the staff can still confirm."""
        return self.of_staff().filter(ended_at=None, effective_at=None, expires_at__gt=at)

    def through_groups(self) -> Self:
        """Return the roles through groups that wait, and that staff can withdraw."""
        return self.of_staff().filter(act__in=_FOLLOWING, ended_at=None)

    def announced_to(self, tenant_ids: Iterable[UUID]) -> Self:
        """Return the proposals of staff that affect any of these tenants. Each proposal is returned once."""
        links = Proposal.touched.through.objects.filter(tenant_id__in=list(tenant_ids))
        return self.of_staff().filter(pk__in=links.values("proposal_id"))

    def due(self, at: datetime) -> Self:
        return self.of_staff().filter(ended_at=None, effective_at__lte=at)

    def unanswered(self, at: datetime) -> Self:
        """Return the proposals of staff that expired because nobody confirmed them in time."""
        return self.of_staff().filter(ended_at=None, effective_at=None, expires_at__lte=at)


class Proposal(models.Model):
    """A change that waits: the name of its act, and the act's arguments. The act is judged again when it runs.

    A proposal with a `tenant` belongs to that tenant, and its act runs when it is confirmed. A proposal without a
    tenant belongs to staff. It is announced to the tenants that it affects, and takes effect at `effective_at`: a
    waiting time after the confirmation. `effective_at` is stored in the row, so no worker can apply the change earlier.
    """

    class Outcome(models.TextChoices):
        APPLIED = "applied", _("took effect")
        WITHDRAWN = "withdrawn", _("withdrawn")
        LAPSED = "lapsed", _("did not take effect")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        "requests_app.Tenant", models.PROTECT, related_name="proposals", null=True, blank=True, verbose_name=_("tenant")
    )
    touched = models.ManyToManyField("requests_app.Tenant", related_name="+", editable=False)
    act = models.CharField(_("act"), max_length=40)
    said = models.JSONField(_("what"), default=dict)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("proposed by")
    )
    # The human at that time, so that linking or unlinking accounts later can't make anybody a second person.
    proposed_human = models.UUIDField()
    # The account of the API client that made the proposal. `proposed_by` is then the person who holds its secret, and
    # `maker_human` is the human who made the client.
    proposed_through = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("proposed through the API client"),
    )
    maker_human = models.UUIDField(null=True, blank=True)
    proposed_at = models.DateTimeField(_("proposed"))
    expires_at = models.DateTimeField(_("until"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("confirmed by"),
    )
    # Only the staff's proposals have these four. Without `confirmed_by`, no other member of staff existed who could
    # confirm, or the change is a role through a group, which nobody has to confirm.
    confirmed_human = models.UUIDField(null=True, blank=True)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    effective_at = models.DateTimeField(_("takes effect"), null=True, blank=True)
    outcome = models.CharField(
        _("outcome"), max_length=12, choices=Outcome.choices, blank=True, default="", db_default=""
    )

    objects = ProposalQuerySet.as_manager()

    class Meta:
        verbose_name = _("proposal")
        verbose_name_plural = _("proposals")
        ordering = ["-proposed_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(confirmed_by=None) | ~models.Q(confirmed_by=models.F("proposed_by")),
                name="proposal_confirmed_by_another",
            ),
            models.CheckConstraint(
                condition=models.Q(confirmed_human=None) | ~models.Q(confirmed_human=models.F("proposed_human")),
                name="proposal_confirmed_by_another_human",
            ),
            models.CheckConstraint(
                condition=models.Q(confirmed_human=None)
                | models.Q(maker_human=None)
                | ~models.Q(confirmed_human=models.F("maker_human")),
                name="proposal_not_confirmed_by_its_clients_maker",
            ),
            models.CheckConstraint(
                condition=~models.Q(outcome="applied")
                | models.Q(effective_at__isnull=False, ended_at__gte=models.F("effective_at")),
                name="proposal_applied_when_due",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-proposed_at"], name="proposal_by_tenant"),
            models.Index(
                fields=["effective_at"], condition=models.Q(tenant=None, ended_at=None), name="proposal_of_staff_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.act} · {self.tenant}" if self.tenant_id else self.act

    @property
    def is_alone(self) -> bool:
        """Whether nobody could confirm the proposal except its author, so that it only waits for `effective_at`."""
        return self.effective_at is not None and self.confirmed_by_id is None and not self.is_through_group

    @property
    def is_through_group(self) -> bool:
        """Whether a group gives this role, and two people agreed on that before, so that nobody has to confirm it."""
        is_unconfirmed = self.effective_at is not None and self.confirmed_by_id is None
        return is_unconfirmed and self.act in _FOLLOWING

    @property
    def humans(self) -> frozenset[UUID]:
        """The humans who count as its proposer, and so can't confirm it.

        If an API client made the proposal, they are the person who holds its secret and the person who made it.
        """
        found = {self.proposed_human, *(person.human_id for person in self.answerable)}
        return frozenset(found if self.maker_human is None else {*found, self.maker_human})

    @property
    def answerable(self) -> tuple[Person, ...]:
        """The people who must be staff until the proposal takes effect."""
        if self.proposed_through is None:
            return (self.proposed_by,)
        return (self.proposed_by, self.proposed_through.client.created_by)

    @property
    def proposer(self) -> Person:
        """The account that made the proposal: the person's own, or the one of their API client."""
        return self.proposed_through or self.proposed_by

    @property
    def shown(self) -> dict[str, Any]:
        """The arguments that people can see. Arguments whose name begins with "_" are only for the act itself."""
        return {name: value for name, value in self.said.items() if not name.startswith("_")}
