"""Gives access to content under a grant: authorises and records the access, commits, and only then reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn
from uuid import UUID

from django.db.models import DateTimeField, Exists, OuterRef, Subquery, UUIDField
from django.utils.translation import gettext as _

from audit_app.beside import Beside
from audit_app.models import ChainHead
from requests_app.content.connectors.base import (
    Connector,
    ConnectorError,
    Item,
    ItemTooLarge,
    Listing,
    Message,
    Stream,
)
from requests_app.content.connectors.base import ItemNotFound as NoSuchItem
from requests_app.content.connectors.base import ItemUnreadable as Unreadable
from requests_app.content.connectors.base import LinkRefused as Link
from requests_app.content.connectors.base import Malformed as BadQuestion
from requests_app.content.connectors.base import OutsideResource as Outside
from requests_app.content.connectors.registry import connector_for, practice_connector
from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.content import (
    CONTENT_CUT,
    CONTENT_DOWNLOADED,
    CONTENT_FAILED,
    CONTENT_LIST_ASKED,
    CONTENT_LISTED,
    CONTENT_OPENED,
    LIST_ITEMS,
    NOTE_OUTCOME,
    OPEN_ITEM,
)
from requests_app.domain.errors import (
    ContentUnavailable,
    DomainError,
    EnforcedElsewhere,
    Malformed,
    NotCovered,
    NotFound,
    Unacceptable,
)
from requests_app.domain.ids import NO_ID, as_id
from requests_app.domain.levels import Level
from requests_app.domain.policy import ContentAccessFacts
from requests_app.models import AccessRequestResource, ContentAccess, Grant, Person, Resource
from requests_app.models.people import reread_person
from requests_app.models.scoping import CompiledFind
from requests_app.models.services import is_own_place
from requests_app.operations._change import Step, act
from requests_app.operations._judging import judging
from requests_app.operations.streams import DownloadSlot, WindowClosed, watched
from requests_app.platform.database.compiled import CompiledQuery, Reads
from requests_app.platform.waiting import Ending
from requests_app.words import sentences

PAGE = 100

#: The tenant is read with the resource.
_GRANT = CompiledFind(lambda: Grant.objects.select_related("access_request__ticket").locked())


def _with_time(grant: Any, here: Any) -> Any:
    """Return a grant with the time, and the time of the newest entry of its tenant's log."""
    newest = ChainHead.objects.filter(pk=OuterRef("tenant_id")).values("last_at")
    rows = Grant.objects.select_related("access_request__ticket").filter(pk=grant)
    return rows.annotate(now=clock.column(here), log_at=Subquery(newest)).order_by()


def _with_scope(resource: Any, grant: Any) -> Any:
    """Return a resource of the grant's tenant, with whether its access request names the resource."""
    named = AccessRequestResource.objects.filter(access_request__grant__id=grant, resource=OuterRef("pk"))
    rows = Resource.objects.filter(pk=resource, tenant__grants__id=grant).select_related("service", "tenant")
    return rows.annotate(is_in_scope=Exists(named)).order_by()


_UNLOCKED = CompiledQuery(_with_time, grant=UUIDField(), here=DateTimeField())
_RESOURCE = CompiledQuery(_with_scope, resource=UUIDField(), grant=UUIDField())

_EVENTS = {
    ContentAccess.Kind.LIST_ASKED: CONTENT_LIST_ASKED,
    ContentAccess.Kind.LISTED: CONTENT_LISTED,
    ContentAccess.Kind.OPENED: CONTENT_OPENED,
    ContentAccess.Kind.DOWNLOADED: CONTENT_DOWNLOADED,
    ContentAccess.Kind.FAILED: CONTENT_FAILED,
    ContentAccess.Kind.CUT: CONTENT_CUT,
}
#: The level that each way to open an item needs: on a page of this product, or as a file.
_NEEDED = {ContentAccess.Kind.OPENED: Level.VIEW, ContentAccess.Kind.DOWNLOADED: Level.READ}


@dataclass(frozen=True)
class RecordedAccess:
    """An access that is recorded: the window, the resource, and the time of the record."""

    grant: Grant
    resource: Resource
    at: dt.datetime


