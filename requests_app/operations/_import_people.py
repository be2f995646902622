"""Judges and writes the rows of an import that are about the provider's people and their roles.

A person without an account is invited: the rows prepare the invitation, and a member of the staff sends it. What gives
a role waits like every other change that needs a second person. What takes one away is done immediately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.domain import clock
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import GIVE_QUEUE_ROLE_ANNOUNCED, MAKE_STAFF_ANNOUNCED
from requests_app.domain.acts.invitations import INVITE_STAFF_ANNOUNCED, INVITE_TO_QUEUES_ANNOUNCED
from requests_app.domain.acts.members import PERSON_CHANGED, SWITCH_ON_PROVIDER
from requests_app.domain.acts.provider_directory import GIVE_GROUP_ROLE_ANNOUNCED
from requests_app.domain.errors import NotAllowed, Unacceptable
from requests_app.domain.imports import PERSON, Row, some_of
from requests_app.models import AccessRequest, Invitation, Person, QueueAssignment, Service
from requests_app.operations import _group_roles as group_roles
from requests_app.operations._announced import Terms, is_announced, require_proven
from requests_app.operations._change import Step, lock_access
from requests_app.operations._import_judged import Judged, about, new_here, set_values
from requests_app.operations._import_world import Somebody, World
from requests_app.operations._invitations import (
    Standing,
    address_of,
    announcement_of,
    drop_queue,
    prepare,
    standing_of,
    waiting_change,
    withdraw,
)
from requests_app.operations._people import (
    assign_to_queue,
    begin_staff,
    described,
    switch_off,
    switch_on,
    take_from_queue,
)
from requests_app.platform import time_zones

_COLUMNS = {"person_name": "name", "person_time_zone": "time_zone"}


def judge_person(world: World, row: Row) -> Judged:
    """Compare a row with the person, or with the invitation, that has this address."""
    found, who = _somebody(world, row)
    if who is None:
        return found
    values = {name: value for name, value in row.values.items() if name != "email"}
    if "person_time_zone" in values:
        values["person_time_zone"] = time_zones.found(values["person_time_zone"]) or values["person_time_zone"]
    stated = new_here(found, who.stated, values)
    if stated.get("person_time_zone", "UTC") not in time_zones.names():
        found.fault("person_time_zone", "unknown_time_zone", value=stated["person_time_zone"])
    wanted = {_COLUMNS.get(name, name): value for name, value in stated.items()}
    if "name" in wanted:
        wanted["name"] = " ".join(wanted["name"].split())
    found.target, found.name = who, wanted.get("name") or who.name or who.email
    who.new_name = wanted.get("name", who.name)
    if found.faults:
        return found
    found.sets = {name: wanted[name] for name in _COLUMNS.values() if wanted.get(name, "") not in ("", who.get(name))}
    if who.person is not None:
        if "name" in found.sets:
            _require_same_name(found, who.person)
        _judge_account(world, found, who.person, wanted)
    else:
        _judge_invited(found, who, wanted)
    return found


def _somebody(world: World, row: Row) -> tuple[Judged, Somebody | None]:
    """Return the row, and the person that it is about. Refuse an address that is not one of the provider's people's."""
    found = Judged(row, name=row.values.get("email", ""))
    if "email" not in row.values:
        return found, None
    try:
        email = address_of(row.values["email"])
    except Unacceptable:
        found.fault("email", "not_an_address")
        return found, None
    # All rows about one person are written in one transaction. No short name of a tenant has this sign.
    found.slug = f"@{email}"
    who = world.somebody(email)
    person = who.person
    if person is not None and (person.side, person.kind) != (Person.Side.PROVIDER, Person.Kind.HUMAN):
        found.fault("email", "not_of_provider")
        return found, None
    return found, who


def _require_same_name(found: Judged, person: Person) -> None:
    """Refuse another name while people decide about this person by the present one."""
    at = clock.now()
    if group_roles.has_waiting(person, at):
        found.fault("person_name", "power_waits", name=person.name)
    elif AccessRequest.objects.under_way(at).filter(requested_by=person).exists():
        found.fault("person_name", "access_waits", name=person.name)


def _judge_account(world: World, found: Judged, person: Person, wanted: dict[str, Any]) -> None:
    named: Terms = {"person": str(person.pk), "name": found.name}
    is_on = wanted.get("person_active", person.is_active)
    if is_on and not person.is_active:
        has_role = person.is_staff or person.queue_assignments.exists()
        _now_or_held(found, SWITCH_ON_PROVIDER if has_role else None, named, "is_active")
    elif person.is_active and not is_on:
        if world.staff == {person.pk}:
            found.fault("person_active", "last_staff", name=person.name)
        else:
            found.sets["is_active"] = False
            world.staff.discard(person.pk)
    if wanted.get("staff") is False and person.is_staff and is_on:
        found.fault("staff", "stays_staff")
    elif wanted.get("staff") and not person.is_staff and not (is_on and _is_coming(found, person, str(Role.STAFF))):
        _require_able(found, "staff", person, is_on=is_on)
        _now_or_held(found, MAKE_STAFF_ANNOUNCED, named, "is_staff")


def _is_coming(found: Judged, person: Person, role: str, service: Service | None = None) -> bool:
    """If the person accepted an invitation whose role waits, let the row wait for the same change, and return True."""
    rows = Invitation.objects.filter(tenant=None, accepted_by=person, role=role).select_related("proposal")
    if service is not None:
        rows = rows.filter(services=service)
    for row in rows.order_by("created_at", "pk"):
        if standing_of(row, clock.now()) is Standing.WAITS:
            found.held.append(waiting_change(row))
            return True
    return False


def _now_or_held(found: Judged, change: Change | None, terms: Terms, name: str) -> None:
    if change is not None and is_announced(change, terms):
        found.held.append((change, terms))
    else:
        found.sets[name] = True


def _require_able(found: Judged, column: str, person: Person, *, is_on: bool) -> None:
    """Refuse a role for somebody who can't have one: the account is off, or nobody knows who reads its address."""
    if not is_on:
        found.fault(column, "is_off")
        return
    try:
        require_proven(person)
    except NotAllowed as refusal:
        found.fault(column, "refused_value", why=str(refusal.message))


