"""Writes what the guards of applications report into the logs of the tenants: in order, once, and nothing left out.

The number that is acknowledged is stored in the transaction that writes the entries. So a report that is sent again,
because its answer was lost, writes nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from audit_app import canonical, recorder
from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.content import CONTENT_REPORTED, CONTENT_REPORTED_OUTSIDE, REPORT_ACCESSES
from requests_app.domain.errors import GuardCopied, ReportsGap, TooManyGuards
from requests_app.domain.ids import id_by_time
from requests_app.domain.levels import CHANGING, NEEDED, covers
from requests_app.domain.reports import Acknowledged, Kind, Report, ReportedAccess
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import AccessRequestResource, Client, ContentAccess, Grant, Guard, Service
from requests_app.operations._change import Step, act, security_log
from requests_app.platform import token_ids
from requests_app.queries import callers

_KINDS = {
    Kind.ACCESS: ContentAccess.Kind.REPORTED,
    Kind.REFUSED: ContentAccess.Kind.REFUSAL_REPORTED,
    Kind.CUT: ContentAccess.Kind.CUT_REPORTED,
}
#: An entry is found by the first of its items.
_ITEMS_SEARCHED = 20


class _Group(NamedTuple):
    """The accesses that one entry can have."""

    grant: UUID
    resource: UUID
    kind: Kind
    why_outside: str
    #: Whether the requests can change things. The customer must find these without reading all others.
    can_change: bool


@dataclass
class _Windows:
    """The windows and the resources that a report names, as far as they belong to the service."""

    grants: dict[UUID, Grant]
    names: dict[tuple[UUID, UUID], str]

    @classmethod
    def of(cls, accesses: Iterable[ReportedAccess], service: Service) -> _Windows:
        ids = {each.grant for each in accesses}
        rows = Grant.objects.real().filter(pk__in=ids, access_request__service=service)
        grants = {row.pk: row for row in rows.select_related("access_request", "engineer")}
        by_request = {row.access_request_id: row.pk for row in grants.values()}
        lines = AccessRequestResource.objects.filter(access_request__in=by_request).order_by()
        found = lines.values_list("access_request_id", "resource_id", "resource__name")
        return cls(grants, {(by_request[request], resource): name for request, resource, name in found})

    def fault_of(self, access: ReportedAccess) -> str:
        """Return why an access is rejected, or "" if it is not."""
        grant = self.grants.get(access.grant)
        if grant is None:
            return "unknown_grant"
        if (access.grant, access.resource) not in self.names:
            return "unknown_resource"
        return "" if access.engineer == grant.engineer_id else "other_engineer"

    def why_outside(self, access: ReportedAccess, at: datetime) -> str:
        """Return why this can't have happened in the window, or why the window did not allow it, or "".

        Nothing happens without a token that was given for the window, before the window, or in the future. A request
        that was refused or cut can be above the window's level, and later than its end: this is as it should be.
        """
        grant, is_access = self.grants[access.grant], access.kind is Kind.ACCESS
        if not token_ids.is_made(access.jti, access.grant, access.engineer):
            return "unknown_token"
        if is_access and not covers(grant.level, NEEDED[access.action]):
            return "level"
        first, last = grant.opens_at, min(grant.ends_at, at) if is_access else at
        return "" if first - limits.REPORTED_TOLERANCE <= access.at <= last + limits.REPORTED_TOLERANCE else "time"


@dataclass
class _Sorted:
    """The accesses of a report with their numbers, by the entry that will have them, and why others are rejected."""

    groups: dict[_Group, list[tuple[int, ReportedAccess]]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)


def report_accesses(report: Report, *, actor: Actor) -> Acknowledged:
    """Write the accesses of a report that are not in the log yet, and acknowledge the last of them.

    Raise ReportsGap if accesses before them were never reported, and GuardCopied if another life of the guard holds its
    id. An access of an unknown window, or by another engineer
    than the window's, is rejected: it is only in the security log, and the next ones are not held up. A report without
    accesses is a sign of life.
    """
    with act(REPORT_ACCESSES, actor=actor) as current:
        client = callers.guard(current.actor)
        assert client.service is not None
        service, guard = client.service, _locked(report, client)
        _hold(report, guard)
        fresh = _fresh(report, guard)
        windows = _Windows.of((access for _number, access in fresh), service)
        found = _sort(fresh, windows, _turn(current, windows))
        _write(current, found, windows, report, service)
        _tell(current, found, windows)
        _advance(guard, report, current.at)
    rejected = found.rejected.total()
    if rejected:
        who = {"client": str(client.pk), "guard": str(report.guard), "first": report.first}
        security_log.warning("reports.rejected", **who, **found.rejected)
    return Acknowledged(guard.acknowledged, rejected)


def _locked(report: Report, client: Client) -> Guard:
    """Lock the row of the guard, so that of two reports at the same time one waits for the other."""
    which: dict[str, Any] = {"client": client, "number": report.guard}
    pk = Guard.objects.filter(**which).values_list("pk", flat=True).first()
    if pk is None:
        if Guard.objects.are_too_many(client.pk, at := clock.now()):
            security_log.warning("guards.too_many", client=str(client.pk), guard=str(report.guard))
            raise TooManyGuards
        row = Guard(**which, version=report.version, first_at=at)
        Guard.objects.bulk_create([row], ignore_conflicts=True)
        pk = Guard.objects.values_list("pk", flat=True).get(**which)
    found: Guard = Guard.objects.locked().find(pk)
    return found


def _hold(report: Report, guard: Guard) -> None:
    """Give the id of the guard to the life that reports, or raise GuardCopied if another one holds it.

    This is judged before the numbers: those of a copy are numbers of other accesses. A report without accesses takes
    the id over. If it names its earlier lives, it does so only from one of these.
    """
    if guard.life == report.life:
        return
    takes_over = not report.accesses and (report.former is None or guard.life in report.former)
    if guard.life is not None and not takes_over:
        security_log.warning("reports.guard_copied", client=str(guard.client_id), guard=str(report.guard))
        raise GuardCopied
    guard.life = report.life
    guard.save(update_fields=["life"])


def _fresh(report: Report, guard: Guard) -> list[tuple[int, ReportedAccess]]:
    """Return the accesses that are not in the log yet, with their numbers."""
    if not report.accesses:
        return []
    if not guard.acknowledged:
        # The first report of a guard says where its numbers begin, because its client may have been replaced.
        guard.acknowledged = report.first - 1
    expected = guard.acknowledged + 1
    if report.first > expected:
        raise ReportsGap(expected)
    numbered = enumerate(report.accesses, report.first)
    return [(number, access) for number, access in numbered if number >= expected]


def _turn(current: Step, windows: _Windows) -> datetime:
    """Take the turn at the logs that are written to, and then read the clock. Return the time."""
    tenants = {grant.tenant_id for grant in windows.grants.values()}
    if len(tenants) == 1:
        current.head = current.take_turn(*tenants)
    else:
        last_at = recorder.lock(*tenants) if tenants else None
        current.at = max(filter(None, (clock.now(), last_at)))
    return current.at


def _sort(fresh: Iterable[tuple[int, ReportedAccess]], windows: _Windows, at: datetime) -> _Sorted:
    found = _Sorted()
    for number, access in fresh:
        if why := windows.fault_of(access):
            found.rejected[why] += 1
            continue
        can_change = access.kind is Kind.ACCESS and NEEDED[access.action] in CHANGING
        group = _Group(access.grant, access.resource, access.kind, windows.why_outside(access, at), can_change)
        found.groups.setdefault(group, []).append((number, access))
    return found


def _write(current: Step, found: _Sorted, windows: _Windows, report: Report, service: Service) -> None:
    """Write one entry and one row for each group, or more if one entry can't have all accesses of the group."""
    entries, rows = [], []
    for group, numbered in found.groups.items():
        grant = windows.grants[group.grant]
        current.tenant_id, current.correlation_id = grant.tenant_id, grant.access_request_id
        current.subject_type, current.subject_id = "grant", str(grant.pk)
        name = windows.names[group.grant, group.resource]
        for first in range(0, len(numbered), limits.REPORTED_IN_ENTRY):
            part = numbered[first : first + limits.REPORTED_IN_ENTRY]
            row = _row(group, grant, part, current.at)
            named = {"access": str(row.pk), "resource": str(group.resource), "resource_name": name}
            who = {"engineer": grant.engineer.name, "engineer_id": str(grant.engineer_id)}
            what = {"enforced_by": service.application, "guard": str(report.guard), "kind": str(group.kind)}
            each = {"count": len(part), "accesses": list(_shown(part))}
            if group.why_outside:
                what["outside"] = group.why_outside
            event = CONTENT_REPORTED_OUTSIDE if group.why_outside else CONTENT_REPORTED
            items = " ".join([*dict.fromkeys(access.item for _number, access in part)][:_ITEMS_SEARCHED])
            text = f"{name} {grant.engineer.name} {items}"
            entries.append(current.entry(event, detail={**named, **who, **what, **each}, text=text))
            rows.append(row)
    ContentAccess.objects.bulk_create(rows)
    if entries:
        recorder.record(entries, at=current.at, locked_head=current.head)
    # The refusal of a whole report belongs to no tenant.
    current.tenant_id = None