def list_items(
    grant_id: object,
    resource_id: object,
    *,
    actor: Actor,
    prefix: str = "",
    after: str | None = None,
    limit: int = PAGE,
) -> tuple[RecordedAccess, Listing]:
    """Return one page of the names in a resource.

    One entry is committed before the connector is asked. Another entry, with the names, is committed before they are
    returned.
    """
    asked = {"prefix": prefix, "after": after, "limit": limit}
    access = _record(grant_id, resource_id, ContentAccess.Kind.LIST_ASKED, actor=actor, detail=asked)
    with _failures(access, actor, item_id=prefix):
        connector, locator = _connector(access.resource)
        listing = connector.list(locator, after=after, limit=limit, prefix=prefix)
    refs = [{"id": item.id, "reference": item.reference} for item in listing.items]
    access = _record(
        grant_id,
        resource_id,
        ContentAccess.Kind.LISTED,
        actor=actor,
        detail={"prefix": prefix, "items": refs},
        listed=[item.id for item in listing.items],
    )
    return access, listing


def read_message(
    grant_id: object, resource_id: object, item_id: str, *, actor: Actor
) -> tuple[RecordedAccess, Message]:
    """Return one mail for a page: its headers, its text, its sanitised HTML, and the names of its attachments."""
    access, _item = _open(grant_id, resource_id, item_id, actor=actor)
    with _failures(access, actor, item_id=item_id):
        connector, locator = _connector(access.resource)
        message = connector.message(locator, item_id)
    return access, message


def open_item(
    grant_id: object,
    resource_id: object,
    item_id: str,
    *,
    actor: Actor,
    part: str | None = None,
    place: DownloadSlot | None = None,
    kind: ContentAccess.Kind = ContentAccess.Kind.OPENED,
) -> tuple[RecordedAccess, Item, Stream]:
    """Open one item, or one part of a mail.

    The caller must read the stream through `guarded`, which ends it when the window ends. `kind` is OPENED for
    content that a page shows, and DOWNLOADED for a file.
    """
    access, item = _open(grant_id, resource_id, item_id, actor=actor, part=part or "", place=place, kind=kind)
    with _failures(access, actor, item_id=item_id):
        connector, locator = _connector(access.resource)
        stream = connector.open(locator, item_id, part=part)
    return access, item, stream


def download(
    grant_id: object,
    resource_id: object,
    item_id: str,
    *,
    actor: Actor,
    part: str | None = None,
    kind: ContentAccess.Kind = ContentAccess.Kind.DOWNLOADED,
    ending: Ending | None = None,
) -> tuple[Stream, Iterator[bytes]]:
    """Open one item. Return its stream, and the chunks to send, which stop when the window ends.

    The reader can be slow. Raise TooMany if too many downloads are running already. `kind` is OPENED for a
    picture inside a page. `ending` comes when the window ends, so that the cut does not wait for the next chunk.
    """
    place = DownloadSlot()
    try:
        access, _item, stream = open_item(
            grant_id, resource_id, item_id, actor=actor, part=part, place=place, kind=kind
        )
    except BaseException:
        place.leave()
        raise
    return stream, guarded(access, stream, actor=actor, item_id=item_id, place=place, ending=ending)


def guarded(
    access: RecordedAccess,
    stream: Stream,
    *,
    actor: Actor,
    item_id: str,
    place: DownloadSlot | None = None,
    ending: Ending | None = None,
) -> Iterator[bytes]:
    """Yield the stream's chunks while the window is open. Raise WindowClosed within a second of the window's end.

    For the planned end of the window, a monotonic clock is enough. To notice an earlier end, the database is read
    before each chunk, but at most every quarter of a second. If the database does not answer, the stream ends. While
    the reader takes no chunk, a thread that watches all streams checks the window.
    """
    ends = clock.monotonic() + (access.grant.closes_at - access.at).total_seconds()
    note_cut = partial(_note, access, ContentAccess.Kind.CUT, actor=actor, item_id=item_id, detail={})
    try:
        with watched(access.grant.pk, ends=ends, note=note_cut, ending=ending) as watch:
            for chunk in stream.chunks:
                watch.require_open()
                yield chunk
    except ConnectorError as error:
        if watch.is_cut:
            raise WindowClosed from error
        _note(access, ContentAccess.Kind.FAILED, actor=actor, item_id=item_id, detail={"code": error.code})
        raise
    finally:
        stream.close()
        if place is not None:
            place.leave()


