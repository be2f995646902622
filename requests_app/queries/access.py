"""Reads access requests, grants and content accesses for all screens, and says what an actor may do with them now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.db import connection
from django.db.models import (
    BooleanField,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    Max,
    Prefetch,
    Q,
    QuerySet,
    Sum,
    TextField,
    UUIDField,
    Value,
    When,
)
from django.db.models.functions import Concat
from django.utils.translation import gettext as _

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.errors import DomainError, NotFound, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.ids import as_id
from requests_app.domain.lifecycle import STAYING, TRANSITIONS, Transition, actions_from
from requests_app.domain.states import PENDING, State, Timing, present_state
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    ContentAccess,
    Decision,
    Grant,
    Passkey,
    Person,
    Resource,
)
from requests_app.models.access import ALLOWED
from requests_app.models.scoping import MOST_PLACES, CompiledFind, CompiledScope
from requests_app.platform.database.compiled import CompiledIn, CompiledQuery
from requests_app.queries import standing
from requests_app.queries.merging import FirstPage

_WHOLE = ("tenant", "service", "ticket", "requested_by", "previous", "grant", "grant__closed_by")


_WHOLE_ROWS = AccessRequest.objects.select_related(*_WHOLE)
_WITH_ID = CompiledFind(lambda: _WHOLE_ROWS)
#: What one line of a list shows, in the API. The texts of an access request are long, and only its own page has them.
_IN_LINE = (
    "reference", "is_practice", "reason_kind", "level", "window_for", "enforced_by", "service_words", "state",
    "submitted_at", "state_changed_at", "decide_by",
    "tenant__name", "service__key", "service__name", "requested_by__name",
    "ticket__reference", "ticket__external_reference", "ticket__external_url",
    "grant__opens_at", "grant__closes_at", "grant__closed_at", "grant__close_reason",
)  # fmt: skip


#: What the API shows of one access request beside a line, and what the rules read of it.
_IN_ANSWER = (
    *_IN_LINE, "previous", "authority", "instrument", "demand_reference", "demand_date", "tried", "justification",
    "requester_human", "needs_customer_approval", "raised_by", "until_at", "is_emergency", "source_url",
    "content_digest",
)  # fmt: skip
_JOINED_IN_LINE = ("tenant", "service", "ticket", "requested_by", "grant")


def access_request(access_request_id: object, *, actor: Actor) -> AccessRequest:
    """Return one access request with everything that its page shows. The number of SQL queries is fixed."""
    row = cast(AccessRequest, _WITH_ID(access_request_id, actor=actor))
    complete(row)
    _read(row, "following")
    return row


def in_answer(access_request_id: object, *, actor: Actor) -> AccessRequest:
    """Return one access request with only the columns that the API shows, its resources and its decisions.

    One statement reads it with its resources. Each access request has at least one.
    """
    key, scope = as_id(access_request_id), AccessRequest.objects.all().scope_of(actor)
    if key is None or (scope is not None and not 0 < len(scope[1]) <= MOST_PLACES):
        found = cast(AccessRequest, _WITH_ID(access_request_id, actor=actor))
        complete(found)
        return found
    query, places = _ANSWER.ready((f"access_request__{scope[0]}", scope[1]) if scope is not None else None)
    scoped = query(pk=key, **places)
    if not scoped:
        raise NotFound
    row: AccessRequest = scoped[0].access_request
    row.listed_scope = scoped
    # A plain list behind `row.decisions.all()`, as in a list: a queryset takes long to make.
    row.__dict__["_prefetched_objects_cache"] = {"decisions": _DECISIONS_IN_ANSWER(row=key)}
    return row


_ANSWER = CompiledScope(
    lambda places, pk: (
        AccessRequestResource.objects.filter(*places, access_request_id=pk)
        .select_related("resource", *(f"access_request__{name}" for name in _JOINED_IN_LINE))
        .only(
            "position", "resource__kind", "resource__name", "resource__is_practice",
            "resource__checked_at", "resource__check_problem", "resource__check_failing_since",
            *(f"access_request__{name}" for name in _IN_ANSWER),
        )
    ),
    pk=UUIDField(),
)  # fmt: skip
_DECISIONS_IN_ANSWER = CompiledQuery(
    lambda row: (
        Decision.objects.filter(access_request_id=row)
        .select_related("decider", "client__account")
        .only(
            "stage", "verdict", "decider_human", "deputy_for", "comment", "manifest_digest", "signed_with", "at",
            "decider__name", "decider__human_id", "client__account__name",
        )
    ),
    row=UUIDField(),
)  # fmt: skip


def complete(row: AccessRequest) -> None:
    """Read those parts of an access request that its page shows and that the operation has not read yet.

    The operation has locked the row and read only what it needs.
    """
    _read(row, "scope", "decisions")


#: The rows that belong to an access request. These queries run for each page, mail and call about one.
_ROWS = {
    "scope": CompiledQuery(
        lambda row: AccessRequestResource.objects.filter(access_request_id=row).select_related("resource"),
        row=UUIDField(),
    ),
    "decisions": CompiledQuery(
        lambda row: Decision.objects.filter(access_request_id=row).select_related("decider", "client__account"),
        row=UUIDField(),
    ),
    "following": CompiledQuery(lambda row: AccessRequest.objects.filter(previous_id=row), row=UUIDField()),
}


def _read(row: Any, *names: str) -> None:
    """Read these parts of an access request as prefetch_related() does, but with compiled queries.

    They are stored in a queryset, so that `row.scope.all()` finds them.
    """
    known = row.__dict__.setdefault("_prefetched_objects_cache", {})
    for name in names:
        if name in known:
            continue
        manager = getattr(row, name)
        # This queryset only carries the rows. Django would add its condition at its first use as a query.
        found = manager.get_queryset()
        found._result_cache, found._prefetch_done = _ROWS[name](row=row.pk), True
        for each in found._result_cache:
            manager.field.set_cached_value(each, row)
        known[name] = found


def to_decide(access_request_id: object, *, actor: Actor) -> AccessRequest:
    """Return an access request with only the columns that the page of a decision needs.

    The page compares them with what it showed before. `is_to_sign` is True if the actor has a passkey that can sign the
    decision.
    """
    logs = actor.tenant_ids if actor.side is Side.CUSTOMER else {PROVIDER_LOG}
    keys = Passkey.objects.live().of_this_site().filter(person=actor.decider)
    keys = keys.filter(enrolled__has_any_keys=sorted(map(str, logs)))
    rows = AccessRequest.objects.visible_to(actor).only("state", "content_digest", "tenant_id")
    return cast(AccessRequest, rows.annotate(is_to_sign=Exists(keys)).find(access_request_id))


def access_requests(actor: Actor) -> Any:
    """Return all access requests that the actor may see, with the related rows that one line of a list shows."""
    rows = AccessRequest.objects.visible_to(actor).select_related(*_WHOLE)
    return rows.prefetch_related(Prefetch("scope", AccessRequestResource.objects.select_related("resource")))


def listed(actor: Actor, *, few: QuerySet[Any, Any] | None = None) -> Any:
    """Return all access requests that the actor may see, with only the columns that one line of the API has.

    `few` has the only keys.
    """
    return _lines().listed_for(actor, few=few)


def _lines() -> Any:
    return AccessRequest.objects.only(*_IN_LINE).select_related(*_JOINED_IN_LINE)


class Line(NamedTuple):
    """The columns of one line of the API, for a page that is read all the time: no object is made of the row."""

    id: UUID
    reference: str
    is_practice: bool
    reason_kind: str
    level: str
    window_for: int
    enforced_by: str
    service_words: str
    state: str
    submitted_at: datetime
    state_changed_at: datetime
    decide_by: datetime
    tenant__id: UUID
    tenant__name: str
    service__id: UUID
    service__key: str
    service__name: str
    requested_by__id: UUID
    requested_by__name: str
    ticket__id: UUID | None
    ticket__reference: str | None
    ticket__external_reference: str | None
    ticket__external_url: str | None
    grant__id: UUID | None
    grant__opens_at: datetime | None
    grant__closes_at: datetime | None
    grant__closed_at: datetime | None
    grant__close_reason: str | None

    def state_at(self, at: datetime) -> State:
        return present_state(State(self.state), at, self.decide_by, lambda: cast(datetime, self.grant__closes_at))


class LineResource(NamedTuple):
    """The columns of one resource of a line."""

    access_request_id: UUID
    id: UUID
    kind: str
    name: str
    is_practice: bool


#: The first page of `listed`, whose rows are of `Line`.
FIRST_LISTED = FirstPage(lambda: AccessRequest.objects.values_list(*Line._fields), Line._make)


def resources_of_lines(lines: Iterable[Line]) -> dict[UUID, list[LineResource]]:
    """Return the resources of these lines, in their order, for the id of each."""
    found: dict[UUID, list[LineResource]] = {line.id: [] for line in lines}
    for each in map(LineResource._make, _RESOURCES_OF_LINES(list(found))):
        found[each.access_request_id].append(each)
    return found


_RESOURCES_OF_LINES = CompiledIn(
    lambda pks: AccessRequestResource.objects.filter(access_request__id__in=pks).values_list(
        "access_request_id", *(f"resource__{name}" for name in LineResource._fields[1:])
    ),
    UUIDField(),
)


def add_scope(rows: list[AccessRequest]) -> None:
    """Read the resources of the lines of `listed`: `row.scoped` returns them."""
    found: dict[UUID, list[AccessRequestResource]] = {row.pk: [] for row in rows}
    for each in _SCOPE_OF_LINES(list(found)):
        found[each.access_request_id].append(each)
    for row in rows:
        row.listed_scope = found[row.pk]


_SCOPE_OF_LINES = CompiledIn(
    lambda pks: (
        AccessRequestResource.objects.filter(access_request__id__in=pks)
        .select_related("resource")
        .only("access_request", "position", "resource__kind", "resource__name", "resource__is_practice")
    ),
    UUIDField(),
)


def in_state(rows: Any, state: State, *, at: datetime) -> Any:
    """Filter the access requests that are in this state at an instant, even if no sweep has stored the state yet."""
    rows = rows.with_state_alone()
    if state in PENDING:
        return rows.filter(state_alone=state, decide_by__gt=at)
    if state is State.EXPIRED:
        return rows.filter(Q(state_alone=state) | Q(state_alone__in=sorted(PENDING), decide_by__lte=at))
    if state is State.OPEN:
        return rows.filter(state_alone=state, grant__closes_at__gt=at)
    if state is State.CLOSED:
        return rows.filter(Q(state_alone=state) | Q(state_alone=State.OPEN, grant__closes_at__lte=at))
    return rows.filter(state_alone=state)


def stored_states(state: State) -> frozenset[State]:
    """Return the states in which an access request can be stored that is in this state."""
    if state is State.EXPIRED:
        return PENDING | {state}
    return frozenset({State.OPEN, state}) if state is State.CLOSED else frozenset({state})


def engineer_named(who: str) -> Person | None:
    """Return the active engineer of any queue who has this id or this complete address."""
    people = Person.objects.active().humans()
    people = people.filter(side=Person.Side.PROVIDER, queue_assignments__role=Role.ENGINEER)
    if "@" in who:
        return people.filter(email=who.strip().lower()).distinct().first()
    found = as_id(who)
    return people.filter(pk=found).distinct().first() if found is not None else None


def allowed_actions(row: AccessRequest, *, actor: Actor, at: datetime) -> list[Transition]:
    """Return the transitions that this actor may make now, including those that need a step-up first."""
    if row.state_at(at) != row.state:
        return []
    return policy.offered(actor, _edges_from(str(row.state)), row, decided_by=row.deciders)


@cache
def _edges_from(state: str) -> list[Transition]:
    edges = [*actions_from(state), *actions_from(state, STAYING)]
    return [edge for edge in edges if edge.moves.timing is not Timing.AFTER]


def refusal(row: AccessRequest, action: str, *, actor: Actor, at: datetime) -> DomainError | None:
    """Return the error that says why the actor can't make this transition now. Return None if the actor may try it.

    Use it for a page that shows the reason.
    """
    try:
        require_offered(row, action, actor=actor, at=at)
    except DomainError as found:
        return found
    return None


def require_offered(row: AccessRequest, action: str, *, actor: Actor, at: datetime) -> None:
    """Raise the error that the operation would raise if the actor made this transition now.

    Use it to ask in advance whether a transition is possible.
    """
    edge = TRANSITIONS.get(action) or STAYING[action]
    policy.require(actor, edge, row, decided_by=row.deciders_before(edge.stage))
    if standing.is_repeated(row, edge, actor):
        raise WrongState(_("You have done this already."), current={"state": str(row.state_at(at))})
    standing.require_move(row, edge, at=at)


def grant(grant_id: object, *, actor: Actor) -> Grant:
    return cast(Grant, grants(actor).find(grant_id))


def grants(actor: Actor) -> Any:
    """Return all grants that the actor may see, with the related rows that a page about one of them shows."""
    rows = Grant.objects.visible_in_order(actor)
    rows = rows.select_related("access_request__service", "access_request__ticket", "tenant", "engineer", "closed_by")
    return rows.prefetch_related("access_request__scope__resource")


#: What one line of a list of windows shows, in the API.
_IN_LINE_OF_GRANT = (
    "opens_at", "closes_at", "closed_at", "close_reason", "level", "tenant__name", "engineer__name", "closed_by__name",
    "access_request__reference", "access_request__is_practice", "access_request__enforced_by",
    "access_request__service__key", "access_request__service__name",
)  # fmt: skip


def listed_grants(actor: Actor, *, in_parts: bool = False, few: QuerySet[Any, Any] | None = None) -> Any:
    """Return all grants that the actor may see, with only the columns that one line of the API has.

    With `in_parts`, they are for a list that reads each of its parts with an index (`merging.merged`). `few` has the
    only keys.
    """
    rows = Grant.objects.only(*_IN_LINE_OF_GRANT)
    rows = rows.select_related("access_request__service", "tenant", "engineer", "closed_by")
    return rows.visible_in_parts(actor) if in_parts else rows.listed_for(actor, few=few)


def looks(grant: Grant) -> Any:
    """Return the content accesses under a grant. Use `policy.sees_looks` before you show the names of the items."""
    return ContentAccess.objects.filter(grant=grant).select_related("resource")


#: The numbers that are summed over the resources of a grant; see `seen_resources`.
COUNTED = ("opened", "downloaded", "attachments", "listed")


@dataclass
class Looks:
    """What was accessed in one resource under one grant.

    An item that was opened twice counts once, and a name that was on four lists counts once. `failed` counts the items
    that could not be read completely. See `seen_resources` for the other numbers.
    """

    grant_id: UUID
    #: None if a gate allowed a path that names no resource.
    resource_id: UUID | None
    #: The kind of the resource.
    kind: str | None
    opened: int = 0
    downloaded: int = 0
    attachments: int = 0
    listed: int = 0
    lists: int = 0
    allowed: int = 0
    reported: int = 0
    failed: int = 0
    last_at: datetime | None = None

    @property
    def taken(self) -> int:
        """How many items were opened or downloaded. An item counts twice if it was both opened and downloaded."""
        return self.opened + self.downloaded + self.attachments

    def add(self, group: _Group) -> None:
        """Add the accesses of one kind."""
        kinds = ContentAccess.Kind
        self.last_at = max(filter(None, (self.last_at, group.last_at)))
        if group.kind == kinds.OPENED:
            self.opened += group.items
        elif group.kind == kinds.DOWNLOADED and group.is_attachment:
            self.attachments += group.items
        elif group.kind == kinds.DOWNLOADED:
            self.downloaded += group.items
        elif group.kind == kinds.LISTED:
            self.listed += group.names
            self.lists += group.lines
        elif group.kind in ALLOWED:
            self.allowed += group.lines
        elif group.kind in (kinds.REPORTED, kinds.REPORTED_OUTSIDE):
            # One row of a report can be many accesses.
            self.allowed += group.total
            self.reported += group.total
        elif group.kind in (kinds.FAILED, kinds.CUT):
            self.failed += group.lines


class _Group(NamedTuple):
    """The accesses of one kind in one resource under one grant."""

    grant_id: UUID
    resource_id: UUID | None
    resource__kind: str | None
    kind: str
    is_attachment: bool
    #: How many different items there are, and how many rows.
    items: int
    lines: int
    total: int
    names: int
    last_at: datetime


#: If the names of a list were not stored, as in rows of the previous version, every name counts.
_SUMS = {
    "lines": Count("pk"),
    "total": Sum("count"),
    "names": Sum(Case(When(listed_ids=b"", then="count"), default="new_names")),
    "last_at": Max("at"),
}


def _grouped(grants: list[Any]) -> QuerySet[Any, Any]:
    is_attachment = Q(kind=ContentAccess.Kind.DOWNLOADED) & ~Q(part="")
    attachment = Concat("item_id", Value("\n"), "part", output_field=TextField())
    item = Case(When(is_attachment, then=attachment), default="item_id", output_field=TextField())
    return (
        ContentAccess.objects.filter(grant__id__in=grants)
        .order_by()
        .annotate(is_attachment=ExpressionWrapper(is_attachment, output_field=BooleanField()))
        # Grouped by resource, because two libraries may each have a document with the same name.
        .values("grant_id", "resource_id", "resource__kind", "kind", "is_attachment")
        .annotate(items=Count(item, distinct=True), **_SUMS)
        .values_list(*_Group._fields)
    )


def _by_item(grants: list[Any]) -> QuerySet[Any, Any]:
    attachment = Case(When(kind=ContentAccess.Kind.DOWNLOADED, then="part"), default=Value(""))
    return (
        ContentAccess.objects.filter(grant__id__in=grants)
        .order_by()
        .annotate(attachment=attachment)
        .values("grant_id", "resource_id", "kind", "attachment", "item_id")
        .annotate(**_SUMS)
        .values_list("grant_id", "resource_id", "kind", "attachment", *_SUMS)
    )


#: A window can have thousands of accesses. They are counted by kind, so that SQLite sorts the items only once.
_GROUPS = CompiledIn(_grouped, UUIDField())
#: PostgreSQL would sort all items with all that they are grouped by. It counts each item first, and sorts nothing.
_ITEMS = CompiledIn(_by_item, UUIDField())
_ITEMS_BY_KIND = """
    SELECT groups.grant_id, groups.resource_id, resource.kind, groups.kind, groups.is_attachment, groups.items,
        groups.lines, groups.total, groups.names, groups.last_at
    FROM (
        SELECT grant_id, resource_id, kind, attachment <> '' AS is_attachment, COUNT(*) AS items,
            SUM(lines)::bigint AS lines, SUM(total)::bigint AS total, SUM(names)::bigint AS names,
            MAX(last_at) AS last_at
        FROM ({}) item GROUP BY 1, 2, 3, 4
    ) groups LEFT JOIN requests_app_resource resource ON resource.id = groups.resource_id
