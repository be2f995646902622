"""A tenant's events as they happen: by long polling, or as Server-Sent Events.

An event has the same content as in a webhook's message. Calls that wait hold neither a thread nor a connection to the
database. One thread reads the lengths of the logs for all of them, and whether their callers can still read them
(`requests_app.work.readers`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.response import Response

from requests_app.content.downloads import require_reader
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError, Malformed, Unacceptable
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.media import JSON_OR_EVENTS, EventStream
from requests_app.doors.api.schema import extend_schema
from requests_app.messages.webhooks import messages
from requests_app.models.people import reread
from requests_app.models.row_security import only_tenants
from requests_app.platform import waiting
from requests_app.platform.long_calls import LongCall, long_call
from requests_app.platform.waiting import LOOK_EVERY, News
from requests_app.queries import log as queries
from requests_app.queries.log import Log
from requests_app.work import readers

#: The longest time in seconds that a call waits for an event, and the longest life of a stream.
LONGEST_WAIT, LONGEST_STREAM = 30, 300
#: For how many seconds a silent stream relies on the roles that were read last. Before the stream sends an event, the
#: roles are always read again.
REREAD_SECONDS = readers.RELIES_FOR
#: After this many seconds without a new entry, a stream sends a comment to show that it is alive.
BEAT_SECONDS = 10
#: How many events one answer, or one chunk of a stream, contains at most.
MOST = 100

#: The last comment of a stream if the server stops.
STOPPED = b": the server restarts\n\n"

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
        if self._is_outside:
            return self._answered_later(log, after, wait)
        look = LogReader(log, actor=self.actor)
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

    def _seat(self, log: Log, news: News) -> readers.Seat:
        return readers.HUB.sit(tenant_id=log.pk, token_id=judged_by_token(self.actor), news=news)

    def _answered_later(self, log: Log, after: int, wait: int) -> waiting.Waiting:
        with LongCall(self.token.account_id, tenant_id=log.pk) as place:
            seat = self._seat(log, news := News())
        ends = clock.monotonic() + wait
        look = LogReader(log, actor=self.actor, seat=seat)

        def answer() -> HttpResponseBase | None:
            try:
                found = look.at_news(after)
                if not found and clock.monotonic() < ends:
                    return None
                response = _answer(found, after)
            except DomainError as refusal:
                response = self.handle_exception(refusal)
            return self.finalize_response(self.request, response).render()

        response = waiting.Waiting(self.request._request, answer)
        response.news, response.look_every = news, lambda: min(REREAD_SECONDS, ends - clock.monotonic())
        response.at_stop = lambda: self.finalize_response(self.request, _answer([], after)).render()
        response.at_its_end(partial(readers.HUB.leave, seat))
        response.at_its_end(place.leave)
        return response

    def _stream(self, log: Log, after: int) -> StreamingHttpResponse:
        news = News()
        seated = partial(self._seat, log, news) if self._is_outside else None
        with LongCall(self.token.account_id, tenant_id=log.pk) as place:
            chunks = place.to_the_end_of(stream_of(log, after, actor=self.actor, seated=seated))
            response = StreamingHttpResponse(chunks, content_type="text/event-stream")
            if self._is_outside:
                response.news, response.look_every = news, BEAT_SECONDS  # type: ignore[attr-defined]  # for the server
                response.last_words = STOPPED  # type: ignore[attr-defined]  # as above
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

    With a seat, it reads nothing as long as another thread says that nothing has changed.
    """

    def __init__(self, log: Log, *, actor: Actor, seat: readers.Seat | None = None) -> None:
        self._log, self._actor, self._seat = log, actor, seat
        self._reread_at = clock.monotonic()

    def at_news(self, after: int) -> list[Happened]:
        """Return the events from the entry with number `after` on, or an empty list if there is nothing new.

        Raise NotAllowed, or a subclass, if the actor is not allowed to read the log any more.
        """
        present = clock.monotonic()
        if not self._may_be_new(after) and present - self._relied_on < REREAD_SECONDS:
            return []
        # This connection can read only this tenant's rows, and only inside this block.
        with only_tenants([self._log.pk]):
            require_reader(reread(self._actor), self._log.pk)
            self._reread_at = present
            return happened(self._log, after)

    def _may_be_new(self, after: int) -> bool:
        return self._seat is None or self._seat.size is None or self._seat.size > after

    @property
    def _relied_on(self) -> float:
        """The last time at which the caller was known to be allowed to read."""
        if self._seat is None or self._seat.token_id is None:
            return self._reread_at
        return self._seat.relied_on(self._reread_at)


def judged_by_token(actor: Actor) -> UUID | None:
    """Return the token that alone decides what the actor may do, or None. A deputy's role also ends with time."""
    is_for_another = actor.machine is not None and actor.person_id != actor.machine.account_id
    return None if is_for_another or actor.stands_in_for else actor.token_id


def _answer(found: list[Happened], after: int) -> Response:
    cursor = found[-1].cursor if found else after
    return Response({"items": [each.shown for each in found], "cursor": str(cursor)})


def stream_of(
    log: Log, after: int, *, actor: Actor, seated: Callable[[], readers.Seat] | None = None
) -> Iterator[bytes]:
    """Yield the chunks of an event stream.

    A chunk is empty if nothing has happened. Any thread can compute the next chunk. With `seated`, the web server waits
    after an empty chunk, and otherwise this function does.
    """
    # The seat is taken with the first chunk. An answer that nobody reads would otherwise never leave it.
    seat = seated() if seated else None
    look = LogReader(log, actor=actor, seat=seat)
    try:
        # This begins the answer. `retry` belongs to the first message. Some clients take it for an empty message if it
        # is alone.
        yield b": here\n\n"
        retry = b"retry: 2000\n"
        for is_silent in _turns() if seat else _turns_with_pauses():
            try:
                found = look.at_news(after)
            except DomainError as refusal:
                # A client that connects again gets this refusal with its status.
                yield f": {refusal.code}\n\n".encode()
                return
            if found:
                after = found[-1].cursor
                yield retry + b"".join(each.sent for each in found)
                retry = b""
                continue
            if is_silent:
                yield b": still here\n\n"
            yield b""
    finally:
        if seat:
            readers.HUB.leave(seat)


def _turns() -> Iterator[bool]:
    """Yield, once for each look, whether a sign of life is due. End when the stream has lived long enough."""
    begun = beat = clock.monotonic()
    while (present := clock.monotonic()) - begun < LONGEST_STREAM:
        is_due = present - beat >= BEAT_SECONDS
        beat = present if is_due else beat
        yield is_due


def _turns_with_pauses() -> Iterator[bool]:
    """As `_turns`, but wait before each look except the first."""
    for number in range(round(LONGEST_STREAM / LOOK_EVERY)):
        yield number > 0 and number % (BEAT_SECONDS / LOOK_EVERY) == 0
        pause(LOOK_EVERY)


def pause(seconds: float) -> None:
    time.sleep(seconds)