def _open(
    grant_id: object,
    resource_id: object,
    item_id: str,
    *,
    actor: Actor,
    part: str = "",
    place: DownloadSlot | None = None,
    kind: ContentAccess.Kind = ContentAccess.Kind.OPENED,
) -> tuple[RecordedAccess, Item]:
    """Authorise the access, read the item's name, and record with this name that the item is opened.

    The access is authorised before the name is read, and again when it is recorded. The name is returned only
    after the record is committed.
    """
    level = _NEEDED[kind]
    with judging(OPEN_ITEM, actor=actor) as current:
        access = _judged(current, grant_id, resource_id, level=level)
        if place is not None:
            # This comes before the connector is asked. A refusal here is an entry in the log.
            place.take(access.grant.pk, tenant_id=access.grant.tenant_id)
    with _failures(access, actor, item_id=item_id):
        connector, locator = _connector(access.resource)
        item = connector.stat(locator, item_id)
    detail = {"item": item.id, "reference": item.reference, "size": item.size, "part": part}
    access = _record(
        grant_id,
        resource_id,
        kind,
        actor=actor,
        detail=detail,
        item_id=item.id,
        item_ref=item.reference,
        part=part,
        level=level,
    )
    return access, item


def _record(
    grant_id: object,
    resource_id: object,
    kind: ContentAccess.Kind,
    *,
    actor: Actor,
    detail: Mapping[str, object],
    level: Level = Level.NAMES,
    listed: Iterable[str] | None = None,
    **columns: object,
) -> RecordedAccess:
    """Authorise an access and record it, in one transaction that is committed when this returns."""
    with act(LIST_ITEMS if level == Level.NAMES else OPEN_ITEM, actor=actor, rereads=False) as current:
        access = _authorised(current, grant_id, resource_id, level=level)
        if listed is not None:
            columns |= ContentAccess.objects.columns_of_list(access.grant, access.resource, listed)
        _append(current, access, kind, detail, columns)
    return access


def _judged(current: Step, grant_id: object, resource_id: object, *, level: Level) -> RecordedAccess:
    """Require that the rule for content accesses allows this access now. One statement reads all facts.

    Nothing is locked, so nothing here is certain any more when the access is recorded.
    """
    grant_id = as_id(grant_id) or NO_ID
    window = _UNLOCKED, {"grant": grant_id, "here": clock.here()}
    asker = current.actor
    current.actor, current.person, (grant, resource) = reread_person(asker, window, _named(resource_id, grant_id))
    if grant is None or not policy.is_visible(asker, grant.access_request):
        raise NotFound
    current.correlation_id, current.is_practice = grant.access_request_id, grant.access_request.is_practice
    current.tenant_id, current.subject_type, current.subject_id = grant.tenant_id, "grant", str(grant.pk)
    # If the clock was set back, a window that has closed must not open again.
    current.at = max(filter(None, (clock.brought(grant.now), grant.log_at)))
    return _allowed(current, grant, resource, level)


def _authorised(current: Step, grant_id: object, resource_id: object, *, level: Level) -> RecordedAccess:
    """Lock the grant, and require that the rule for content accesses allows this access now."""
    # The row lock puts a revocation and an access in order: the one that commits first is valid.
    grant = _GRANT(grant_id, actor=current.actor)
    current.correlation_id = grant.access_request_id
    # The roles are read only here, under the locks: they may have changed while the act waited.
    current.head = current.concerns("grant", grant, grant.tenant_id, reads=[_named(resource_id, grant.pk)])
    return _allowed(current, grant, current.found[0], level)


def _named(resource_id: object, grant_id: UUID) -> Reads:
    return _RESOURCE, {"resource": as_id(resource_id) or NO_ID, "grant": grant_id}


