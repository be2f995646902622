"""Accounts of one human: linked they count as one everywhere, whichever roles each of them holds."""

from __future__ import annotations

from django.utils.translation import gettext as _

from requests_app import policy
from requests_app.actors import Actor
from requests_app.errors import NotAllowed, NotFound, WrongState
from requests_app.events import PROVIDER_LOG, Event
from requests_app.models import Person
from requests_app.operations._change import Act, act
from requests_app.operations._humans import lock_humans, logs_of, merge, part, witness_in
from requests_app.operations._people import key


def link_accounts(person_id: object, other_id: object, *, actor: Actor) -> Person:
    """Staff say that two accounts are one human's; everything that compares people takes them for one from then on.

    An access request under way on which they stood as two ends: asked for by one and decided by the other, or decided
    by both.
    """
    with act("link_accounts", actor=actor) as current:
        policy.require_staff(current.actor)
        person, other = _account(person_id), _account(other_id)
        lock_humans(person.human_id, other.human_id)
        current.concerns("person", person, PROVIDER_LOG)
        person, other = _account(person_id), _account(other_id)
        _require_not_own(current, person, other)
        if person.human_id == other.human_id:
            words = _("%(name)s and %(other)s count as one already.")
            raise WrongState(words % {"name": person.name, "other": other.name})
        policy.require_step_up(current.actor, current.at)
        logs = logs_of(person.human_id, other.human_id)
        said = {**_described(person), "other": str(other.pk), "other_name": other.name, "other_email": other.email}
        said |= {"human": str(person.human_id), "human_before": str(other.human_id), "because": "staff"}
        witness_in(current, Event.ACCOUNTS_LINKED, logs, detail=said, text=f"{person.name} {other.name}")
        merge(current, person.human_id, other.human_id)
    return _account(person_id)


def unlink_accounts(person_id: object, *, actor: Actor) -> Person:
    """Staff say that an account was linked by mistake: it counts as somebody of its own again.

    Decisions that were taken stay as they are; what it asked for itself and is under way follows it.
    """
    with act("unlink_accounts", actor=actor) as current:
        policy.require_staff(current.actor)
        person = _account(person_id)
        lock_humans(person.human_id)
        current.concerns("person", person, PROVIDER_LOG)
        person = _account(person_id)
        _require_not_own(current, person)
        if not Person.objects.get_queryset().filter(human_id=person.human_id).exclude(pk=person.pk).exists():
            raise WrongState(_("%(name)s is linked to no other account.") % {"name": person.name})
        policy.require_step_up(current.actor, current.at)
        before, logs = person.human_id, logs_of(person.human_id)
        said = {**_described(person), "human_before": str(before), "human": str(part(person))}
        witness_in(current, Event.ACCOUNTS_UNLINKED, logs, detail=said, text=person.name)
    return person


def _account(person_id: object) -> Person:
    # The account of a client is nobody's.
    person = Person.objects.get_queryset().humans().filter(pk=key(person_id)).first()
    if person is None:
        raise NotFound
    return person


def _require_not_own(current: Act, *people: Person) -> None:
    """Who one is, is for somebody else to say: otherwise one of the staff could make two of himself."""
    if current.actor.human_id in {person.human_id for person in people}:
        raise NotAllowed(_("This is your own account. Somebody else of the staff has to do it."))


def _described(person: Person) -> dict[str, str]:
    return {"person": str(person.pk), "name": person.name, "email": person.email}