def _row(group: _Group, grant: Grant, part: Sequence[tuple[int, ReportedAccess]], at: datetime) -> ContentAccess:
    items = {access.item for _number, access in part}
    return ContentAccess(
        id=id_by_time(at),
        tenant_id=grant.tenant_id,
        grant=grant,
        resource_id=group.resource,
        kind=ContentAccess.Kind.REPORTED_OUTSIDE
        if group.why_outside and group.kind is Kind.ACCESS
        else _KINDS[group.kind],
        item_ref=items.pop() if len(items) == 1 else "",
        count=len(part),
        at=min(at, max(access.at for _number, access in part)),
    )


def _shown(part: Iterable[tuple[int, ReportedAccess]]) -> Iterator[dict[str, Any]]:
    for number, access in part:
        shown = {"n": number, "at": canonical.instant(access.at), "action": access.action, "item": access.item}
        if access.jti:
            shown["jti"] = access.jti
        if access.code:
            shown["code"] = access.code
        yield shown


def _tell(current: Step, found: _Sorted, windows: _Windows) -> None:
    """Alarm both sides about accesses that were not allowed. Tell once if some arrive after the mail about the end."""
    for grant_id in {group.grant for group in found.groups if group.why_outside}:
        grant = windows.grants[grant_id]
        about: dict[str, Any] = {"topic": Topic.REPORTED_OUTSIDE, "about": grant.access_request_id}
        # One mail for each window: an application with a wrong clock would send one with each report.
        customer = (Audience.CUSTOMER, Audience.ADMINISTRATORS)
        current.tell(Note(**about, tenant_id=grant.tenant_id, audiences=customer))
        # Without a tenant, the administrators are the provider's staff.
        current.tell(Note(**about, tenant_id=None, audiences=(Audience.ADMINISTRATORS,), mark="staff"))
    for grant_id in {group.grant for group in found.groups if group.kind is Kind.ACCESS}:
        grant = windows.grants[grant_id]
        if grant.closed_at is not None:
            to = (Audience.ENGINEER, Audience.PROVIDER_APPROVERS, Audience.CUSTOMER)
            current.tell(
                Note(
                    topic=Topic.REPORTED_LATE,
                    tenant_id=grant.tenant_id,
                    about=grant.access_request_id,
                    audiences=to,
                    waits_for=limits.REPORTS_SETTLE,
                )
            )


def _advance(guard: Guard, report: Report, at: datetime) -> None:
    """Store what was acknowledged. A guard that only gives a sign of life is written at most every `SIGN_GRAIN`."""
    last = report.first + len(report.accesses) - 1 if report.accesses else 0
    acknowledged = max(guard.acknowledged, last)
    is_news = acknowledged > guard.acknowledged or report.version != guard.version or report.backlog != guard.backlog
    is_due = guard.reported_at is None or at - guard.reported_at >= limits.SIGN_GRAIN
    if not (is_news or is_due):
        return
    if not report.backlog:
        guard.backlog_since = None
    elif guard.backlog_since is None or report.backlog < guard.backlog:
        guard.backlog_since = at
    guard.acknowledged, guard.backlog, guard.version = acknowledged, report.backlog, report.version
    guard.reported_at = at
    guard.save(update_fields=["acknowledged", "backlog", "backlog_since", "version", "reported_at"])
