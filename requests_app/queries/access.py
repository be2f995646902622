"""Reads that all screens about access share: what an actor may do now, and one whole access request."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db.models import (
    Aggregate,
    Case,
    Count,
    Exists,
    Prefetch,
    Q,
    Sum,
    TextField,
    Value,
    When,
    prefetch_related_objects,
)
from django.db.models.functions import Concat
from django.utils.translation import gettext as _

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.errors import DomainError, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.ids import as_id
from requests_app.domain.lifecycle import STAYING, TRANSITIONS, Transition, actions_from
from requests_app.domain.states import PENDING, State, Timing
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    ContentAccess,
    Decision,
    Grant,
    Passkey,
    Person,
)
from requests_app.models.access import ALLOWED
from requests_app.queries import standing

_WHOLE = ("tenant", "service", "ticket", "requested_by", "previous", "grant", "grant__closed_by")


def access_request(access_request_id: object, *, actor: Actor) -> AccessRequest:
    """Return one access request with all that its page shows, in a fixed number of queries."""
    rows = AccessRequest.objects.visible_to(actor).select_related(*_WHOLE)
    rows = rows.prefetch_related("scope__resource", "decisions__decider", "decisions__client__account", "following")
    return cast(AccessRequest, rows.find(access_request_id))


def complete(row: AccessRequest) -> None:
    """Read what a page shows of a row that an operation has locked, beside what the operation has read of it."""
    scope = Prefetch("scope", AccessRequestResource.objects.select_related("resource"))
    decisions = Prefetch("decisions", Decision.objects.select_related("decider", "client__account"))
    prefetch_related_objects([row], scope, decisions)


def to_decide(access_request_id: object, *, actor: Actor) -> AccessRequest:
    """What the page of a decision compares with what it showed. `is_to_sign`: the actor has a passkey that signs it."""
    logs = actor.tenant_ids if actor.side is Side.CUSTOMER else {PROVIDER_LOG}
    keys = Passkey.objects.live().of_this_site().filter(person=actor.decider)
    keys = keys.filter(enrolled__has_any_keys=sorted(map(str, logs)))
    rows = AccessRequest.objects.visible_to(actor).only("state", "content_digest", "tenant_id")
    return cast(AccessRequest, rows.annotate(is_to_sign=Exists(keys)).find(access_request_id))


def access_requests(actor: Actor) -> Any:
    """Return all that this actor sees, with what one line of a list shows."""
    rows = AccessRequest.objects.visible_to(actor).select_related(*_WHOLE)
    return rows.prefetch_related("scope__resource")


def in_state(rows: Any, state: State, *, at: datetime) -> Any:
    """Return those in this state at an instant, even if no sweep has stored it yet."""
    if state in PENDING:
        return rows.filter(state=state, decide_by__gt=at)
    if state is State.EXPIRED:
        return rows.filter(Q(state=state) | Q(state__in=sorted(PENDING), decide_by__lte=at))
    if state is State.OPEN:
        return rows.filter(state=state, grant__closes_at__gt=at)
    if state is State.CLOSED:
        return rows.filter(Q(state=state) | Q(state=State.OPEN, grant__closes_at__lte=at))
    return rows.filter(state=state)


def engineer_named(who: str) -> Person | None:
    """Return an active engineer of any queue, by id or by the whole address."""
    people = Person.objects.active().humans()
    people = people.filter(side=Person.Side.PROVIDER, queue_assignments__role=Role.ENGINEER)
    if "@" in who:
        return people.filter(email=who.strip().lower()).distinct().first()
    found = as_id(who)
    return people.filter(pk=found).distinct().first() if found is not None else None


def allowed_actions(row: AccessRequest, *, actor: Actor, at: datetime) -> list[Transition]:
    """Return the moves that this actor may make now, once they prove who they are; from the same table."""
    if row.state_at(at) != row.state:
        return []
    decided_by = row.deciders
    return [
        edge
        for edge in [*actions_from(row.state), *actions_from(row.state, STAYING)]
        if edge.timing is not Timing.AFTER and policy.may(actor, edge, row, decided_by=decided_by)
    ]


def refusal(row: AccessRequest, action: str, *, actor: Actor, at: datetime) -> DomainError | None:
    """Why this move can't be made now, for a page that says so; None where the actor may try it."""
    try:
        require_offered(row, action, actor=actor, at=at)
    except DomainError as found:
        return found
    return None


