"""Sends spans about requests, acts, tasks and calls to OTEL_EXPORTER_OTLP_ENDPOINT (OpenTelemetry, OTLP over HTTP).

A span has names from the code, an outcome and a request id. It never has content, a person, a tenant or a path. Nothing
waits for the endpoint: spans wait in a queue of limited length, and are lost if it is full. No call to another machine
carries the trace.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import structlog
from django.conf import settings

from requests_app.platform import telemetry

log = structlog.get_logger(__name__)

#: How long an export may take, and how long the end of a process waits for the last one.
EXPORT_SECONDS, LAST_SECONDS = 5.0, 2.0
MISSING = "Install the packages of the extra “otel”: pip install 'customer-lockbox[otel]'"
#: The outcomes that are errors. A refusal is not one.
_BROKEN = frozenset({telemetry.FAILED})


class Tracer:
    """The tracer of this process. The thread that sends begins with the first span, so it is never lost in a fork."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._pid, self._tracer = 0, None
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        # Another thread may have held the lock at the fork.
        self._lock = threading.Lock()

    def get(self) -> Any:
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._tracer = _provider(self._part).get_tracer("lockbox_site")
                    self._pid = os.getpid()
        return self._tracer

    def begun(
        self, name: str, attributes: dict[str, Any], *, kind: Any = None, parent: Any = None, is_current: bool = True
    ) -> Span:
        """Begin a span. With `is_current`, it is the parent of the spans that this thread begins before its end."""
        from opentelemetry import context, trace

        span = self.get().start_span(name, parent, kind or trace.SpanKind.INTERNAL, attributes)
        return Span(span, context.attach(trace.set_span_in_context(span)) if is_current else None)


class Span:
    def __init__(self, span: Any, token: Any) -> None:
        self.span, self._token = span, token

    def end(self, *, is_error: bool) -> None:
        from opentelemetry import context, trace

        if self._token is not None:
            context.detach(self._token)
        if is_error:
            # Without a description: the message of an error can have names in it.
            self.span.set_status(trace.StatusCode.ERROR)
        self.span.end()


def _provider(part: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # The product's own log says once that the endpoint does not answer, and not every few seconds.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    name = os.environ.get("OTEL_SERVICE_NAME", "customer-lockbox")
    resource = Resource.create({"service.name": name, "lockbox.part": part or "command"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    timeout = float(os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", EXPORT_SECONDS))
    provider.add_span_processor(BatchSpanProcessor(_reporting(OTLPSpanExporter(timeout=timeout))))
    atexit.register(_flush, provider)
    return provider


def _flush(provider: Any) -> None:
    """Send the last spans. If the endpoint does not answer, the process ends anyway."""
    last = threading.Thread(target=provider.force_flush, daemon=True)
    last.start()
    last.join(LAST_SECONDS)


def _reporting(exporter: Any) -> Any:
    """Make the exporter log when sending begins to fail, and when it works again."""
    from opentelemetry.sdk.trace.export import SpanExportResult

    export, works = exporter.export, True

    def reported(spans: Any) -> Any:
        nonlocal works
        result = export(spans)
        is_sent = result is SpanExportResult.SUCCESS
        if is_sent != works:
            works = is_sent
            if is_sent:
                log.info("traces_sent_again")
            else:
                log.warning("traces_not_sent")
        return result

    exporter.export = reported
    return exporter


_tracer: Tracer | None = None


class Observer:
    """Makes a span for each act, task and call."""

    def began(self, kind: str, name: str) -> telemetry.End:
        assert _tracer is not None
        span = _tracer.begun(f"{kind} {name}", {f"lockbox.{kind}": name})

        def ended(outcome: str) -> None:
            span.span.set_attribute("lockbox.outcome", outcome)
            span.end(is_error=outcome in _BROKEN)

        return ended

    def happened(self, kind: str, name: str, outcome: str) -> None:
        from opentelemetry import trace

        trace.get_current_span().set_attribute(f"lockbox.{kind}.{name}", outcome)


class Traced(Protocol):
    """What a span says of a request."""

    @property
    def method(self) -> str | None: ...

    @property
    def META(self) -> Mapping[str, Any]: ...


class RequestSpan:
    """The span of one request. Its route is known only at its end."""

    def __init__(self, span: Span, request: Traced) -> None:
        self._span, self._request = span, request

    def inside(self) -> AbstractContextManager[Any]:
        """Return a context whose spans are a part of this one. For a request that the event loop answers in steps."""
        from opentelemetry import trace

        return trace.use_span(self._span.span, record_exception=False, set_status_on_exception=False)

    def ended(self, route: str, status: int) -> None:
        span = self._span.span
        span.update_name(f"{self._request.method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("lockbox.request_id", getattr(self._request, "request_id", ""))
        self._span.end(is_error=status >= 500)


def request_began(request: Traced, *, is_current: bool = True) -> RequestSpan | None:
    if _tracer is None:
        return None
    try:
        from opentelemetry import trace

        attributes = {"http.request.method": request.method or ""}
        kind, parent = trace.SpanKind.SERVER, _parent(request)
        span = _tracer.begun("request", attributes, kind=kind, parent=parent, is_current=is_current)
    except Exception:
        log.exception("telemetry_failed")
        return None
    return RequestSpan(span, request)


def _parent(request: Traced) -> Any:
    """Return the trace that the proxy began, or an empty context.

    The header is read only if the operator says that the proxy replaces what its callers send. Otherwise a stranger
    could join the traces of others, and decide which requests are recorded.
    """
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not settings.TRACES_FROM_PROXY:
        return Context()
    carrier = {"traceparent": request.META.get("HTTP_TRACEPARENT", "")}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())


def start(part: str = "") -> None:
    """Begin to trace in this process. If the packages are missing, say so in one line and go on without traces."""
    global _tracer
    if _tracer is not None:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        log.warning("traces_off", why=MISSING)
        return
    _tracer = Tracer(part)
    telemetry.add(Observer())
