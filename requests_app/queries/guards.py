"""Reads the guards of applications: which of them are silent, and what staff see of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import Exists, Max, Min, OuterRef, Q

from audit_app.models import AuditEntry
from requests_app.domain import limits
from requests_app.domain.acts.grant_tokens import GRANT_TOKEN_ISSUED
from requests_app.models import AccessRequest, ContentAccess, GateProxy, GateSession, Grant, Guard, Service
from requests_app.models.access import ALLOWED, GrantQuerySet
from requests_app.models.row_security import own_account
from requests_app.queries import callers


@dataclass(frozen=True)
class Silence:
    """Since when an application has reported nothing, or since when nobody has asked at the gate of a web tool.

    With `is_over`, its window has ended, and what happened there at last may be missing in the log.
    """

    since: datetime
    is_gate: bool = False
    is_over: bool = False


@dataclass(frozen=True)
class Silent:
    """An external service that is silent, with its windows to which the silence matters."""

    service: Service
    silence: Silence
    windows: list[Grant]


def silent(at: datetime) -> list[Silent]:
    """Return the external services that do not report, or whose gate nobody asks, though a window is open.

    And those that have not reported since a window ended: otherwise the end of the window would end the alarm.
    """
    external = list(Service.objects.filter(connector=Service.EXTERNAL).values_list("pk", flat=True))
    if not external:
        return []
    windows = Grant.objects.real().filter(access_request__service__in=external)
    windows = windows.select_related("access_request__service", "tenant").order_by()
    return [*_silent_now(windows, at), *_silent_since_the_end(windows, at)]


def _silent_now(windows: GrantQuerySet, at: datetime) -> list[Silent]:
    by_service: dict[UUID, list[Grant]] = {}
    for grant in _by_age(windows.live(at)):
        by_service.setdefault(grant.access_request.service_id, []).append(grant)
    rows = [grant.access_request for windows in by_service.values() for grant in windows]
    found = silent_services(rows, at)
    return [
        Silent(windows[0].access_request.service, found[service], windows)
        for service, windows in by_service.items()
        if service in found
    ]


def _by_age(windows: Iterable[Grant]) -> list[Grant]:
    # If the database had to put the rows in this order, SQLite would read all windows there ever were.
    return sorted(windows, key=lambda grant: (grant.opens_at, grant.pk))


def _silent_since_the_end(windows: GrantQuerySet, at: datetime) -> list[Silent]:
    """Return a service for each window of the last day in which somebody got a token, and whose end is not reported.

    A guard gives a sign of life twice a minute. So soon after the end, the log has everything, unless a guard still
    has accesses that it does not get through.
    """
    heard_by, day = at - limits.GUARD_SILENT_AFTER, at - limits.GUARD_GONE_AFTER
    # No window is longer than a day, so an index leads to those that opened in two days.
    ended = windows.over(heard_by).filter(closes_at__gt=day, opens_at__gt=day - timedelta(days=1))
    over = [grant for grant in _by_age(ended) if grant.ends_at <= heard_by]
    with own_account():
        services = {grant.access_request.service for grant in over}
        guarded = {service.pk for service in services if callers.has_guard(service)}
        reports = _reports(guarded, at, only_behind=True) if guarded else {}
        tokens = _tokens([grant.access_request for grant in over if grant.access_request.service_id in guarded], at)
    found: list[Silent] = []
    for grant in over:
        last, behind_since = reports.get(grant.access_request.service_id, (None, None))
        token_at = tokens.get(grant.access_request_id)
        if token_at is not None and (behind_since is not None or last is None or last < grant.ends_at):
            since = behind_since or last or token_at
            found.append(Silent(grant.access_request.service, Silence(since, is_over=True), [grant]))
    return found


def silence_of(row: AccessRequest, at: datetime) -> Silence | None:
    """Return the silence of the application of this open window, or None if it does what it should."""
    return silent_services([row], at).get(row.service_id)


def silent_services(rows: Iterable[AccessRequest], at: datetime) -> dict[UUID, Silence]:
    """Return the silence of each service of these open windows that is silent.

    An application is silent if one of its guards is, or if none of them has reported for a minute, however long that
    is. One that has never reported is silent a minute after the engineer has got a token. A gate is silent if nobody
    has asked there for a minute after the engineer came in: the browser's next request belongs to the gate.
    """
    requests = {row.pk: row for row in rows if row.enforced_by}
    if not requests:
        return {}
    since, services = at - limits.GUARD_SILENT_AFTER, {row.service_id for row in requests.values()}
    # PostgreSQL hides the provider's clients and proxies from a customer. Only times are read from them here.
    with own_account():
        reports = _reports(services, at)
        found = _unasked(requests, since)
        unheard = [row for row in requests.values() if reports.get(row.service_id, (None, None))[0] is None]
        # A tool that has only a gate takes tokens too, and reports nothing.
        found |= _unreported([row for row in unheard if callers.has_guard(row.service)], since)
    for service, (last, silent_since) in reports.items():
        if last is not None and (silent_since is not None or last < since):
            found[service] = Silence(silent_since or last)
    return found


def _reports(
    services: Iterable[UUID], at: datetime, *, only_behind: bool = False
) -> dict[UUID, tuple[datetime | None, datetime | None]]:
    """Return, for each service with guards, when one last reported, and when one of those that are silent did.

    With `only_behind`, only a silent guard counts that still has something to report.
    """
    live = Guard.objects.live().filter(client__service__in=services).order_by()
    is_silent = Guard.objects.silent_when(at)
    if only_behind:
        is_silent &= Q(backlog__gt=0)
    times = {"last": Max("reported_at"), "silent": Min("reported_at", filter=is_silent)}
    each = live.values("client__service").annotate(**times).values_list("client__service", *times)
    return {service: (last, silent) for service, last, silent in each}


def _unasked(requests: dict[UUID, AccessRequest], since: datetime) -> dict[UUID, Silence]:
    """Return the web tools where an engineer came in, and whose gate nobody has asked after that."""
    sessions = GateSession.objects.unended().filter(grant__access_request__in=requests, made_at__lt=since)
    # The proxy of this product is no row, and decides on everything that it passes on.
    sessions = sessions.filter(code__service__gate_upstream="")
    passed = ContentAccess.objects.filter(grant=OuterRef("grant"), kind__in=ALLOWED)
    sessions = sessions.exclude(Exists(passed.filter(at__gte=OuterRef("made_at"))))
    began = dict(sessions.order_by("-made_at").values_list("code__service", "made_at"))
    if not began:
        return {}
    asked = GateProxy.objects.trusted().filter(service__in=began).order_by()
    last = dict(asked.values("service").annotate(last=Max("asked_at")).values_list("service", "last"))
    # The time of the last question is stored to within a minute.
    return {
        service: Silence(at, is_gate=True)
        for service, at in began.items()
        if service in last and (last[service] is None or last[service] < at - limits.GATE_ASKED_GRAIN)
    }


def _unreported(rows: list[AccessRequest], since: datetime) -> dict[UUID, Silence]:
    """Return the services of these windows for which an engineer has got a token, though nothing ever reported."""
    services, tokens = {row.pk: row.service_id for row in rows}, _tokens(rows, since)
    # The earliest token of a service says since when it is silent.
    latest_first = sorted(tokens.items(), key=itemgetter(1), reverse=True)
    return {services[request]: Silence(at) for request, at in latest_first}


def _tokens(rows: list[AccessRequest], before: datetime) -> dict[UUID, datetime]:
    """Return when an engineer first got a token for each of these access requests. The others are left out."""
    if not rows:
        return {}
    issued = AuditEntry.objects.filter(
        tenant_id__in={row.tenant_id for row in rows},
        event=str(GRANT_TOKEN_ISSUED),
        correlation_id__in={row.pk for row in rows},
        at__lt=before,
    )
    times = issued.order_by("-at").values_list("correlation_id", "at")
    return {request: at for request, at in times if request is not None}


def guards() -> Any:
    """Return all guards, those that were heard of last first."""
    return Guard.objects.select_related("client__account", "client__service")
