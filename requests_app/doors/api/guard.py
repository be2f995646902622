"""For the guards of applications: the feed of windows (Server-Sent Events)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.db import DatabaseError
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.renderers import JSONRenderer

from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.errors import Malformed
from requests_app.domain.ids import as_id
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.events import STOPPED
from requests_app.doors.api.media import EventStream
from requests_app.doors.api.schema import extend_schema
from requests_app.platform import waiting
from requests_app.platform.long_calls import LongCall
from requests_app.queries import callers
from requests_app.work import feed

TAG = "guards"
#: A version is printable ASCII, because people read it on pages.
_VERSION = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
#: The version of a guard that does not say it.
UNKNOWN = "-"
_ID = re.compile("[0-9]{1,17}")


def number_of(raw: object) -> UUID:
    """Return the id that a guard has made for itself. Raise Malformed if it is not a UUID."""
    number = as_id(raw)
    if number is None:
        raise Malformed(_("The guard must send the id that it has made for itself, as a UUID."))
    return number


def version_of(raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > limits.GUARD_VERSION_MAX or not _VERSION.fullmatch(raw):
        raise Malformed(_("The version is too long, or it has characters that are not allowed."))
    return raw


class Feed(ApiView):
    scopes: ClassVar = {"GET": Scope.GUARD}
    parameters: ClassVar = frozenset({"guard", "version"})
    renderer_classes = (EventStream, JSONRenderer)
    has_no_etag = True

    @extend_schema(
        operation_id="guard_feed",
        summary="Follow the windows of the client’s service",
        tags=[TAG],
        parameters=[
            OpenApiParameter(
                "guard",
                OpenApiTypes.UUID,
                required=True,
                description="The id that the guard has made for itself.",
            ),
            OpenApiParameter("version", {"type": "string", "minLength": 1, "maxLength": limits.GUARD_VERSION_MAX}),
            OpenApiParameter(
                "Last-Event-ID",
                {"type": "string"},
                OpenApiParameter.HEADER,
                description="The id of the last message that the guard has got, if it comes back.",
            ),
        ],
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
    )
    def get(self, request: Any) -> StreamingHttpResponse:
        """Send a state first, then each window that opens or ends, and a sign every five seconds.

        The answer ends when the token ends, or when the client can no longer guard this service.
        """
        service = callers.guard(self.actor).service_id
        number = number_of(request.query_params.get("guard"))
        version = version_of(request.query_params.get("version", UNKNOWN))
        after = self._after()
        with LongCall(self.token.account_id, most=feed.MOST_OF_CLIENT, slots=feed.FEEDS) as place:
            note = Noted(partial(operations.note_guard, number, version=version, actor=self.actor))
            news = waiting.News()
            follow = partial(feed.HUB.follow, token_id=self.token.pk, service_id=service, after=after, news=news)
            is_outside = waiting.is_outside(request.META)
            chunks = chunks_of(follow, note, wait=no_pause if is_outside else pause)
            response = StreamingHttpResponse(place.to_the_end_of(chunks), content_type="text/event-stream")
            # Some proxies would otherwise collect the answer before they pass it on.
            response["X-Accel-Buffering"] = "no"
            # For the web server. The feed rings for each message, and when a sign is due.
            response.news, response.look_every = news, feed.SIGN_SECONDS  # type: ignore[attr-defined]
            response.last_words = STOPPED  # type: ignore[attr-defined]
            return response

    def _after(self) -> datetime | None:
        raw = self.request.META.get("HTTP_LAST_EVENT_ID")
        if not raw:
            return None
        if not _ID.fullmatch(raw):
            raise Malformed(_("This id does not belong to this feed."))
        return feed.time_of(int(raw))


class Noted:
    """Records at most every few seconds that a guard follows the feed."""

    def __init__(self, note: Callable[..., object]) -> None:
        self._note = note
        self._noted = float("-inf")

    def again(self) -> None:
        present = clock.monotonic()
        if present - self._noted < limits.SIGN_GRAIN.total_seconds():
            return
        self._noted = present
        try:
            self._note(at=clock.now())
        except DatabaseError:
            # It is recorded the next time. The feed itself says whether the database answers.
            return


def chunks_of(follow: Callable[[], feed.Follower], note: Noted, *, wait: Callable[[], None]) -> Iterator[bytes]:
    """Yield what the follower is to be sent. A chunk is empty if there is nothing now."""
    # The feed begins with the first chunk. An answer that nobody reads would otherwise never leave it.
    follower = follow()
    try:
        # This line belongs to the first message. Some clients take it for a message without data if it is alone.
        yield b"retry: 1000\n"
        while (piece := follower.piece()) is not None:
            note.again()
            yield piece
            if not piece:
                wait()
        yield f": {follower.why}\n\n".encode()
    finally:
        feed.HUB.leave(follower)


def pause() -> None:
    time.sleep(feed.LOOK_SECONDS)


def no_pause() -> None:
    """Do nothing, because the web server itself waits after an empty chunk."""
