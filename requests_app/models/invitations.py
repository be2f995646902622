"""Invitations. An invitation is sent by mail, and makes its reader one of a tenant's or the provider's people.

It works once.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.domain import limits
from requests_app.domain.actors import Actor, Role, Side
from requests_app.models.people import Membership, Person, QueueAssignment
from requests_app.models.scoping import ScopedQuerySet


class InvitationQuerySet(ScopedQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Return the rows that the actor can see. The provider's people who are not staff see their own invitation."""
        if actor.side is Side.PROVIDER and not actor.is_staff:
            return self.filter(tenant=None, accepted_by__isnull=False, accepted_by=actor.person_id)
        return super().visible_to(actor)

    def unanswered(self) -> Self:
        """Return the invitations that were neither accepted nor withdrawn, including expired ones."""
        return self.filter(accepted_at=None, withdrawn_at=None)

    def open(self, at: datetime) -> Self:
        return self.unanswered().filter(expires_at__gt=at)

    def prepared(self) -> Self:
        """Return the invitations that a file has prepared and nobody has sent yet, including those that are too old."""
        return self.unanswered().filter(sends=0)

    def to_send(self, at: datetime) -> Self:
        """Return the provider's invitations whose link must be sent: a file has prepared them, or one beside them.

        One that was sent and has expired is left out: it must be sent again alone, so that its role is proposed again.
        """
        beside = Invitation.objects.expected(at).filter(sends=0).exclude(beside=None).values("beside")
        rows = self.expected(at).filter(tenant=None, beside=None)
        return rows.filter(models.Q(sends=0) | models.Q(pk__in=beside)).order_by("email", "pk")

    def expected(self, at: datetime) -> Self:
        """Return the invitations that somebody can accept now, or can accept after they are sent."""
        is_fresh = models.Q(sends=0, created_at__gt=at - limits.PREPARED_FOR)
        return self.unanswered().filter(models.Q(expires_at__gt=at) | is_fresh)


#: The roles of the provider's people.
PROVIDER_ROLES = [*QueueAssignment.Role.choices, (str(Role.STAFF), _("Staff"))]
_OF_PROVIDER = [role for role, _words in PROVIDER_ROLES]


class Invitation(models.Model):
    """An invitation that was sent to an address, and gives a role.

    Without a `tenant`, the invitation is for one of the provider's people: `services` are the queues in which they get
    the role. If customers must get notice first, `proposal` is the announced change that gives the role.

    Only the hash of the secret in the link is stored (`link_secrets`). `invited_by` is empty if somebody used the
    customer's recovery key.

    A file can prepare invitations. Then `sends` is 0, no link works, and `invited_by` is empty until a member of
    the staff sends it. After 30 days, nobody can send it any more (`limits.PREPARED_FOR`). A person with several
    roles has one invitation for each kind of role. Only one of them has a link, and the others are `beside` it:
    they are accepted with it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        "requests_app.Tenant",
        models.PROTECT,
        related_name="invitations",
        null=True,
        blank=True,
        verbose_name=_("tenant"),
    )
    email = models.EmailField(_("email"))
    # The name that the form for accepting suggests.
    name = models.CharField(_("name"), max_length=120, blank=True, default="", db_default="")
    beside = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="others", verbose_name=_("together with")
    )
    role = models.CharField(_("role"), max_length=20, choices=[*Membership.Role.choices, *PROVIDER_ROLES])
    services = models.ManyToManyField("requests_app.Service", related_name="+", verbose_name=_("queues"))
    # The reader's time zone. It is empty for a tenant's people, who get their tenant's time zone.
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, default="", db_default="")
    proposal = models.ForeignKey(
        "requests_app.Proposal", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("proposal")
    )
    # The tenants whose log named this invitation, still open, when they first switched Lockbox on.
    named_to = models.ManyToManyField("requests_app.Tenant", related_name="+", editable=False)
    secret_hash = models.CharField(max_length=64, unique=True)
    sends = models.PositiveSmallIntegerField(_("times sent"), default=1)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("invited by"),
    )
    # The account of the API client that sent the invitation. `invited_by` is then the person who holds its secret.
    invited_through = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("invited through the API client"),
    )
    created_at = models.DateTimeField(_("invited"))
    valid_from = models.DateTimeField(_("valid from"))
    expires_at = models.DateTimeField(_("valid until"))
    # Whether a second person confirmed it, in a tenant under two-person control.
    was_confirmed = models.BooleanField(_("confirmed by a second person"), default=False)
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("accepted by"),
    )
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)
    # Who took the link out of the product in place of the mail. Its reader confirms that they have read this.
    link_copied_at = models.DateTimeField(_("link copied"), null=True, blank=True)
    link_copied_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("link copied by"),
    )
    # The number of the mail whose link was copied. The link of a later mail was in that mail only.
    link_copied_send = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    copy_noted_at = models.DateTimeField(_("reader knows that the link was copied"), null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(accepted_at=None) | models.Q(withdrawn_at=None), name="invitation_ends_once"
            ),
            models.CheckConstraint(
                condition=models.Q(tenant=None, role__in=_OF_PROVIDER)
                | models.Q(tenant__isnull=False) & ~models.Q(role__in=_OF_PROVIDER),
                name="invitation_role_of_side",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "-created_at"], name="invitation_by_tenant")]

    def __str__(self) -> str:
        return " · ".join(str(part) for part in (self.email, self.get_role_display(), self.tenant) if part)

    @property
    def is_recovery(self) -> bool:
        """Whether this invitation was made with the customer's recovery key, and not by a person."""
        return self.invited_by_id is None and self.tenant_id is not None

    @property
    def is_prepared(self) -> bool:
        """Whether a file has prepared this invitation, and nobody has sent it yet."""
        return self.sends == 0

    def is_too_old(self, at: datetime) -> bool:
        """Return whether the time is over in which this prepared invitation could be sent."""
        return self.is_prepared and self.created_at <= at - limits.PREPARED_FOR

    @property
    def is_copied(self) -> bool:
        """Whether staff have copied the link that works now, or that was accepted."""
        return self.link_copied_at is not None and self.link_copied_send == self.sends

    @property
    def zone(self) -> str:
        """The name of the reader's time zone."""
        return self.time_zone or (self.tenant.time_zone if self.tenant else "UTC")

    def is_open(self, at: datetime) -> bool:
        return self.accepted_at is None and self.withdrawn_at is None and self.valid_from <= at < self.expires_at


def came_by_copied_link(person: Person) -> bool:
    """Return whether the person accepted with a copied link, and has not opened a link from a mail since.

    Such a person can sign in, because mail may not work yet. But the address proves nothing about who they are.
    """
    if person.email_verified_at is not None:
        return False
    theirs = Invitation.objects.filter(accepted_by=person, email=person.email)
    return theirs.filter(link_copied_at__isnull=False, link_copied_send=models.F("sends")).exists()
