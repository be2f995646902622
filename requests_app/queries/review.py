"""Reads for the page of one access request: its history, earlier access requests, and the content that was accessed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from django.utils.functional import cached_property

from audit_app.models import AuditEntry
from requests_app.domain.actors import Actor
from requests_app.domain.acts import EVENTS
from requests_app.domain.acts.codes import GRANT_CODE_REUSED, GRANT_ENTERED
from requests_app.domain.acts.grant_tokens import GRANT_TOKEN_ISSUED
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.models import AccessRequest, ContentAccess, Grant, Resource
from requests_app.queries import inbox
from requests_app.queries.access import Looks
from requests_app.queries.inbox import COUNTED

A_YEAR = timedelta(days=365)
#: How many entries of a history, items of a resource, and newest accesses one page shows.
ENTRIES, ITEMS, LIVE = 200, 50, 50

_CONTENT = tuple(name for name in EVENTS if name.startswith("content."))
#: Entries about how an engineer uses an open window. They change nothing about the access request.
_USES = (GRANT_TOKEN_ISSUED, GRANT_ENTERED, GRANT_CODE_REUSED)


@dataclass(frozen=True)
class Entry:
    """An entry of the log, with the record that is parsed from its canonical bytes."""

    row: AuditEntry

    @cached_property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(bytes(self.row.canonical))
        return found

    @property
    def detail(self) -> dict[str, Any]:
        found: dict[str, Any] = self.record["detail"]
        return found

    @property
    def side(self) -> str:
        return str(self.record["actor"].get("side", ""))


@dataclass
class ResourceActivity:
    """How much was accessed in one resource under a grant, and which items were accessed last."""

    resource: Resource
    looks: Looks
    #: The newest items: reference, kind, and the downloaded part of a message.
    items: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Earlier:
    """The access requests and windows before one access request. The counts cover one year and stop at COUNTED."""

    by_engineer: int
    of_service: int
    recent: list[AccessRequest]


def history(row: AccessRequest) -> list[Entry]:
    """Return the log's entries about an access request, without its content accesses.

    For those, see `resource_activity`. Without the grant tokens that an application renews, too: there is one every few
    minutes, and the log has them all.
    """
    entries = AuditEntry.objects.filter(tenant_id=row.tenant_id, correlation_id=row.pk).exclude(event__in=_CONTENT)
    entries = entries.exclude(event=GRANT_TOKEN_ISSUED, actor_kind="client")
    return [Entry(entry) for entry in entries.order_by("seq")[:ENTRIES]]


def last_change(row: AccessRequest) -> Entry | None:
    """Return the newest entry about the access request, without uses of its window and refused acts."""
    entries = AuditEntry.objects.filter(tenant_id=row.tenant_id, correlation_id=row.pk)
    last = entries.exclude(event__in=(*_CONTENT, *_USES, ACT_REFUSED)).order_by("-seq").first()
    return Entry(last) if last else None


def decision_entry(row: AccessRequest, event: str) -> AuditEntry | None:
    entries = AuditEntry.objects.filter(tenant_id=row.tenant_id, correlation_id=row.pk, event=event)
    return entries.order_by("-seq").first()


def resource_activity(grant: Grant, found: Iterable[Looks], *, with_items: bool) -> list[ResourceActivity]:
    """Return what was accessed in each resource under a grant. `found` has the numbers (`access.looks_by_resource`).

    `with_items` adds the names of the items. Use it only for people who may see these names.
    """
    numbers = {one.resource_id: one for one in found if one.resource_id is not None}
    resources = Resource.objects.filter(pk__in=numbers)
    by_pk = {resource.pk: ResourceActivity(resource, numbers[resource.pk]) for resource in resources}
    if with_items and by_pk:
        kinds = ContentAccess.Kind
        looks = ContentAccess.objects.filter(grant=grant)
        opened = looks.filter(kind__in=(kinds.OPENED, kinds.DOWNLOADED)).order_by("-at", "-pk")
        for resource_id, reference, kind, part in opened.values_list("resource_id", "item_ref", "kind", "part")[
            : ITEMS * len(by_pk)
        ]:
            item = (reference, kind, part if kind == kinds.DOWNLOADED else "")
            if item not in by_pk[resource_id].items and len(by_pk[resource_id].items) < ITEMS:
                by_pk[resource_id].items.append(item)
    return sorted(by_pk.values(), key=lambda activity: (activity.looks.last_at, activity.resource.pk))


def watched(access_request_id: object, *, actor: Actor) -> AccessRequest:
    """Return an access request for a page that polls it, without the other rows that its page shows."""
    rows = AccessRequest.objects.visible_to(actor).select_related("grant")
    return cast(AccessRequest, rows.find(access_request_id))


def live(grant: Grant, *, limit: int = LIVE) -> list[ContentAccess]:
    """Return the newest content accesses under a grant.

    A listing of names is recorded when it is requested and when it is returned. Only the second record is
    included.
    """
    looks = ContentAccess.objects.filter(grant=grant)
    looks = looks.exclude(kind=ContentAccess.Kind.LIST_ASKED).select_related("resource")
    return list(looks.order_by("-at", "-pk")[:limit])


def earlier(row: AccessRequest, *, actor: Actor) -> Earlier:
    """Return the earlier access requests and windows at this tenant: of this engineer, and of this service."""
    since = row.submitted_at - A_YEAR
    windows = Grant.objects.real().filter(opens_at__gte=since, opens_at__lt=row.submitted_at, tenant=row.tenant_id)
    access_requests = (
        AccessRequest.objects.real()
        .visible_to(actor)
        .filter(requested_by=row.requested_by_id, tenant=row.tenant_id, submitted_at__lt=row.submitted_at)
    )
    newest = access_requests.order_by("-submitted_at", "-pk").values_list("pk", flat=True)[:3]
    return Earlier(
        by_engineer=windows.filter(engineer=row.requested_by_id)[:COUNTED].count(),
        of_service=windows.filter(access_request__service=row.service_id)[:COUNTED].count(),
        recent=inbox.whole(list(newest)),
    )
