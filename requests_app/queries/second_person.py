"""Decides which members of the staff can be the second person for a change, and finds them."""

from __future__ import annotations

from datetime import datetime

from requests_app.domain import limits
from requests_app.models import Person, Proposal, StaffTerm, Tenant
from requests_app.models.invitations import came_by_copied_link


def is_proven(person: Person) -> bool:
    """Return whether the person has shown that they read their mailbox, or no tenant depends on who they are yet."""
    return not (Tenant.objects.ever_on().exists() and came_by_copied_link(person))


def is_established(person: Person, at: datetime) -> bool:
    """Return whether the person has been staff for long enough to propose or confirm a change.

    This is the length of the waiting time, or since before the first tenant switched Lockbox on.
    """
    term = StaffTerm.objects.filter(person=person, until_at=None).first()
    if term is None or not (person.is_active and person.is_staff):
        return False
    first = Tenant.objects.all().first_on_at()
    return term.from_at <= at - limits.staff_change_wait() or first is None or term.from_at < first


def is_about(proposal: Proposal, person: Person) -> bool:
    """Return whether the change is about this human's own accounts."""
    return str(person.human_id) in (proposal.said.get("human"), proposal.said.get("other_human"))


#: Pages show no larger number of changes that wait, so that they stay fast.
COUNTED = 100


def count_unconfirmed(at: datetime) -> int:
    """Return how many changes by staff wait for a second member of the staff, or COUNTED if there are more."""
    return len(Proposal.objects.unconfirmed(at).order_by().values_list("pk")[:COUNTED])


def count_through_groups() -> int:
    """Return how many roles through groups wait without a second person, or COUNTED if there are more."""
    rows = Proposal.objects.through_groups().filter(confirmed_by=None).exclude(effective_at=None)
    return len(rows.order_by().values_list("pk")[:COUNTED])


def who_can_confirm(proposal: Proposal, at: datetime) -> list[Person]:
    """Return the members of the staff who can confirm a proposal of staff now. The list is empty if it is over."""
    if not Proposal.objects.unconfirmed(at).filter(pk=proposal.pk).exists():
        return []
    if not all(is_proven(person) and is_established(person, at) for person in proposal.answerable):
        return []
    staff = Person.objects.get_queryset().active().humans().filter(is_staff=True)
    others = staff.exclude(human_id__in=proposal.humans).order_by("email")
    return [
        person
        for person in others
        if is_proven(person) and is_established(person, at) and not is_about(proposal, person)
    ]
