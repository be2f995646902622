"""Gives and takes the roles that come through groups of the provider's directory.

A role through a group needs no second person if two people agreed before on the mapping, and on the client. It is
announced to the customers, and takes effect after the waiting time. While no customer has ever had Lockbox on, it takes
effect at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from requests_app.domain.acts.installation import GIVE_QUEUE_ROLE_ANNOUNCED
from requests_app.domain.acts.proposals import PROPOSAL_LAPSED, PROPOSAL_WITHDRAWN
from requests_app.domain.acts.provider_directory import GIVE_GROUP_ROLE_ANNOUNCED
from requests_app.domain.errors import NotAllowed, WrongState
from requests_app.domain.scopes import Scope
from requests_app.models import (
    AccessRequest,
    Client,
    GroupMember,
    GroupRole,
    HeldRow,
    Invitation,
    Person,
    Proposal,
    QueueAssignment,
    Service,
    Tenant,
)
from requests_app.operations import _announced
from requests_app.operations._announced import (
    Proposer,
    Terms,
    announced,
    is_announced,
    proposer_of,
    require_established,
)
from requests_app.operations._change import Step, lock_access
from requests_app.operations._people import assign_to_queue, take_from_queue
from requests_app.queries import callers


def lock_people(ids: Iterable[UUID]) -> list[Person]:
    """Lock these people, the access that may end with their roles, and their roles that wait. Return the people.

    Call this before the act takes its turn at the log.
    """
    rows = Person.objects.get_queryset().humans().filter(side=Person.Side.PROVIDER, pk__in=set(ids))
    people = list(rows.order_by("pk").select_for_update(no_key=True))
    lock_access(AccessRequest.objects.filter(requested_by__in=[person.pk for person in people]))
    lock_waiting(person.pk for person in people)
    return people


def lock_waiting(ids: Iterable[UUID]) -> None:
    """Lock the roles through groups that wait for these people. The caller has locked the people."""
    waiting = Proposal.objects.through_groups().filter(said__person__in=[str(pk) for pk in ids])
    list(waiting.order_by("pk").locked())


def has_waiting(person: Person, at: datetime) -> bool:
    """Return whether a change that gives this person power waits: through a group, by staff, or in an import."""
    # An invitation's role is proposed with the address, and the account that accepted it gets the role.
    pk, email = str(person.pk), person.email
    if HeldRow.objects.open(at).filter(Q(terms__person=pk) | Q(terms__email=email)).exists():
        return True
    invited = Invitation.objects.filter(accepted_by=person).exclude(proposal=None).values("proposal")
    is_theirs = Q(said__person=pk) | Q(said__other=pk) | Q(said__email=email)
    return Proposal.objects.of_staff().filter(is_theirs | Q(pk__in=invited), ended_at=None).exists()


def offer(current: Step, person: Person, mapping: GroupRole, *, by: Proposer | None = None) -> None:
    """Give the person the role of this mapping, or announce it. Do nothing if they have it, or if it waits already.

    An account that is switched off gets nothing: its roles are offered when it is switched on. A role that staff
    withdrew is not offered again, until the directory has taken the person out and put them in again. `by` is the
    client that asks now. Without it, the client that put the person into the group answers for the role.
    """
    if not person.is_active or _held(person, mapping).exists() or _is_refused(person, mapping):
        return
    if waiting_for(person, mapping.service, mapping.role) is not None:
        return
    terms = _terms(person, mapping)
    if _is_proposed_by_staff(terms, current.at):
        # The customers have heard of this role. If staff withdraw it, the directory offers it again.
        _lapsed(terms)
        return
    if not is_announced(GIVE_GROUP_ROLE_ANNOUNCED, terms):
        assign_to_queue(current, mapping.service, person, mapping.role, through_group=mapping.group.name)
        return
    try:
        proposer = by or _answerable(person, mapping, current.at)
    except NotAllowed:
        _lapsed(terms)
        return
    if uses(proposer, person, current.at):
        _lapsed(terms)
        return
    _announced.write(current, GIVE_GROUP_ROLE_ANNOUNCED, terms, by=proposer, is_agreed=_is_agreed(mapping, proposer))


def waiting_for(person: Person, service: Service, role: str) -> Proposal | None:
    """Return the proposal with which a group gives the person this role, if one waits."""
    return _waiting(person).filter(said__role=role, said__service=str(service.pk)).first()


def _is_proposed_by_staff(terms: Terms, at: datetime) -> bool:
    """Return whether staff have proposed this role for this person, alone or in an import."""
    same = {name: terms[name] for name in ("person", "role", "service")}
    act = GIVE_QUEUE_ROLE_ANNOUNCED.name
    alone = (
        Proposal.objects.of_staff()
        .pending(at)
        .filter(act=act, **{f"said__{name}": each for name, each in same.items()})
    )
    held = HeldRow.objects.open(at).filter(act=act, **{f"terms__{name}": each for name, each in same.items()})
    return alone.exists() or held.exists()


def retract(current: Step, person: Person, mapping: GroupRole) -> None:
    """Take the role of this mapping away at once, unless the person has it by another way too.

    Call this after the mapping or the membership is removed. A role that waits is withdrawn. If another group of the
    person gives the same role, the role stays, or waits again.
    """
    others = GroupRole.objects.filter(service=mapping.service_id, role=mapping.role, group__members__person=person)
    other = others.select_related("group", "service").exclude(pk=mapping.pk).first()
    was_waiting = False
    for row in _waiting(person).filter(said__mapping=str(mapping.pk)):
        withdraw(current, row)
        was_waiting = True
    if other is None:
        for held in _held(person, mapping).filter(is_through_group=True).select_related("person", "service"):
            take_from_queue(current, held)
    elif was_waiting:
        offer(current, person, other)


def withdraw_waiting(current: Step, person: Person) -> None:
    """Withdraw every role through a group that waits for this person, because staff switch the account off."""
    for row in _waiting(person):
        withdraw(current, row)


def lapse_waiting(current: Step, person: Person) -> None:
    """End every role through a group that waits, because the directory switches the account off.

    Nobody has said no, so the roles are offered when the directory switches the account on again.
    """
    for row in _waiting(person):
        _announced.end(row, current, Proposal.Outcome.LAPSED, PROPOSAL_LAPSED, "lapsed", reason="person_switched_off")


def withdraw(current: Step, row: Proposal) -> None:
    _announced.end(row, current, Proposal.Outcome.WITHDRAWN, PROPOSAL_WITHDRAWN, "withdrawn")


def giving(current: Step) -> Proposer:
    """Return who answers for the roles that the client offers. Raise NotAllowed if one of them is new to the staff."""
    return _established(proposer_of(current.actor), current.at)


def uses(by: Proposer, person: Person, at: datetime) -> bool:
    """Return whether the person could use the client. Nobody gives a role to themselves through a group."""
    assert by.client is not None
    return person.human_id in {by.person.human_id, *callers.humans_of(by.client, at)}


def require_no_user(by: Proposer, people: Iterable[Person], at: datetime) -> None:
    """Raise NotAllowed if a role of one of these people must be announced, and this person could use the client."""
    if not _announced.everybody():
        return
    for person in people:
        if uses(by, person, at):
            words = _(
                "%(name)s made this API client, holds its secret, or read its token, and can’t get a role through it. "
                "A member of the staff can give the role, and another one confirms it."
            )
            raise NotAllowed(words % {"name": person.name})


def offer_all(current: Step, person: Person) -> None:
    """Offer the person every role that their groups give, except to somebody who could use the client.

    If somebody who could use the client is new to the staff, offer nothing. The roles are offered when the directory
    changes the group with a client that is valid.
    """
    try:
        by = giving(current)
    except NotAllowed:
        person.directory_groups.update(has_lapsed=True)
        return
    mappings = GroupRole.objects.filter(group__members__person=person).select_related("group", "service")
    for mapping in mappings.order_by("made_at", "pk"):
        offer(current, person, mapping, by=by)


# --- Helpers -------------------------------------------------------------------------------------------


def _waiting(person: Person) -> QuerySet[Proposal]:
    rows: QuerySet[Proposal] = Proposal.objects.through_groups().filter(said__person=str(person.pk))
    return rows.select_related("proposed_by", "proposed_through", "confirmed_by")


def _is_refused(person: Person, mapping: GroupRole) -> bool:
    """Return whether staff withdrew this role since the directory put the person into a group that gives it."""
    withdrawn = Proposal.objects.of_staff().filter(act=GIVE_GROUP_ROLE_ANNOUNCED.name, said__person=str(person.pk))
    withdrawn = withdrawn.filter(outcome=Proposal.Outcome.WITHDRAWN)
    alike = {"group__roles__service": mapping.service_id, "group__roles__role": mapping.role}
    members = GroupMember.objects.filter(person=person, **alike).values_list("group__roles", "since")
    since = {str(pk): at for pk, at in members}
    rows = withdrawn.filter(said__mapping__in=list(since)).values_list("said__mapping", "proposed_at")
    return any(proposed_at >= since[pk] for pk, proposed_at in rows)


def _held(person: Person, mapping: GroupRole) -> QuerySet[QueueAssignment]:
    return QueueAssignment.objects.filter(person=person, service=mapping.service_id, role=mapping.role)


def _is_agreed(mapping: GroupRole, by: Proposer) -> bool:
    """Return whether two people agreed on the mapping and on what the client may do.

    One human alone could make both until the first tenant switched Lockbox on. What has been made since was announced.
    """
    assert by.client is not None
    first = Tenant.objects.all().first_on_at()
    # No client gets the scope later, because such a client has no other scope.
    return first is not None and min(mapping.made_at, by.client.created_at) > first


def _terms(person: Person, mapping: GroupRole) -> Terms:
    terms = {"person": str(person.pk), "name": person.name, "role": mapping.role}
    terms |= {"service": str(mapping.service_id), "service_name": mapping.service.name}
    return {**terms, "mapping": str(mapping.pk), "group": mapping.group.name}


def _answerable(person: Person, mapping: GroupRole, at: datetime) -> Proposer:
    member = GroupMember.objects.get(person=person, group=mapping.group_id)
    client = Client.objects.live().filter(account=member.through_id).first()
    if client is None or Scope.MEMBERS_PROVISION not in client.scopes:
        raise NotAllowed
    client, reader = callers.answered_through(client.pk)
    return _established(Proposer(reader, client), at)


def _established(by: Proposer, at: datetime) -> Proposer:
    """Return `by`. Raise NotAllowed if a human who could use the client has not been staff for long enough."""
    assert by.client is not None
    for person in filter(None, (by.person, by.client.created_by, by.client.holder)):
        require_established(person, at)
    return by


def _lock(terms: Terms) -> None:
    list(Person.objects.get_queryset().select_for_update(no_key=True).filter(pk=terms["person"]))


def _member(terms: Terms) -> QuerySet[GroupMember]:
    is_theirs = Q(person=terms["person"], group__roles=terms["mapping"])
    return GroupMember.objects.filter(is_theirs)


def _lapsed(terms: Terms) -> None:
    """Note that the role could not take effect, so that it is offered again when the directory changes the group."""
    for member in _member(terms):
        member.has_lapsed = True
        member.save(update_fields=["has_lapsed"])


@announced(GIVE_GROUP_ROLE_ANNOUNCED, lock=_lock, lapses=_lapsed)
def _give_group_role_agreed(current: Step, terms: Terms) -> None:
    """Give the role, if the mapping, the membership, the person and the client are still valid."""
    proposal = Proposal.objects.select_related("proposed_through__client").get(pk=current.confirmed)
    mapping = GroupRole.objects.select_related("group", "service").filter(pk=terms["mapping"]).first()
    person = Person.objects.active().humans().filter(pk=terms["person"], side=Person.Side.PROVIDER).first()
    client = proposal.proposed_through.client if proposal.proposed_through else None
    if client is None or Scope.MEMBERS_PROVISION not in client.scopes:
        raise WrongState(_("The API client of the directory can no longer manage people."))
    by = Proposer(proposal.proposed_by, callers.answered_through(client.pk)[0])
    if mapping is None or person is None or not _member(terms).exists():
        raise WrongState(_("The directory’s group no longer gives this role."))
    _announced.require_proven(person)
    require_no_user(by, [person], current.at)
    if _held(person, mapping).exists():
        raise WrongState(_("%(name)s has this role already.") % {"name": person.name})
    current.subject_type, current.subject_id = "person", str(person.pk)
    assign_to_queue(current, mapping.service, person, mapping.role, through_group=mapping.group.name)