"""


def looks_by_resource(grant_ids: Sequence[UUID]) -> list[Looks]:
    """Return what was accessed under these grants, for each grant and resource.

    All such numbers on pages and in mails come from here.
    """
    found: dict[tuple[UUID, UUID | None], Looks] = {}
    is_postgresql = connection.vendor == "postgresql"
    rows = _ITEMS.within(_ITEMS_BY_KIND, grant_ids) if is_postgresql else _GROUPS(grant_ids)
    for group in map(_Group._make, rows):
        key = group.grant_id, group.resource_id
        found.setdefault(key, Looks(*key, group.resource__kind)).add(group)
    return list(found.values())


def seen_resources(grant_ids: list[UUID], looks: Iterable[Looks] | None = None) -> dict[UUID, dict[str, Any]]:
    """Return what was accessed under each grant, in the form that `sentences.summary` needs.

    Each value has these numbers. "opened": distinct items that were shown. "downloaded": distinct items that
    were downloaded. "attachments": distinct attachments that were downloaded. "listed": distinct names.
    "resources": how many resources had an item opened or downloaded. "allowed": how often another service got
    permission, or said that it had given access. "reported": only the latter.

    "kinds" has the same numbers, except these two, for each kind of resource that was opened or listed, even if
    the list was empty. There, "resources" also counts the resources that were only listed.

    Pass `looks` if the accesses under these grants are counted already.
    """
    nothing = dict.fromkeys((*COUNTED, "resources"), 0)
    found: dict[UUID, dict[str, Any]] = {pk: {**nothing, "kinds": {}, "allowed": 0, "reported": 0} for pk in grant_ids}
    for one in looks_by_resource(grant_ids) if looks is None else looks:
        seen = found[one.grant_id]
        seen["resources"] += bool(one.taken)
        seen["allowed"] += one.allowed
        seen["reported"] += one.reported
        kind = seen["kinds"].setdefault(one.kind, {**nothing}) if one.taken or one.lists else {**nothing}
        kind["resources"] += 1
        for counted in (seen, kind):
            for name in COUNTED:
                counted[name] += getattr(one, name)
    return found


def reached(resources: list[Resource], at: datetime) -> dict[str, list[Resource]]:
    """Return the resources that can't be reached, and those without a valid test, for `_unreachable.html`."""
    untested = [resource for resource in resources if resource.is_untested_at(at)]
    failed = [resource for resource in resources if resource.check_problem and resource not in untested]
    return {"unreachable": failed, "untested": untested}