def require_offered(row: AccessRequest, action: str, *, actor: Actor, at: datetime) -> None:
    """Raise what the operation would raise, for a caller who first asks whether a move is possible now."""
    edge = TRANSITIONS.get(action) or STAYING[action]
    policy.require(actor, edge, row, decided_by=row.deciders_before(edge.stage))
    if standing.is_repeated(row, edge, actor):
        raise WrongState(_("You have done this already."), current={"state": str(row.state_at(at))})
    standing.require_move(row, edge, at=at)


def grant(grant_id: object, *, actor: Actor) -> Grant:
    return cast(Grant, grants(actor).find(grant_id))


def grants(actor: Actor) -> Any:
    """Return all that this actor sees, with what one line of a list shows."""
    rows = Grant.objects.visible_to(actor).select_related(
        "access_request__service", "access_request__ticket", "tenant", "engineer", "closed_by"
    )
    return rows.prefetch_related("access_request__scope__resource")


def looks(grant: Grant) -> Any:
    """Return the content accesses under a grant. `policy.sees_looks` says who may see them by name."""
    return ContentAccess.objects.filter(tenant=grant.tenant_id, grant=grant).select_related("resource")


#: What is summed over resources; see `seen_resources`.
COUNTED = ("opened", "downloaded", "attachments", "listed")


def counts() -> dict[str, Aggregate]:
    """Return the aggregates of how much was accessed in one resource under one grant. All shown numbers come from them.

    Items and names are distinct: what was opened twice, or listed on four pages, counts once.
    """
    kinds = ContentAccess.Kind
    return {
        "opened": Count("item_id", filter=Q(kind=kinds.OPENED), distinct=True),
        "downloaded": Count("item_id", filter=Q(kind=kinds.DOWNLOADED, part=""), distinct=True),
        "attachments": Count(
            Concat("item_id", Value("\n"), "part", output_field=TextField()),
            filter=Q(kind=kinds.DOWNLOADED) & ~Q(part=""),
            distinct=True,
        ),
        # If the names of a list were not stored, as the previous version writes it, every name counts.
        "listed": Sum(
            Case(When(listed_ids=b"", then="count"), default="new_names"), filter=Q(kind=kinds.LISTED), default=0
        ),
        "lists": Count("pk", filter=Q(kind=kinds.LISTED)),
        "allowed": Count("pk", filter=Q(kind__in=ALLOWED)),
    }


def seen_resources(grant_ids: list[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return what was accessed under each grant, for `sentences.summary`.

    {"opened": distinct items shown, "downloaded": distinct items, "attachments": distinct ones downloaded, "resources":
    in how many, "listed": distinct names, "allowed": how often another service got permission, "kinds": {kind: {each of
    these for the kind, except "allowed"}}}; a kind is included if any of its resources was opened or listed, even if
    the list was empty.
    """
    nothing = dict.fromkeys((*COUNTED, "resources"), 0)
    found: dict[UUID, dict[str, Any]] = {pk: {**nothing, "kinds": {}, "allowed": 0} for pk in grant_ids}
    rows = (
        ContentAccess.objects.filter(grant__in=grant_ids)
        .order_by()
        # By resource: two libraries may each hold a document of the same name.
        .values("grant_id", "resource_id", "resource__kind")
        .annotate(**counts())
    )
    for row in rows:
        seen = found[row["grant_id"]]
        is_opened = bool(row["opened"] or row["downloaded"] or row["attachments"])
        seen["resources"] += is_opened
        seen["allowed"] += row["allowed"]
        kind = (
            seen["kinds"].setdefault(row["resource__kind"], {**nothing}) if is_opened or row["lists"] else {**nothing}
        )
        kind["resources"] += 1
        for counted in (seen, kind):
            for name in COUNTED:
                counted[name] += row[name]
    return found
