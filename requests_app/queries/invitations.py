"""Reads invitations: those behind a link, those of a person who has accepted, and those of the provider's people."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, UUIDField

from audit_app import canonical
from requests_app.domain import clock, link_secrets, policy
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotFound
from requests_app.models import Invitation, Tenant
from requests_app.models.invitations import PROVIDER_ROLES
from requests_app.models.row_security import own_account
from requests_app.platform.database.compiled import CompiledQuery

#: The most invitations of the provider that a tenant reads when it first switches Lockbox on.
MOST_NAMED = 200


def invitation_behind(secret: str, *, at: datetime) -> Invitation:
    """Return the invitation to which a link in a mail leads.

    Raise the same NotFound for an unknown, an expired and a withdrawn invitation.
    """
    rows = Invitation.objects.select_related("tenant", "invited_by", "invited_through", "proposal")
    row = rows.filter(secret_hash=link_secrets.hashed(secret)).first()
    if row is None or not row.is_open(at):
        raise NotFound
    return cast(Invitation, row)


def overtaken(at: datetime) -> QuerySet[Invitation]:
    """Return the provider's open invitations whose role has no proposal, and is not known to all tenants (`unaware`).

    After they are sent again, a proposal gives the role.
    """
    return _unannounced(at).filter(Exists(unaware(OuterRef(OuterRef("pk")))))


def living_on(at: datetime) -> QuerySet[Invitation]:
    """Return the provider's open invitations that give their role at once, without a proposal.

    A tenant that switches Lockbox on for the first time reads them before, and finds them in its log. So they live on.
    """
    return _unannounced(at).exclude(Exists(unaware(OuterRef(OuterRef("pk")))))


def _unannounced(at: datetime) -> QuerySet[Invitation]:
    rows = Invitation.objects.open(at).filter(tenant=None, proposal=None).exclude(sends=0)
    return cast(QuerySet[Invitation], rows)


def unaware(invitation_id: Any) -> QuerySet[Tenant]:
    """Return the tenants that have ever had Lockbox on, and whose log does not name this invitation."""
    named = Invitation.named_to.through.objects.filter(invitation_id=invitation_id)
    return cast(QuerySet[Tenant], Tenant.objects.ever_on().exclude(pk__in=named.values("tenant_id")))


class Expected(NamedTuple):
    """Somebody whom the provider has invited, and who gets the role by accepting until `until`."""

    id: UUID
    email: str
    role: str
    queues: list[str]
    invited_by: str
    since: datetime
    until: datetime

    @property
    def role_words(self) -> str:
        return str(dict(PROVIDER_ROLES)[self.role])


def expected_of_provider(tenant: Tenant, *, at: datetime) -> list[Expected]:
    """Return whom the tenant must know before it switches Lockbox on for the first time, or [] after that.

    At most `MOST_NAMED`: an invitation that is left out here ends.
    """
    if tenant.lockbox_on or tenant.lockbox_first_on_at is not None:
        return []
    # They belong to no tenant, and PostgreSQL hides them from a customer's connection.
    with own_account():
        rows = living_on(at).select_related("invited_by").prefetch_related("services").order_by("email", "role", "pk")
        return [
            Expected(
                id=row.pk,
                email=row.email,
                role=row.role,
                queues=sorted(service.name for service in row.services.all()),
                invited_by=row.invited_by.name if row.invited_by else "",
                since=row.created_at,
                until=row.expires_at,
            )
            for row in rows[:MOST_NAMED]
        ]


def is_overtaken(row: Invitation, at: datetime) -> bool:
    return overtaken(at).filter(pk=row.pk).exists()


def has_accepted(secret: str, *, actor: Actor) -> bool:
    """Return whether this person accepted the invitation with this link."""
    rows = Invitation.objects.filter(secret_hash=link_secrets.hashed(secret), accepted_by=actor.person)
    return bool(rows.exists())


def queues(row: Invitation) -> list[str]:
    return list(row.services.order_by("name").values_list("name", flat=True))


def invitation(invitation_id: object, *, actor: Actor) -> Invitation:
    return cast(Invitation, Invitation.objects.visible_to(actor).find(invitation_id))


def to_note(actor: Actor) -> list[Invitation]:
    """Return the accepted invitations of this person about which their home page must say something.

    Somebody copied the link, and the person has not confirmed knowing it. Or the role still waits for a second person.
    """
    # Hardly anybody has one.
    noted = [pk for (pk,) in TO_NOTE(person=actor.person)]
    if not noted:
        return []
    rows = Invitation.objects.visible_to(actor).filter(pk__in=noted)
    return list(rows.select_related("link_copied_by", "proposal", "tenant").order_by("accepted_at"))


def _to_note(person: Any) -> QuerySet[Any, Any]:
    copied = Q(link_copied_at__isnull=False, copy_noted_at=None)
    rows = Invitation.objects.filter(copied | Q(proposal__isnull=False, proposal__ended_at=None), accepted_by=person)
    return rows.values_list("pk")


#: The accepted invitations that `to_note` returns.
TO_NOTE = CompiledQuery(_to_note, person=UUIDField())


def invited_to(row: Invitation) -> list[Invitation]:
    """Return this invitation, and those of the same person that are accepted with it."""
    others = row.others.unanswered().exclude(sends=0).select_related("proposal")
    return [row, *others.prefetch_related("services").order_by("created_at", "pk")]


def prepared_addresses() -> list[str]:
    """Return the addresses of the people for whom a file has prepared an invitation that can be sent now."""
    return list(Invitation.objects.to_send(clock.now()).values_list("email", flat=True))


class Prepared(NamedTuple):
    """The prepared invitations that a page shows: their addresses, and the hash by which the list is known again."""

    addresses: list[str]
    digest: str


def prepared() -> Prepared:
    rows = list(Invitation.objects.to_send(clock.now()))
    return Prepared([row.email for row in rows], digest_of(rows))


def digest_of(rows: Iterable[Invitation]) -> str:
    """Return a hash of these invitations, of those that are accepted with them, and of what they give."""
    parts = []
    for row in rows:
        for each in (row, *row.others.unanswered().order_by("created_at", "pk")):
            services = [str(pk) for pk in each.services.order_by("pk").values_list("pk", flat=True)]
            parts.append({"id": str(each.pk), "email": each.email, "role": each.role, "services": services})
    return hashlib.sha256(canonical.encode({"prepared": parts})).hexdigest()


def of_provider(actor: Actor) -> QuerySet[Invitation]:
    """Return the provider's invitations that are neither accepted nor withdrawn, newest first. Only staff may."""
    policy.require_staff(actor)
    rows = Invitation.objects.filter(tenant=None).unanswered().select_related("invited_by", "invited_through")
    return cast(QuerySet[Invitation], rows.prefetch_related("services").order_by("-created_at"))
