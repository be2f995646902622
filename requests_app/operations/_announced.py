"""Announced changes: changes that staff make and that reduce a customer's protection.

Such a change waits until a second human has confirmed it and the waiting time is over. An operation calls `announce`
after it has judged the actor and before it writes. The decorator `announced` registers the function that makes the
change, under the name of the proposal. `apply_proposal` calls this function when the change is due.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.utils.translation import gettext as _

from audit_app import canonical, recorder
from requests_app.domain import limits, policy
from requests_app.domain.actors import Actor, Machine, Side
from requests_app.domain.acts.declaration import Event
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.proposals import PROPOSAL_CONFIRMED, PROPOSAL_MADE
from requests_app.domain.errors import ChangeProposed, DomainError, NotAllowed, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Client, HeldRow, Person, Proposal, StaffTerm, Tenant
from requests_app.operations._change import Held, Step
from requests_app.queries import callers, second_person
from requests_app.words import times

Terms = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """What one step of a change of many rows makes.

    `logs` are the only tenants that the step affects. None means that it can affect every tenant.
    """

    rows: tuple[int, ...] = ()
    logs: frozenset[UUID] | None = None


@dataclass(frozen=True)
class Announced:
    """The functions that belong to one kind of announced change.

    `run` makes the change. `touches` returns the tenants whose protection the change would reduce now. `lock` locks the
    rows that `run` changes, and is called before the proposal is locked. `waits` returns whether the change would
    affect an access request that has not ended. If it would, the change takes effect later. `lapses` is called if the
    change did not take effect.

    A change of many rows is announced and made in several steps, and other acts go on in between. Instead of `lock` it
    has `choose`, which chooses the rows of the next step and locks what they change. If it chooses no row, the whole
    change is made. `all_informed` returns whether all rows are announced. `uninformed` returns the tenants that one of
    the rows affects now, and that have got no message about this row. `tell_late` then writes the entries about these
    rows.
    """

    run: Callable[[Step, Terms], None]
    touches: Callable[[Terms], Iterable[UUID]]
    lock: Callable[[Terms], None] | None = None
    waits: Callable[[Terms, datetime], bool] | None = None
    choose: Callable[[Terms], Part] | None = None
    all_informed: Callable[[Terms], bool] | None = None
    uninformed: Callable[[Terms], set[UUID]] | None = None
    tell_late: Callable[[Step, Proposal, set[UUID]], None] | None = None
    lapses: Callable[[Terms], None] | None = None


ANNOUNCED: dict[str, Announced] = {}


def everybody(terms: Terms | None = None) -> list[UUID]:
    """Return every tenant that has Lockbox on now, or has ever had it on."""
    return list(Tenant.objects.ever_on().order_by("pk").values_list("pk", flat=True))


def announced(
    change: Change,
    *,
    touches: Callable[[Terms], Iterable[UUID]] = everybody,
    lock: Callable[[Terms], None] | None = None,
    waits: Callable[[Terms, datetime], bool] | None = None,
    choose: Callable[[Terms], Part] | None = None,
    all_informed: Callable[[Terms], bool] | None = None,
    uninformed: Callable[[Terms], set[UUID]] | None = None,
    tell_late: Callable[[Step, Proposal, set[UUID]], None] | None = None,
    lapses: Callable[[Terms], None] | None = None,
) -> Callable[[Callable[[Step, Terms], None]], Callable[[Step, Terms], None]]:
    def register(body: Callable[[Step, Terms], None]) -> Callable[[Step, Terms], None]:
        ANNOUNCED[change.name] = Announced(
            body, touches, lock, waits, choose, all_informed, uninformed, tell_late, lapses
        )
        return body

    return register


def announce(current: Step, change: Change, terms: Terms) -> None:
    """End the act and write a proposal instead, if the change must be announced.

    It must be if it reduces the protection of a tenant that has ever had Lockbox on. `terms` is stored
    unchanged and shown to people. It contains ids as text, and the names that people read.
    """
    if is_announced(change, terms):
        current.require_proof()
        raise Held(lambda: _outcome(propose(current, change, terms)))


def is_announced(change: Change, terms: Terms) -> bool:
    return bool(list(ANNOUNCED[change.name].touches(terms)))


def propose(current: Step, change: Change, terms: Terms) -> Proposal:
    """Write the proposal with its entries and its mails.

    If nobody else could confirm the proposal, the waiting time begins now.
    """
    policy.require_staff(current.actor)
    by = proposer_of(current.actor)
    policy.require_step_up(current.actor, current.at)
    if Proposal.objects.of_staff().pending(current.at).filter(act=change.name, said=terms).exists():
        raise WrongState(_("This change is already proposed."))
    held = HeldRow.objects.open(current.at).filter(digest=digest(change.name, terms))
    if held.filter(of__proposal=None).exists():
        words = _(
            "An import holds this change, and nobody has proposed it yet. Open the import, and propose its changes."
        )
        raise WrongState(words)
    if held.exists():
        raise WrongState(_("An import has already proposed this change."))
    return write(current, change, terms, by=by)


def digest(act: str, terms: Terms) -> str:
    """Return the hash by which the same change is found again, alone or in an import."""
    return hashlib.sha256(canonical.encode({"act": act, "terms": terms})).hexdigest()


def write(
    current: Step,
    change: Change,
    terms: Terms,
    *,
    by: Proposer,
    is_agreed: bool = False,
    only: Collection[UUID] | None = None,
) -> Proposal:
    """Write the proposal. The caller has judged the right to propose.

    With `is_agreed`, two people have agreed before on what it follows from. Then the waiting time begins now. With
    `only`, announce it only to these tenants. `announce_to` then announces it to the others.
    """
    assert change.follows or not is_agreed
    waits_for_second = not is_agreed and has_second(by.person.human_id, current.at)
    row = Proposal.objects.create(
        tenant=None,
        act=change.name,
        said=terms,
        proposed_by=by.person,
        proposed_human=by.person.human_id,
        proposed_through=by.client.account if by.client else None,
        maker_human=by.client.created_by.human_id if by.client else None,
        proposed_at=current.at,
        expires_at=current.at + limits.PROPOSAL_FOR,
        effective_at=None if waits_for_second else current.at + limits.staff_change_wait(),
    )
    witness(current, row, PROPOSAL_MADE, only=only)
    tell(current, row, "made", only=only)
    # Nobody confirms a role through a group, but colleagues must see it in time to withdraw it.
    if only is None and (row.effective_at is None or row.is_through_group):
        current.tell(ask_second(row, "made"))
    return row


def ask_second(row: Proposal, what: str) -> Note:
    """Return the message to the staff who can confirm the proposal, or withdraw a role through a group.

    `what` is "made", or "ends" before it lapses.
    """
    audiences = (Audience.SECOND_STAFF,)
    return Note(
        topic=Topic.SECOND_PERSON, tenant_id=None, about=row.pk, audiences=audiences, mark=what, extra={"what": what}
    )


def announce_to(current: Step, row: Proposal, tenants: set[UUID]) -> None:
    """Announce a proposal to more tenants. Each of them gets the whole waiting time, if it has begun already."""
    if row.effective_at is not None:
        row.effective_at = max(row.effective_at, current.at + limits.staff_change_wait())
        row.save(update_fields=["effective_at"])
    witness(current, row, PROPOSAL_MADE, only=tenants, is_in_own_log=False)
    tell(current, row, "made", by=row.proposer.name, only=tenants)


def all_informed(row: Proposal) -> bool:
    """Return whether the proposal is announced to all tenants that it affected when it was made."""
    judge = ANNOUNCED[row.act].all_informed
    return judge is None or judge(row.said)


class Proposer(NamedTuple):
    """The person who proposes. With `client`, the person holds the secret of this client, which makes the proposal."""

    person: Person
    client: Client | None = None


def actor_of_client(account: Person, *, door: str) -> Actor:
    """Return the client of the provider with this account, as an actor. Raise NotAllowed if it was removed."""
    client = Client.objects.filter(account=account, account__is_active=True, tenant=None).first()
    if client is None:
        raise NotAllowed
    machine = Machine(client_id=client.pk, account_id=account.pk, name=account.name)
    return Actor(side=Side.PROVIDER, door=door, name=account.name, person_id=account.pk, machine=machine)


def proposer_of(actor: Actor) -> Proposer:
    """Return who proposes. Raise NotAllowed if no human of the staff answers for it.

    Every act of a client that provisions is judged with this too.
    """
    if actor.machine is None:
        return Proposer(Person.objects.get(pk=actor.person))
    client, reader = callers.answered_for(actor)
    return Proposer(reader, client)


def has_second(human: UUID, at: datetime) -> bool:
    """Return whether there is a second human who could confirm a proposal of this human.

    Everybody counts who is staff now, or was staff at any time during the last waiting time. A person whose account is
    switched off now counts too.
    """
    terms = StaffTerm.objects.since(at - limits.staff_change_wait())
    others = Person.objects.get_queryset().humans().filter(is_staff=True, is_active=True).exclude(human_id=human)
    return terms.exclude(human_id=human, person__human_id=human).exists() or others.exists()


def require_established(person: Person, at: datetime) -> None:
    """Raise NotAllowed unless the person has been staff for long enough to propose or confirm a change.

    Without this rule, a member of staff could make a second account, or take one over, and use it to confirm their own
    proposal. For the same reason, the person must have shown that they read their mailbox.
    """
    require_proven(person)
    if second_person.is_established(person, at):
        return
    words = _(
        "%(name)s has not been staff for long enough. Two people who have been staff for at least %(time)s "
        "must agree on this change."
    )
    raise NotAllowed(words % {"name": person.name, "time": _wait_words()})


def require_proven(person: Person) -> None:
    """Raise NotAllowed if a copied link is all that this person has shown, and a tenant depends on who they are."""
    if not second_person.is_proven(person):
        words = _(
            "%(name)s accepted an invitation whose link was copied, so nobody knows who reads this address. First, "
            "%(name)s must ask for a new password on the sign-in page, and open the link in the mail."
        )
        raise NotAllowed(words % {"name": person.name})


def uninformed(row: Proposal) -> set[UUID]:
    """Return the tenants that the change would affect now, but that have got no message about it yet."""
    change = ANNOUNCED[row.act]
    if not all_informed(row):
        return set()
    found = {*change.touches(row.said)} - {*row.touched.values_list("pk", flat=True)}
    return found if change.uninformed is None else found | change.uninformed(row.said)


def tell_late(current: Step, row: Proposal, tenants: set[UUID]) -> None:
    """Send the message to tenants that the change did not affect when it was announced. Start the waiting time again.

    For example, such a tenant has switched Lockbox on for the first time since then.
    """
    if row.effective_at is not None:
        row.effective_at = max(row.effective_at, current.at + limits.staff_change_wait())
        row.save(update_fields=["effective_at"])
    event = PROPOSAL_MADE if row.confirmed_by is None else PROPOSAL_CONFIRMED
    witness(current, row, event, only=tenants, told_late=True)
    if (tell_rows := ANNOUNCED[row.act].tell_late) is not None:
        tell_rows(current, row, tenants)
    by = row.confirmed_by or row.proposer
    tell(current, row, "made" if row.confirmed_by is None else "confirmed", by=by.name, only=tenants)


def witness(
    current: Step,
    row: Proposal,
    event: str,
    *,
    only: Iterable[UUID] | None = None,
    is_in_own_log: bool = True,
    **more: Any,
) -> None:
    """Write the same entry in the provider's log and in the log of each affected tenant. Store which tenants these are.

    With `only`, write the entry in the provider's log and in the logs of the tenants in `only`. Without
    `is_in_own_log`, the provider's log has the entry already.
    """
    touched = [*row.touched.values_list("pk", flat=True), *ANNOUNCED[row.act].touches(row.said)]
    tenants = sorted(set(touched if only is None else only))
    row.touched.add(*Tenant.objects.filter(pk__in=tenants))
    detail = {"proposal": str(row.pk), "act": row.act, "said": row.shown, "proposed_by": row.proposer.name, **more}
    if row.proposed_through is not None:
        detail["holder"] = row.proposed_by.name
    if row.effective_at is not None:
        detail["effective_at"] = canonical.instant(row.effective_at)
    entry = replace(current.entry(event, detail=detail), subject_type="proposal", subject_id=str(row.pk))
    logs = [PROVIDER_LOG, *tenants] if is_in_own_log else tenants
    recorder.record([replace(entry, tenant_id=log) for log in logs], at=current.at)


def tell(current: Step, row: Proposal, what: str, *, by: str = "", only: Iterable[UUID] | None = None) -> None:
    """Send a mail to the deciders and administrators of each affected tenant.

    With `only`, send it only to those of the tenants in `only`. The recipients are read from the database when the mail
    is sent.
    """
    mark = uuid4().hex
    extra = {"what": what, "by": by or current.actor.name}
    deciders = (Audience.CUSTOMER, Audience.ADMINISTRATORS)
    for number, tenant in enumerate(sorted(row.touched.values_list("pk", flat=True) if only is None else only)):
        note = Note(topic=Topic.STAFF_CHANGE, tenant_id=tenant, about=row.pk, audiences=deciders, extra=extra)
        current.tell(replace(note, mark=f"{mark}-{number}"))


def end(row: Proposal, current: Step, outcome: str, event: Event, what: str, **more: Any) -> None:
    """End the proposal, with its entries and its mails. Tenants that have not heard of it yet never do."""
    only = None if all_informed(row) else list(row.touched.values_list("pk", flat=True))
    row.ended_at, row.outcome = current.at, outcome
    row.save(update_fields=["ended_at", "outcome"])
    confirmed_by = row.confirmed_by.name if row.confirmed_by else ""
    witness(current, row, event, only=only, confirmed_by=confirmed_by, **more)
    tell(current, row, what)


def _wait_words() -> str:
    return times.duration_words(limits.staff_change_wait().total_seconds())


def _outcome(row: Proposal) -> DomainError:
    if row.is_alone:
        words = _(
            "Your change is proposed, and the affected customers get a mail now. In the last %(time)s, "
            "you were the only member of the staff, so no second person has to confirm the change. The change "
            "takes effect in %(time)s."
        )
    else:
        words = _(
            "Your change is proposed, and the affected customers get a mail now. Another member of the staff must "
            "confirm the change within 7 days. The change takes effect %(time)s after the confirmation."
        )
    return ChangeProposed(words % {"time": _wait_words()}, current={"proposal": str(row.pk)})
