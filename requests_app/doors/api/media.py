"""Answers that are not JSON: a signed note, a file, a stream of events. Their errors are still JSON problems."""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer


class _Text(JSONRenderer):
    """Sends text unchanged, and everything else, such as a problem, as JSON."""

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return data.encode() if isinstance(data, str) else bytes(super().render(data, *args, **kwargs))


class PlainText(_Text):
    media_type, format, charset = "text/plain", "text", "utf-8"


class EventStream(_Text):
    """Server-Sent Events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

    media_type, format = "text/event-stream", "events"


#: A caller without an `Accept` header gets the first format.
JSON_OR_TEXT = (JSONRenderer, PlainText)
JSON_OR_EVENTS = (JSONRenderer, EventStream)


class Whatever(BaseContentNegotiation):
    """Ignores `Accept` for a file, because the format of a file is fixed or is named by a parameter."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return next(iter(parsers), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        renderer: BaseRenderer = renderers[0]
        return renderer, renderer.media_type