def _allowed(current: Step, grant: Grant, found: Any, level: Level) -> RecordedAccess:
    """Apply `policy.require_content_access` to the rows that were read."""
    actor, access_request = current.actor, grant.access_request
    policy.require_act(actor, current.action)
    if not policy.is_visible(actor, access_request):
        raise NotFound
    resource = _visible(found, actor)
    # No query reads it with the grant. Under the locks, it is read after the wait for them, as the resource is.
    grant.tenant = resource.tenant
    current.detail = {"resource": str(resource.pk)}
    roles = actor.roles_on(tenant_id=grant.tenant_id, service_id=access_request.service_id)
    look = ContentAccessFacts(
        is_engineer=Role.ENGINEER in roles,
        is_requesters=access_request.requester_human == actor.human_id,
        lacks_second_factor=policy.needs_second_factor(actor) and not _has_second_factor(current),
        is_closed=grant.closed_at is not None,
        opens_at=grant.opens_at,
        closes_at=grant.closes_at,
        ticket_state=access_request.ticket.state if access_request.ticket else None,
        is_own_place=resource.is_practice or resource.is_external or is_own_place(grant.tenant, resource.locator),
        is_active=resource.is_in_use,
        # A practice request opens no real content, and a real one no practice content, even if its scope is wrong.
        is_in_scope=resource.is_practice == access_request.is_practice and resource.is_in_scope,
        granted=grant.level,
        needed=level,
    )
    policy.require_content_access(look, at=current.at)
    # The act that rules a level out closes its windows. This does not depend on that.
    if not grant.tenant.allows(grant.level):
        raise NotCovered(sentences.ruled_out(grant.tenant, grant.level))
    if resource.is_external:
        raise EnforcedElsewhere(
            _("%(application)s holds this content. Open it there.") % {"application": resource.service.application}
        )
    return RecordedAccess(grant, resource, current.at)


def _visible(found: Any, actor: Actor) -> Any:
    """Return the resource that was read, if the actor can see it, as `visible_to(actor).find(id)` does.

    It was read together with the actor's roles, which are known only now.
    """
    scope = Resource.objects.scope_of(actor)
    if found is None or (scope is not None and getattr(found, scope[0]) not in scope[1]):
        raise NotFound
    return found


def _has_second_factor(current: Step) -> bool:
    """Return whether the engineer has a second factor now.

    They may have removed it after the session or the token began.
    """
    person = current.person or Person.objects.get_queryset().get(pk=current.actor.person)
    return person.has_second_factor


def _append(
    current: Step,
    access: RecordedAccess,
    kind: ContentAccess.Kind,
    detail: Mapping[str, object],
    columns: Mapping[str, object],
) -> None:
    grant, resource = access.grant, access.resource
    ids = {"tenant_id": grant.tenant_id, "grant_id": grant.pk, "resource_id": resource.pk}
    row = ContentAccess.new(kind=str(kind), at=current.at, **ids, **columns)
    named = {"access": str(row.pk), "resource": str(resource.pk), "resource_name": resource.name}
    current.detail = {}
    current.witness(
        _EVENTS[kind],
        detail={**named, **detail},
        text=f"{resource.name} {columns.get('item_ref', '')}",
        beside=Beside(row),
    )


def _note(
    access: RecordedAccess, kind: ContentAccess.Kind, *, actor: Actor, item_id: str, detail: Mapping[str, object]
) -> None:
    """Record that an access failed or was cut off. This needs no open window."""
    with act(NOTE_OUTCOME, actor=actor) as current:
        current.correlation_id = access.grant.access_request_id
        current.head = current.concerns("grant", access.grant, access.grant.tenant_id)
        # The engineer entered this text, and it may be longer than any item's id.
        columns = {"item_id": item_id[:1024], "item_ref": item_id[:1024]}
        _append(current, access, kind, {"item": item_id[:1024], **detail}, columns)


@contextmanager
def _failures(access: RecordedAccess, actor: Actor, *, item_id: str) -> Iterator[None]:
    """Record a failure of the connector, and raise it as an error with the domain's words.

    The connector's own words are not shown, because they may contain content.
    """
    try:
        yield
    except ConnectorError as error:
        _note(access, ContentAccess.Kind.FAILED, actor=actor, item_id=item_id, detail={"code": error.code})
        _raise_as_refusal(error)


def _raise_as_refusal(error: ConnectorError) -> NoReturn:
    refusals: list[tuple[type[ConnectorError], DomainError]] = [
        (
            Link,
            NotCovered(
                _(
                    "This item is a link to another file or folder, and links are never followed. Replace the link "
                    "with the item itself."
                )
            ),
        ),
        (Outside, NotCovered(_("This name points to a place outside the resource."))),
        (NoSuchItem, NotFound()),
        (ItemTooLarge, Unacceptable(_("This item is too large to be opened here."))),
        (Unreadable, Unacceptable(_("This item is stored in a format that can’t be read here."))),
        (BadQuestion, Malformed()),
    ]
    for kind, refusal in refusals:
        if isinstance(error, kind):
            raise refusal from error
    raise ContentUnavailable from error


def _connector(resource: Resource) -> tuple[Connector, str]:
    if resource.is_practice:
        return practice_connector(holds_messages=resource.kind == Resource.Kind.MAILBOX)
    return connector_for(resource.service.connector), resource.locator