def _judge_invited(found: Judged, who: Somebody, wanted: dict[str, Any]) -> None:
    """Judge a row about somebody who has no account: invited, or not there at all."""
    if wanted.get("person_active") is False:
        found.sets = {"is_active": False} if who.invitations else {}
        who.is_leaving = True
        return
    if not who.invitations:
        found.sets = {}
        if not (wanted.get("staff") or who.is_given_a_role):
            found.fault("", "needs_role")
    if wanted.get("staff") is False and who.is_staff:
        found.sets["is_staff"] = False
    elif wanted.get("staff"):
        _judge_offer(found, who, str(Role.STAFF), None)


def _judge_offer(found: Judged, who: Somebody, role: str, service: Service | None) -> None:
    """Judge a role for somebody who is invited, or is going to be."""
    offer = who.offer(role, service)
    if offer is None:
        found.is_new = True
        terms = {"email": who.email, "role": role, "queues": service.name if service is not None else ""}
        change = INVITE_STAFF_ANNOUNCED if service is None else INVITE_TO_QUEUES_ANNOUNCED
        if is_announced(change, terms):
            found.held.append((change, terms))
    elif standing_of(offer, clock.now()) is not Standing.GIVEN:
        found.held.append(announcement_of(offer))


@dataclass
class _Held:
    """A role that somebody has, as the report about a change shows it."""

    is_active: bool = True


def judge_role(world: World, row: Row) -> Judged:
    """Compare a row with the roles that the person has, or is invited to."""
    found, who = _somebody(world, row)
    values = row.values
    service = world.service(values.get("queue", ""))
    if "queue" in values and service is None:
        found.fault("queue", "unknown_service", value=values["queue"], known=some_of(world.services))
    if who is None or service is None or "role" not in values:
        return found
    role, found.target = values["role"], _Held()
    name = who.new_name or who.name or who.email
    whom = name if who.person is not None else _("%(name)s, who is invited") % {"name": name}
    found.name = f"{whom}: {QueueAssignment.Role(role).label}, {service.name}"
    is_repeated = (service.key, role) in who.stated_roles
    who.stated_roles.add((service.key, role))
    if values.get("taken"):
        found.sets["is_active"] = False
    elif is_repeated or found.faults or (who.is_leaving and who.person is None):
        pass
    elif service.key in world.waiting and service._state.adding:
        found.waits_for = service.name
    elif who.person is None:
        _judge_offer(found, who, role, service)
    elif not who.person.queue_assignments.filter(service=service, role=role).exists():
        _judge_new_role(found, who, who.person, service)
    return found


def _judge_new_role(found: Judged, who: Somebody, person: Person, service: Service) -> None:
    is_on, role = who.stated.get("person_active", (person.is_active, 0))[0], found.row.values["role"]
    if is_on and _is_coming(found, person, role, service):
        return
    if is_on and (coming := group_roles.waiting_for(person, service, role)) is not None:
        found.held.append((GIVE_GROUP_ROLE_ANNOUNCED, coming.said))
        return
    _require_able(found, "role", person, is_on=is_on)
    terms = {"person": str(person.pk), "name": who.new_name or who.name, "role": role}
    terms |= {"service": str(service.pk), "service_name": service.name}
    found.is_new = True
    if is_announced(GIVE_QUEUE_ROLE_ANNOUNCED, terms):
        found.held.append((GIVE_QUEUE_ROLE_ANNOUNCED, terms))


