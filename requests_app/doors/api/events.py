"""A tenant's events as they happen: by long polling, or as Server-Sent Events.

An event has the same content as in a webhook's message. All readers of one log in a process share one query, twice a
second, for the number of entries in the log. Between these queries, readers hold neither a thread nor a database
connection.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from requests_app.content.downloads import require_reader
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError, Malformed, Unacceptable
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.media import JSON_OR_EVENTS, EventStream
from requests_app.messages.webhooks import messages
from requests_app.models.people import reread
from requests_app.models.row_security import only_tenants
from requests_app.platform import waiting
from requests_app.platform.long_calls import LongCall, long_call
from requests_app.platform.waiting import LOOK_EVERY
from requests_app.queries import log as queries
from requests_app.queries.log import Log

#: The longest time in seconds that a call waits for an event, and the longest life of a stream.
LONGEST_WAIT, LONGEST_STREAM = 30, 300
#: For how many seconds a silent stream relies on the roles that were read last. Before the stream sends an event, the
#: roles are always read again.
REREAD_SECONDS = 5.0
#: After this many checks without a new entry, a stream sends a comment to show that it is alive.
BEAT_AFTER = 20
#: How many events one answer, or one chunk of a stream, contains at most.
MOST = 100

_CURSOR = re.compile("[0-9]{1,16}")


class EventOut(serializers.Serializer):
    """`id`, `type`, `timestamp` and `data` are the same as in the webhook message about this event.

    `cursor` is the place after the event: send it as `after` to get all newer events.
    """

    cursor = serializers.CharField()
    id = serializers.CharField()
    type = serializers.CharField()
    timestamp = serializers.DateTimeField()
    data = serializers.DictField()


class EventsOut(serializers.Serializer):
    """Send `cursor` as `after` in the next call, even if there are no items."""

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
        """The event as a chunk of the stream. The data is one line, because JSON escapes line breaks."""
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
                description="The cursor of an earlier answer, or 0 for the beginning. Without a cursor, the "
                "answer has only events from now on.",
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
                description="The cursor from which a stream continues. It replaces `after`.",
            ),
        ],
        responses={(200, "application/json"): EventsOut, (200, "text/event-stream"): OpenApiTypes.STR},
    )
    def get(self, request: Any, tenant: UUID) -> HttpResponseBase:
        """With `Accept: text/event-stream`, events are sent as they happen, for at most five minutes.

        A caller that connects again continues where the last stream ended.
        """
        log = queries.of_tenant(tenant, actor=self.actor)
        after, wait = self._after(log), self._wait()
        if isinstance(request.accepted_renderer, EventStream):
            return self._stream(log, after)
        found = happened(log, after)
        if found or not wait:
            return _answer(found, after)
        look = LogReader(log, actor=self.actor, is_shared=self._is_outside)
        if self._is_outside:
            return self._answered_later(look, after, wait)
        with long_call(self.token.account_id):
            for _look in range(round(wait / LOOK_EVERY)):
                pause(LOOK_EVERY)
                if found := look.at_news(after):
                    break
        return _answer(found, after)

    @property
    def _is_outside(self) -> bool:
        """Whether the web server can keep this call open without a thread."""
        return waiting.is_outside(self.request.META)

    def _answered_later(self, look: LogReader, after: int, wait: int) -> waiting.Waiting:
        ends = clock.monotonic() + wait

        def answer() -> HttpResponseBase | None:
            try:
                found = look.at_news(after)
                if not found and clock.monotonic() < ends:
                    return None
                response = _answer(found, after)
            except DomainError as refusal:
                response = self.handle_exception(refusal)
            return self.finalize_response(self.request, response).render()

        with LongCall(self.token.account_id) as place:
            response = waiting.Waiting(self.request._request, answer)
            response.at_its_end(place.leave)
            return response

    def _stream(self, log: Log, after: int) -> StreamingHttpResponse:
        with LongCall(self.token.account_id) as place:
            look = LogReader(log, actor=self.actor, is_shared=self._is_outside)
            chunks = place.to_the_end_of(stream_of(look, after, wait=no_pause if self._is_outside else pause))
            response = StreamingHttpResponse(chunks, content_type="text/event-stream")
            # Some proxies would otherwise collect the answer before they pass it on.
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
            raise Malformed(_("This cursor does not belong to this log."))
        if int(raw) > size:
            # A backup may have been restored. Entries that get these numbers now are not the earlier ones.
            raise Unacceptable(
                _("This cursor is beyond the end of the log. Begin again without a cursor."), field="after"
            )
        return int(raw)

    def _wait(self) -> int:
        raw = self.request.query_params.get("wait", "0")
        if not re.fullmatch("[0-9]{1,2}", raw) or int(raw) > LONGEST_WAIT:
            raise Malformed(_("The waiting time must be from 0 to %(most)d seconds.") % {"most": LONGEST_WAIT})
        return int(raw)


def happened(log: Log, after: int) -> list[Happened]:
    """Return at most MOST events, from the entry with number `after` on. Entries that were removed are skipped."""
    if queries.head(log).size <= after:
        return []
    rows = list(queries.entries(log).filter(seq__gte=after).order_by("seq")[:MOST])
    published = messages.of(rows, log.pk)
    return [Happened(row.seq + 1, message) for row, message in zip(rows, published, strict=True)]


class LogReader:
    """Reads new events from one log for one caller, as long as the caller is allowed to read the log.

    With `is_shared`, all readers of this log in the process share one query for the number of entries.
    """

    def __init__(self, log: Log, *, actor: Actor, is_shared: bool) -> None:
        self._log, self._actor, self._is_shared = log, actor, is_shared
        self._reread_at = clock.monotonic()

    def at_news(self, after: int) -> list[Happened]:
        """Return the events from the entry with number `after` on, or an empty list if there is nothing new.

        Raise NotAllowed, or a subclass, if the actor is not allowed to read the log any more.
        """
        present = clock.monotonic()
        is_news = not self._is_shared or _size_just_now(self._log) > after
        if not is_news and present - self._reread_at < REREAD_SECONDS:
            return []
        # This connection can read only this tenant's rows, and only inside this block.
        with only_tenants([self._log.pk]):
            require_reader(reread(self._actor), self._log.pk)
            self._reread_at = present
            return happened(self._log, after) if is_news else []


#: For each log that somebody waits for: when its length was read, and the length.
_sizes: dict[UUID, tuple[float, int]] = {}


def _size_just_now(log: Log) -> int:
    """Return the number of entries in the log.

    A number that was read less than LOOK_EVERY / 2 seconds ago is used again.
    """
    present = clock.monotonic()
    seen_at, size = _sizes.get(log.pk, (float("-inf"), 0))
    if present - seen_at > LOOK_EVERY / 2:
        size = queries.head(log).size
        _sizes[log.pk] = (present, size)
    return size


def _answer(found: list[Happened], after: int) -> Response:
    cursor = found[-1].cursor if found else after
    return Response({"items": [each.shown for each in found], "cursor": str(cursor)})


def stream_of(look: LogReader, after: int, *, wait: Callable[[float], None]) -> Iterator[bytes]:
    """Yield the chunks of an event stream.

    A chunk is empty if nothing has happened. Any thread can compute the next chunk.
    """
    # This begins the answer. `retry` belongs to the first message: alone, some clients take it for an empty message.
    yield b": here\n\n"
    retry = b"retry: 2000\n"
    ends, silent = clock.monotonic() + LONGEST_STREAM, 0
    for _look in range(round(LONGEST_STREAM / LOOK_EVERY)):
        try:
            found = look.at_news(after)
        except DomainError as refusal:
            # A client that connects again gets this refusal with its status.
            yield f": {refusal.code}\n\n".encode()
            return
        if found:
            after, silent = found[-1].cursor, 0
            yield retry + b"".join(each.sent for each in found)
            retry = b""
            continue
        silent += 1
        if silent % BEAT_AFTER == 0:
            yield b": still here\n\n"
        yield b""
        wait(LOOK_EVERY)
        if clock.monotonic() >= ends:
            return


def pause(seconds: float) -> None:
    time.sleep(seconds)


def no_pause(_seconds: float) -> None:
    """Do nothing, because the web server itself waits after an empty chunk."""
