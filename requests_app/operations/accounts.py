"""Links and unlinks accounts. Linked accounts count as one human everywhere, with all the roles of these accounts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Side
from requests_app.domain.acts.declaration import Party
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import (
    ACCOUNTS_LINKED,
    ACCOUNTS_UNLINKED,
    LINK_ACCOUNTS,
    LINK_ACCOUNTS_ANNOUNCED,
    UNLINK_ACCOUNTS,
    UNLINK_ACCOUNTS_ANNOUNCED,
)
from requests_app.domain.errors import NotFound, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import AccessRequest, Decision, Membership, Person, Tenant
from requests_app.operations._announced import Terms, announced, everybody
from requests_app.operations._change import Step
from requests_app.operations._humans import lock_humans, logs_of, merge, part, witness_in
from requests_app.operations._people import key
from requests_app.operations._perform import perform


def link_accounts(person_id: object, other_id: object, *, actor: Actor) -> Person:
    """Record that two accounts belong to one human.

    From then on, all rules that compare people treat the two accounts as one human. An access request that has
    not ended is ended if one account asked for it and the other decided on it, or if both decided on it. If an
    affected tenant has ever had Lockbox on, the link is only announced now. It is made after a second human has
    confirmed it and the waiting time is over.
    """

    def find(current: Step, row_id: object) -> tuple[Person, ...]:
        return _locked(current, row_id, other_id)

    def state(current: Step) -> None:
        person, other = current.row
        if person.human_id == other.human_id:
            words = _("%(name)s and %(other)s count as one human already.")
            raise WrongState(words % {"name": person.name, "other": other.name})

    def announces(current: Step) -> tuple[Change, Terms]:
        return LINK_ACCOUNTS_ANNOUNCED, _link_terms(*current.row)

    with perform(LINK_ACCOUNTS, person_id, actor=actor, find=find, state=state, announces=announces) as current:
        _link(current, *current.row)
    return _account(person_id)


def _locked(current: Step, *ids: object) -> tuple[Person, ...]:
    """Return these accounts, after locking every account of their humans. The locks come before the turn at the log."""
    found = [_shown(current.actor, pk) for pk in ids]
    lock_humans(*(person.human_id for person in found))
    before = frozenset(person.human_id for person in found)
    current.concerns("person", found[0], PROVIDER_LOG, parties={Party.SUBJECT: before})
    people = tuple(_account(pk) for pk in ids)
    # The humans of these accounts may have changed while this act waited for its turn.
    now = frozenset(person.human_id for person in people)
    current.subject = policy.Subject(log_id=PROVIDER_LOG, parties={Party.SUBJECT: now})
    return people


def _link(current: Step, person: Person, other: Person) -> None:
    logs = logs_of(person.human_id, other.human_id)
    detail = {**_described(person), "other": str(other.pk), "other_name": other.name, "other_email": other.email}
    detail |= {"human": str(person.human_id), "human_before": str(other.human_id), "because": "staff"}
    witness_in(current, ACCOUNTS_LINKED, logs, detail=detail, text=f"{person.name} {other.name}")
    merge(current, person.human_id, other.human_id)


def _accounts_of(*humans: str) -> QuerySet[Person]:
    return Person.objects.get_queryset().humans().filter(human_id__in=humans)


def _are_providers(human: str) -> bool:
    return _accounts_of(human).filter(side=Person.Side.PROVIDER).exists()


def _tenants_of(people: QuerySet[Person]) -> list[UUID]:
    held = Membership.objects.filter(person__in=people).values("tenant")
    return list(Tenant.objects.ever_on().filter(pk__in=held).order_by("pk").values_list("pk", flat=True))


def _link_terms(person: Person, other: Person) -> Terms:
    """Return the terms of the link, which name one account of each human.

    If both humans have accounts of the provider, the terms name these. Every tenant then gets the terms, and
    must not learn the names of another tenant's people.
    """
    pair = [person, other]
    if all(_are_providers(str(one.human_id)) for one in pair):
        provider = Person.Side.PROVIDER
        pair = [
            one if one.side == provider else _accounts_of(str(one.human_id)).filter(side=provider)[0] for one in pair
        ]
    first, second = pair
    terms = {"person": str(first.pk), "name": first.name, "human": str(first.human_id)}
    return {**terms, "other": str(second.pk), "other_name": second.name, "other_human": str(second.human_id)}


def _touched_by_linking(terms: Terms) -> list[UUID]:
    """Of the tenants that have ever had Lockbox on, return those that the link affects.

    If both accounts belong to the provider, return all of them. Otherwise return those in which one of the two
    humans has a role.
    """
    people = Person.objects.get_queryset().filter(pk__in=[terms["person"], terms["other"]])
    if all(person.side == Person.Side.PROVIDER for person in people):
        return everybody()
    return _tenants_of(_accounts_of(terms["human"], terms["other_human"]))


def _lock(terms: Terms) -> None:
    lock_humans(*(UUID(terms[name]) for name in ("human", "other_human") if name in terms))


@announced(LINK_ACCOUNTS_ANNOUNCED, touches=_touched_by_linking, lock=_lock)
def _link_agreed(current: Step, terms: Terms) -> None:
    person, other = _account(terms["person"]), _account(terms["other"])
    if (str(person.human_id), str(other.human_id)) != (terms["human"], terms["other_human"]):
        raise WrongState(
            _("These accounts were linked or unlinked after the proposal was made. Propose the change again.")
        )
    current.subject_type, current.subject_id = "person", str(person.pk)
    _link(current, person, other)


def unlink_accounts(person_id: object, *, actor: Actor) -> Person:
    """Separate an account that staff linked by mistake: the account counts as a human of its own again.

    Earlier decisions do not change. An access request that this account submitted and that has not ended counts for the
    new human.
    """

    def state(current: Step) -> None:
        [person] = current.row
        if not Person.objects.get_queryset().filter(human_id=person.human_id).exclude(pk=person.pk).exists():
            raise WrongState(_("%(name)s is linked to no other account.") % {"name": person.name})

    def announces(current: Step) -> tuple[Change, Terms]:
        [person] = current.row
        terms = {"person": str(person.pk), "name": person.name, "human": str(person.human_id)}
        return UNLINK_ACCOUNTS_ANNOUNCED, terms

    with perform(UNLINK_ACCOUNTS, person_id, actor=actor, find=_locked, state=state, announces=announces) as current:
        person: Person = current.row[0]
        _unlink(current, person)
    return person


def _unlink(current: Step, person: Person) -> None:
    before, logs = person.human_id, logs_of(person.human_id)
    detail = {**_described(person), "human_before": str(before), "human": str(part(person))}
    witness_in(current, ACCOUNTS_UNLINKED, logs, detail=detail, text=person.name)


def _touched_by_parting(terms: Terms) -> list[UUID]:
    """Of the tenants that have ever had Lockbox on, return those that unlinking affects.

    For an account of the provider, return all of them. For another account, return those in which it has a
    role.
    """
    people = Person.objects.get_queryset().filter(pk=terms["person"])
    return everybody() if people.filter(side=Person.Side.PROVIDER).exists() else _tenants_of(people)


def _stands_in(terms: Terms, at: datetime) -> bool:
    """Return whether the accounts must stay linked for now, because an access request has not ended.

    They must if the human has submitted this access request, or if another account of the human has decided on it.
    After unlinking, one of the accounts could decide on what the other one asked for or decided on. Decisions
    of the account itself do not matter, because they count for both humans.
    """
    human = Q(decider_human=terms["human"]) | Q(decider__human_id=terms["human"])
    others = Decision.objects.filter(human).exclude(decider=terms["person"])
    is_theirs = Q(requester_human=terms["human"]) | Q(pk__in=others.values("access_request"))
    return AccessRequest.objects.under_way(at).filter(is_theirs).exists()


@announced(UNLINK_ACCOUNTS_ANNOUNCED, touches=_touched_by_parting, lock=_lock, waits=_stands_in)
def _unlink_agreed(current: Step, terms: Terms) -> None:
    person = _account(terms["person"])
    if str(person.human_id) != terms["human"]:
        raise WrongState(
            _("These accounts were linked or unlinked after the proposal was made. Propose the change again.")
        )
    current.subject_type, current.subject_id = "person", str(person.pk)
    _unlink(current, person)


def _account(person_id: object) -> Person:
    # The account of a client belongs to no human.
    person = Person.objects.get_queryset().humans().filter(pk=key(person_id)).first()
    if person is None:
        raise NotFound
    return person


def _shown(actor: Actor, person_id: object) -> Person:
    """Return the account. Raise NotFound if the actor may not see it.

    A customer's people may see the accounts of the provider, and those of their own tenants.
    """
    person = _account(person_id)
    is_shown = actor.side is not Side.CUSTOMER or person.side == Person.Side.PROVIDER
    if not (is_shown or person.memberships.filter(tenant__in=actor.tenant_ids).exists()):
        raise NotFound
    return person


def _described(person: Person) -> dict[str, str]:
    return {"person": str(person.pk), "name": person.name, "email": person.email}
