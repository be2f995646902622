"""Maps groups of the provider's directory to roles in queues, and changes their members as the directory says."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.domain import texts
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.provider_directory import (
    GROUP_MAPPED,
    GROUP_UNMAPPED,
    MAP_GROUP,
    MAP_GROUP_ANNOUNCED,
    PROVISION_PROVIDER_GROUP,
    UNMAP_GROUP,
)
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.models import (
    DirectoryGroup,
    DirectoryRecord,
    GroupMember,
    GroupRole,
    Person,
    QueueAssignment,
    Service,
)
from requests_app.operations import _group_roles as group_roles
from requests_app.operations._announced import Proposer, Terms, announced
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._directory import Still, folded, require_as_read, require_client
from requests_app.operations._people import key
from requests_app.operations._perform import perform


def map_group(service_id: object, *, group: str, role: str, actor: Actor) -> GroupRole:
    """Give the members of a group of the directory a role in the queue of a service.

    If any customer has Lockbox on, or had it on before, this is an announced change (`_announced`).
    """
    terms: Terms = {}

    def find(current: Step, row_id: object) -> Service:
        service: Service = Service.objects.visible_to(current.actor).locked().find(row_id)
        group_roles.lock_people(_members_of(group))
        current.concerns("service", service, PROVIDER_LOG)
        return service

    def check(current: Step) -> None:
        if role not in QueueAssignment.Role.values:
            raise Unacceptable(_("There is no such role."), field="role")
        name = texts.require_name(group, field="group", at_most=254)
        terms.update(group=name, role=role, service=str(current.row.pk), service_name=current.row.name)
        _require_new(terms)

    def announces(current: Step) -> tuple[Change, Terms]:
        return MAP_GROUP_ANNOUNCED, terms

    with perform(MAP_GROUP, service_id, actor=actor, find=find, check=check, announces=announces) as current:
        return _map(current, terms)


def _members_of(group: str) -> list[UUID]:
    members = GroupMember.objects.filter(group__key=folded(" ".join(group.split())))
    return list(members.values_list("person_id", flat=True))


def _require_new(terms: Terms) -> None:
    mapped = GroupRole.objects.filter(group__key=folded(terms["group"]), service=terms["service"], role=terms["role"])
    if mapped.exists():
        raise WrongState(_("The group “%(group)s” gives this role already.") % {"group": terms["group"]})


def _lock_members(terms: Terms) -> None:
    group_roles.lock_people(_members_of(terms["group"]))


@announced(MAP_GROUP_ANNOUNCED, lock=_lock_members)
def _map_agreed(current: Step, terms: Terms) -> None:
    _require_new(terms)
    current.subject_type, current.subject_id = "service", terms["service"]
    _map(current, terms)


def _map(current: Step, terms: Terms) -> GroupRole:
    """Make the mapping. People who are members already, through another mapping of the group, are offered the role."""
    group, _is_new = DirectoryGroup.objects.get_or_create(key=folded(terms["group"]), defaults={"name": terms["group"]})
    service = Service.objects.get(pk=terms["service"])
    row = GroupRole.objects.create(group=group, service=service, role=terms["role"], made_at=current.at)
    current.witness(GROUP_MAPPED, detail=_described(row), text=group.name)
    for member in group.members.select_related("person").order_by("person"):
        group_roles.offer(current, member.person, row)
    return row


def unmap_group(mapping_id: object, *, actor: Actor) -> None:
    """Remove a mapping. The roles that people have only through it end at once.

    When a group gives no role any more, the directory no longer finds it, and its members are forgotten.
    """
    people: list[Person] = []

    def find(current: Step, row_id: object) -> GroupRole:
        rows = GroupRole.objects.select_related("group", "service")
        row = rows.filter(pk=key(row_id)).first()
        if row is None or not current.actor.is_staff:
            raise NotFound
        people.extend(group_roles.lock_people(row.group.members.values_list("person", flat=True)))
        current.concerns("service", row.service, PROVIDER_LOG)
        # Read again: another member of the staff may have been faster.
        if not rows.filter(pk=row.pk).exists():
            raise NotFound
        return row

    with perform(UNMAP_GROUP, mapping_id, actor=actor, find=find) as current:
        row: GroupRole = current.row
        GroupRole.objects.filter(pk=row.pk).delete()
        current.witness(GROUP_UNMAPPED, detail=_described(row), text=row.group.name)
        for person in people:
            group_roles.retract(current, person, row)
        if not row.group.roles.exists():
            DirectoryGroup.objects.filter(pk=row.group_id).delete()


def provision_provider_group(
    group_id: object,
    *,
    to: frozenset[UUID] = frozenset(),
    away_from: frozenset[UUID] = frozenset(),
    actor: Actor,
    still: Still | None = None,
) -> None:
    """Put some of the provider's people into a group of the directory, and take others out.

    Who is put in gets the roles of the group after the customers' notice and the waiting time. Who is taken out loses
    them at once. Either all changes are made, or none.
    """
    people: dict[UUID, Person] = {}

    def find(current: Step, row_id: object) -> DirectoryGroup:
        again = GroupMember.objects.filter(group=key(row_id), has_lapsed=True).values_list("person_id", flat=True)
        locked = group_roles.lock_people({*to, *away_from, *again})
        gone = DirectoryRecord.objects.exclude(removed_at=None).filter(person__in=[person.pk for person in locked])
        hidden = set(gone.values_list("person_id", flat=True))
        people.update({person.pk: person for person in locked if person.pk not in hidden})
        group = DirectoryGroup.objects.filter(pk=key(row_id)).first()
        if group is None:
            raise NotFound
        current.concerns("directory_group", group, PROVIDER_LOG)
        return group

    def check(current: Step) -> None:
        current.require_proof(needed=False)
        if not to <= people.keys():
            raise Unacceptable(_("One of these people does not belong to the provider."), field="members")

    with perform(
        PROVISION_PROVIDER_GROUP,
        group_id,
        actor=actor,
        find=find,
        may=require_client,
        state=lambda current: require_as_read(still),
        check=check,
    ) as current:
        _change_members(current, current.row, people, to=to, away_from=away_from - to)


def _change_members(
    current: Step, group: DirectoryGroup, people: dict[UUID, Person], *, to: frozenset[UUID], away_from: frozenset[UUID]
) -> None:
    members = {member.person_id: member for member in group.members.filter(person__in=people)}
    mappings = list(group.roles.select_related("group", "service").order_by("made_at", "pk"))
    new, lapsed = to - members.keys(), {pk for pk, member in members.items() if member.has_lapsed} - away_from
    by = _giving(current, is_needed=bool(new)) if new or lapsed else None
    if by is not None:
        group_roles.require_no_user(by, (people[pk] for pk in sorted(new)), current.at)
    for pk in sorted(away_from & members.keys()):
        members[pk].delete()
        for mapping in mappings:
            current.subject_type, current.subject_id = "person", str(pk)
            group_roles.retract(current, people[pk], mapping)
    if by is None or by.client is None:
        return
    for pk in sorted(new | lapsed):
        # `since` stays for a member whose role lapsed: a role that staff withdrew stays withdrawn.
        through = {"through": by.client.account, "has_lapsed": False}
        first = {**through, "since": current.at}
        GroupMember.objects.update_or_create(group=group, person=people[pk], defaults=through, create_defaults=first)
        for mapping in mappings:
            current.subject_type, current.subject_id = "person", str(pk)
            group_roles.offer(current, people[pk], mapping, by=by)


def _giving(current: Step, *, is_needed: bool) -> Proposer | None:
    """Return who answers for the roles. Without one: raise NotAllowed if somebody new is put in, or return None."""
    try:
        return group_roles.giving(current)
    except NotAllowed:
        if is_needed:
            raise
        return None


def _described(row: GroupRole) -> Terms:
    return {
        "group": row.group.name,
        "role": row.role,
        "service": row.service.key,
        "service_id": str(row.service_id),
        "mapping": str(row.pk),
    }