# --- Writing ------------------------------------------------------------------------------------------------------


def lock_people(rows: Sequence[Row]) -> None:
    """Lock the people that the rows name, and what ends with an account or a role."""
    emails = {row.values["email"].lower() for row in rows if "email" in row.values}
    if not emails:
        return
    people = list(Person.objects.get_queryset().select_for_update(no_key=True).filter(email__in=emails).order_by("pk"))
    ending = {row.values["email"].lower() for row in rows if _ends(row)}
    if leaving := [person.pk for person in people if person.email in ending]:
        lock_access(AccessRequest.objects.filter(requested_by__in=leaving))
        group_roles.lock_waiting(leaving)
    list(Invitation.objects.filter(tenant=None, email__in=emails).order_by("pk").locked())


def _ends(row: Row) -> bool:
    return bool(row.values.get("taken")) or row.values.get("person_active") is False


def write_people(current: Step, world: World, judged: Sequence[Judged]) -> list[recorder.Witnessed]:
    for each in judged:
        who: Somebody = each.target
        if who.person is not None and each.sets:
            with about(current, "person", who.person):
                _write_account(current, who.person, each.sets)
        elif who.person is None:
            _write_invited(current, who, each)
    return []


def _write_account(current: Step, person: Person, sets: dict[str, Any]) -> None:
    plain = {name: value for name, value in sets.items() if name in ("name", "time_zone")}
    if plain:
        detail = set_values(person, plain)
        person.save(update_fields=list(plain))
        current.witness(PERSON_CHANGED, detail={**described(person), **detail}, text=person.name)
    if "is_active" in sets:
        if not sets["is_active"]:
            group_roles.withdraw_waiting(current, person)
        (switch_on if sets["is_active"] else switch_off)(current, person, [])
    if sets.get("is_staff"):
        begin_staff(current, person)


def _write_invited(current: Step, who: Somebody, each: Judged) -> None:
    if each.sets.get("is_active") is False:
        for offer in who.invitations:
            withdraw(current, offer)
        return
    plain = {name: value for name, value in each.sets.items() if name in ("name", "time_zone")}
    if plain:
        for offer in who.invitations:
            detail = set_values(offer, plain)
            offer.save(update_fields=list(plain))
        with about(current, "invitation", who.invitations[0]):
            current.witness(PERSON_CHANGED, detail={"name": who.new_name, "email": who.email, **detail})
    if each.sets.get("is_staff") is False and (of_staff := who.offer(str(Role.STAFF), None)) is not None:
        drop_queue(current, of_staff, None)
    if each.is_new:
        _prepare(current, who, str(Role.STAFF), [each], [])


def write_roles(current: Step, world: World, judged: Sequence[Judged]) -> list[recorder.Witnessed]:
    offered: dict[tuple[str, str], list[tuple[Judged, Service]]] = {}
    for each in judged:
        values = each.row.values
        who, service = world.somebody(address_of(values["email"])), world.services.get(values["queue"])
        if service is None:
            continue
        if each.sets.get("is_active") is False:
            _take(current, who, service, values["role"])
        elif each.is_new and who.person is not None and not each.held:
            with about(current, "person", who.person):
                assign_to_queue(current, service, who.person, values["role"])
        elif each.is_new and who.person is None:
            offered.setdefault((who.email, values["role"]), []).append((each, service))
    for (email, role), rows in offered.items():
        _prepare(current, world.somebody(email), role, [each for each, _ in rows], [service for _, service in rows])
    return []


def _take(current: Step, who: Somebody, service: Service, role: str) -> None:
    if who.person is not None:
        with about(current, "person", who.person):
            take_from_queue(
                current, who.person.queue_assignments.select_related("person").get(service=service, role=role)
            )
    elif (offer := who.offer(role, service)) is not None:
        drop_queue(current, offer, service)


def _prepare(current: Step, who: Somebody, role: str, rows: list[Judged], services: list[Service]) -> None:
    """Prepare one invitation for these rows. If its role must be announced, the rows wait for that announcement."""
    invited = Invitation.objects.filter(tenant=None, email=who.email)
    for old in invited.prepared().order_by("created_at", "pk"):
        if old.is_too_old(current.at):
            withdraw(current, old)
    invited = invited.filter(beside=None)
    main = invited.expected(current.at).order_by("created_at", "pk").first()
    zone = who.stated.get("person_time_zone", (who.time_zone, 0))[0]
    offer = Invitation(email=who.email, name=who.new_name or who.name, role=role, time_zone=zone, beside=main)
    prepare(current, offer, services)
    who.invitations.append(offer)
    for each in rows:
        if each.held:
            each.held = [announcement_of(offer)]


def names_people(rows: Sequence[Row]) -> bool:
    return any("email" in row.values or row.kind == PERSON.name for row in rows)
