"""Joins and separates the accounts of one human, and ends the access requests that this makes invalid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Q, QuerySet

from audit_app import recorder
from requests_app.domain.acts.installation import ACCOUNTS_LINKED
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import AccessRequest, Decision, Membership, Person, mailboxes
from requests_app.operations._change import Step, lock_access
from requests_app.operations._ending import end_access


def lock_humans(*humans: UUID) -> None:
    """Lock every account of these humans, and the access requests that they submitted or decided on.

    Call this before the act takes its turn at a log. If two humans are joined, one human can become both the requester
    and an approver of an access request. With these locks, either the act sees a decision that is being made, or the
    decision sees the act's result.
    """
    rows = Person.objects.get_queryset().filter(human_id__in=humans).order_by("pk")
    list(rows.select_for_update(no_key=True).values_list("pk", flat=True))
    lock_access(_of_humans(*humans))


def join_same_mailbox(current: Step, person: Person) -> None:
    """Give a new account the human id of an existing person whose address leads to the same mailbox.

    The row of the new account is not saved here. Both addresses must be verified, so that nobody can join two people by
    entering somebody else's address.
    """
    if person.email_verified_at is None:
        return
    other = _of_mailbox(person.email, but=person.pk).first()
    if other is None:
        return
    person.human_id = other.human_id
    detail = {"person": str(person.pk), "email": person.email, "because": "same_address", "human": str(other.human_id)}
    witness_in(current, ACCOUNTS_LINKED, logs_of(other.human_id), detail=detail, text=person.name)


def others_of_mailbox(email: str, *, but: UUID) -> list[UUID]:
    """Return the human ids of the other people who have a verified address of this mailbox.

    Lock these humans before you join them.
    """
    return sorted(set(_of_mailbox(email, but=but).values_list("human_id", flat=True)))


def join_verified(current: Step, person: Person) -> None:
    """Join an existing account with the other humans of its mailbox, after its address was verified.

    The caller must have locked all these humans (`lock_humans`).
    """
    for human in others_of_mailbox(person.email, but=person.pk):
        if human == person.human_id:
            continue
        detail = {"person": str(person.pk), "email": person.email, "because": "same_address"}
        detail |= {"human": str(human), "human_before": str(person.human_id)}
        logs = logs_of(person.human_id, human)
        witness_in(current, ACCOUNTS_LINKED, logs, detail=detail, text=person.name)
        merge(current, human, person.human_id)
        person.human_id = human


def _of_mailbox(email: str, *, but: UUID) -> QuerySet[Person]:
    people = Person.objects.get_queryset().humans().filter(mailboxes.same_mailbox(email))
    return people.filter(email_verified_at__isnull=False).exclude(pk=but).order_by("created_at")


def merge(current: Step, remaining: UUID, gone: UUID) -> int:
    """Make two humans one. Return how many access requests ended because this human was on both sides of them.

    The caller must have locked both humans (`lock_humans`). Access requests that have already ended keep their
    decisions.
    """
    Person.objects.get_queryset().filter(human_id=gone).update(human_id=remaining)
    both = {remaining, gone}
    rows = _of_humans(remaining, gone).prefetch_related("decisions__decider")
    broken = [row.pk for row in rows if _stands_twice(row, both)]
    under_way = AccessRequest.objects.not_ended()
    under_way.filter(requester_human=gone).exclude(pk__in=broken).update(requester_human=remaining)
    return end_access(current, AccessRequest.objects.filter(pk__in=broken), cause="accounts-linked")


def part(person: Person) -> UUID:
    """Give one account a new human id and return that id. Earlier decisions do not change."""
    person.human_id = uuid4()
    person.save(update_fields=["human_id"])
    raised = AccessRequest.objects.not_ended().filter(requested_by=person)
    raised.update(requester_human=person.human_id)
    return person.human_id


def logs_of(*humans: UUID) -> list[UUID]:
    """Return the logs in which an entry about these humans belongs.

    They are the provider's log, the logs of the humans' own tenants, and the logs of the tenants of their pending or
    open access requests: those that they submitted, and those that they decided on.
    """
    member_of = Membership.objects.filter(person__human_id__in=humans).values_list("tenant_id", flat=True)
    about = _of_humans(*humans).values_list("tenant_id", flat=True)
    return [PROVIDER_LOG, *sorted({*member_of, *about})]


def witness_in(current: Step, event: str, logs: list[UUID], **fields: Any) -> None:
    """Write the same entry in each of these logs. `logs` must be in the order in which the recorder locks logs."""
    entry = current.entry(event, **fields)
    recorder.record([replace(entry, tenant_id=log) for log in logs], at=current.at)


def _of_humans(*humans: UUID) -> QuerySet[AccessRequest]:
    decided = Decision.objects.filter(Q(decider_human__in=humans) | Q(decider__human_id__in=humans))
    raised = Q(requester_human__in=humans) | Q(requested_by__human_id__in=humans)
    rows = AccessRequest.objects.not_ended()
    return rows.filter(raised | Q(pk__in=decided.values("access_request")))


def _stands_twice(row: AccessRequest, both: set[UUID]) -> bool:
    """Return whether the humans in `both` have two parts in the access request: asked and decided, or decided twice."""
    stood = [{row.requester_human}, *(decision.humans for decision in row.decisions.all())]
    return sum(not both.isdisjoint(humans) for humans in stood) > 1
