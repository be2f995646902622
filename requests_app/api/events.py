"""A tenant's events as they happen: asked for and waited for (long polling), or sent as they come (Server-Sent Events).

Both say of an event what a webhook says. Whoever waits asks the database a few times a second, for one number.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from requests_app.actors import Actor
from requests_app.api.base import ApiView
from requests_app.api.held import Place, held
from requests_app.api.media import JSON_OR_EVENTS, EventStream
from requests_app.downloads import require_reader
from requests_app.errors import DomainError, Malformed, Unacceptable
from requests_app.models.people import reread
from requests_app.models.row_security import only_tenants
from requests_app.queries import log as queries
from requests_app.queries.log import Log
from requests_app.scopes import Scope
from requests_app.sockets import narrow
from requests_app.webhooks import messages

#: The longest that a call waits for an event, and the longest life of a stream, in seconds.
LONGEST_WAIT, LONGEST_STREAM = 30, 300
#: Between two looks at the log, and at who reads it, in seconds.
LOOK_EVERY = 0.5
#: So many looks at a silent log, and a stream shows that it is alive.
BEAT_AFTER = 20
#: Events of one answer, or of one piece of a stream.
MOST = 100

_CURSOR = re.compile("[0-9]{1,16}")


class EventOut(serializers.Serializer):
    """`id`, `type`, `timestamp` and `data` are those of the webhook about the same event. `cursor` is the place behind
    it: `after` this one come all that are newer."""

    cursor = serializers.CharField()
    id = serializers.CharField()
    type = serializers.CharField()
    timestamp = serializers.DateTimeField()
    data = serializers.DictField()


class EventsOut(serializers.Serializer):
    """`cursor` is what to send as `after` next, whether something was found or not."""

    items = EventOut(many=True)
    cursor = serializers.CharField()


@dataclass(frozen=True)
class Happened:
    cursor: int
    message: messages.Message

    @property
    def shown(self) -> dict[str, Any]:
        return {"cursor": str(self.cursor), "id": self.message.id, **json.loads(self.message.body)}

    @property
    def sent(self) -> bytes:
        """One event of a stream. Its data is one line: in JSON a line break is escaped."""
        data = json.dumps(self.shown, ensure_ascii=True, separators=(",", ":"))
        return f"id: {self.cursor}\nevent: {self.message.type}\ndata: {data}\n\n".encode()


class Events(ApiView):
    scopes: ClassVar = {"GET": Scope.LOG_READ}
    parameters: ClassVar = frozenset({"after", "wait"})
    renderer_classes = JSON_OR_EVENTS
    has_no_etag = True

    @extend_schema(
        operation_id="events",
        summary="Wait for a tenant's events",
        tags=["log"],
        parameters=[
            OpenApiParameter(
                "after",
                {"type": "string", "pattern": f"^{_CURSOR.pattern}$"},
                description="A cursor of an answer, or 0 for the beginning. Without it, only what happens from now on.",
            ),
            OpenApiParameter(
                "wait",
                {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT},
                description="How many seconds to wait if nothing has happened yet.",
            ),
            OpenApiParameter(
                "Last-Event-ID",
                {"type": "string"},
                OpenApiParameter.HEADER,
                description="The cursor from which a stream goes on; stands in for `after`.",
            ),
        ],
        responses={(200, "application/json"): EventsOut, (200, "text/event-stream"): OpenApiTypes.STR},
    )
    def get(self, request: Any, tenant: UUID) -> HttpResponseBase:
        """With `Accept: text/event-stream` the events are sent as they happen, for five minutes at most; whoever
        connects again goes on where the last stream ended."""
        log = queries.of_tenant(tenant, actor=self.actor)
        after, wait = self._after(log), self._wait()
        if isinstance(request.accepted_renderer, EventStream):
            return self._stream(log, after)
        found = happened(log, after)
        if not found and wait:
            with held(self.token.account_id):
                found = self._waited(log, after, wait)
        cursor = found[-1].cursor if found else after
        return Response({"items": [each.shown for each in found], "cursor": str(cursor)})

    def _waited(self, log: Log, after: int, wait: int) -> list[Happened]:
        for _look in range(round(wait / LOOK_EVERY)):
            pause(LOOK_EVERY)
            require_reader(reread(self.actor), log.pk)
            if found := happened(log, after):
                return found
        return []

    def _stream(self, log: Log, after: int) -> StreamingHttpResponse:
        with Place(self.token.account_id) as place:
            narrow(settings.PORT)
            chunks = place.to_the_end_of(told(log, after, actor=self.actor))
            response = StreamingHttpResponse(chunks, content_type="text/event-stream")
            # Some proxies would collect the answer before they pass it on.
            response["X-Accel-Buffering"] = "no"
            return response

    def _after(self, log: Log) -> int:
        size = queries.head(log).size
        raw = self.request.query_params.get("after")
        if raw is None:
            raw = self.request.META.get("HTTP_LAST_EVENT_ID")
        if raw is None:
            return size
        if not _CURSOR.fullmatch(raw):
            raise Malformed(_("This cursor is none of this log’s."))
        if int(raw) > size:
            # As after a backup was restored: what comes under these numbers now is not what came before.
            raise Unacceptable(_("The log is shorter than this cursor says. Begin anew."), field="after")
        return int(raw)

    def _wait(self) -> int:
        raw = self.request.query_params.get("wait", "0")
        if not re.fullmatch("[0-9]{1,2}", raw) or int(raw) > LONGEST_WAIT:
            raise Malformed(_("Wait for 0 to %(most)d seconds.") % {"most": LONGEST_WAIT})
        return int(raw)


def happened(log: Log, after: int) -> list[Happened]:
    """What stands in the log from this number on, at most a hundred. A number that was removed is passed over."""
    if queries.head(log).size <= after:
        return []
    rows = list(queries.entries(log).filter(seq__gte=after).order_by("seq")[:MOST])
    told = messages.of(rows, log.pk)
    return [Happened(row.seq + 1, message) for row, message in zip(rows, told, strict=True)]


def told(log: Log, after: int, *, actor: Actor) -> Iterator[bytes]:
    """The stream. The database shows this connection nothing of other tenants, and only while it is asked: between
    two looks the thread may be anybody's."""
    yield b"retry: 2000\n\n"
    silent = 0
    for _look in range(round(LONGEST_STREAM / LOOK_EVERY)):
        try:
            with only_tenants([log.pk]):
                require_reader(reread(actor), log.pk)
                found = happened(log, after)
        except DomainError as refusal:
            # Whoever connects again hears why, with its status.
            yield f": {refusal.code}\n\n".encode()
            return
        if found:
            after, silent = found[-1].cursor, 0
            yield b"".join(each.sent for each in found)
            continue
        silent += 1
        if silent % BEAT_AFTER == 0:
            yield b": still here\n\n"
        pause(LOOK_EVERY)


def pause(seconds: float) -> None:
    time.sleep(seconds)
