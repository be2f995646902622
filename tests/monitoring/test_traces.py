"""Spans about requests, acts, tasks and calls, as a receiver of OpenTelemetry gets them."""

from __future__ import annotations

import builtins
import multiprocessing
import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.test import Client

from lockbox_site.monitoring import tracing, watching
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.deciding import Decided
from requests_app.domain.errors import DomainError
from requests_app.domain.evaluation import Verdict
from requests_app.doors.api import exchange
from requests_app.platform import outbound, telemetry
from requests_app.work.guard import guarded
from tests.cast import Cast
from tests.monitoring.conftest import Collector, attributes_of
from tests.ports import free_port
from tests.site.test_fast_path import LaneOfTest, through_the_bridge

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture(autouse=True)
def _tracing(settings: Any, monkeypatch: pytest.MonkeyPatch, collector: Collector) -> Iterator[None]:
    settings.TRACES = True
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setattr(tracing, "_tracer", None)
    monkeypatch.setattr(tracing, "_provider", _remembered(tracing._provider))
    yield
    for observer in [each for each in telemetry._observers if isinstance(each, tracing.Observer)]:
        telemetry.remove(observer)
    for provider in _providers:
        provider.shutdown()
    _providers.clear()


_providers: list[Any] = []


def _remembered(make: Any) -> Any:
    def made(part: str) -> Any:
        _providers.append(make(part))
        return _providers[-1]

    return made


def sent() -> None:
    """Send what waits."""
    for provider in _providers:
        assert provider.force_flush(20_000)


@pytest.mark.django_db(transaction=True)
def test_a_request_has_a_span_with_its_route_and_its_request_id(cast: Cast, collector: Collector) -> None:
    tracing.start("web")
    row = cast.confirmed()
    answer = Client().get(f"/access-requests/{row.pk}/?secret=of-the-query")
    sent()
    [span] = collector.named("GET /access-requests/<uuid:pk>/")
    assert attributes_of(span) == {
        "http.request.method": "GET",
        "http.route": "/access-requests/<uuid:pk>/",
        "http.response.status_code": 302,
        "lockbox.request_id": answer["X-Request-ID"],
    }
    [resource] = {each.SerializeToString() for each in (found.resource for found in collector.resources())}
    assert b"customer-lockbox" in resource
    assert b"web" in resource


@pytest.mark.django_db(transaction=True)
def test_a_call_on_the_event_loop_has_a_span_with_its_decision(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.TRACES_FROM_PROXY = True
    tracing.start("web")
    verdict = Verdict(decision=True, reason="window_open", at=clock.here())
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(Decided(verdict=verdict, actor=Actor.system("test"))))
    [found] = through_the_bridge(traceparent=HEADER["traceparent"])
    assert found.status == 200
    sent()
    [span] = collector.named("POST /access/v1/evaluation")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes_of(span) == {
        "http.request.method": "POST",
        "http.route": "/access/v1/evaluation",
        "http.response.status_code": 200,
        "lockbox.request_id": "abcdefgh",
        "lockbox.decision.decision_point": "permit",
    }


@pytest.mark.django_db(transaction=True)
def test_acts_tasks_and_calls_are_spans_in_one_trace(cast: Cast, collector: Collector) -> None:
    tracing.start()
    row = cast.confirmed()

    @guarded
    def of_the_test() -> None:
        operations.deny_as_customer(row.pk, actor=cast.as_("ada"), note="The comment is private.")
        with pytest.raises(DomainError):
            operations.deny_as_customer(row.pk, actor=cast.as_("alan"), note="Too late.")
        with pytest.raises(outbound.Unreachable):
            outbound.get(f"http://127.0.0.1:{free_port()}/a/secret/path", private=True, purpose="sign_on")

    of_the_test()
    sent()
    [task] = collector.named("task of_the_test")
    done, refused = collector.named("act deny_as_customer")
    [call] = collector.named("call sign_on")
    assert {span.trace_id for span in (done, refused, call)} == {task.trace_id}
    assert {span.parent_span_id for span in (done, refused, call)} == {task.span_id}
    outcomes = [attributes_of(span)["lockbox.outcome"] for span in (task, done, refused, call)]
    assert outcomes == ["done", "done", "refused", "failed"]
    # An error has no description, because a description can have a name in it.
    assert [(span.status.code, span.status.message) for span in (task, done, refused, call)] == [
        (0, ""), (0, ""), (0, ""), (2, "")
    ]  # fmt: skip
    assert [span for span in collector.spans() if span.events] == []


@pytest.mark.django_db(transaction=True)
def test_no_span_has_a_person_a_tenant_or_content(cast: Cast, collector: Collector) -> None:
    tracing.start()
    row = cast.opened().access_request
    client = Client()
    client.force_login(cast.people["priya"])
    client.get(f"/access-requests/{row.pk}/")
    sent()
    everything = b"".join(collector.bodies).lower()
    assert len(collector.spans()) >= 4
    private = [row.pk, row.tenant_id, row.requested_by_id, "contoso", "priya", "finance", "invoices", ".example"]
    assert [str(word) for word in private if str(word).lower().encode() in everything] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_trusted", [False, True])
def test_only_a_trusted_proxy_decides_which_trace_a_request_joins(
    settings: Any, collector: Collector, is_trusted: bool
) -> None:
    settings.TRACES_FROM_PROXY = is_trusted
    tracing.start()
    Client().get("/healthz", headers=HEADER)
    Client().get("/healthz", headers={"traceparent": "not-a-trace"})
    sent()
    first, second = collector.named("GET /healthz")
    assert (first.trace_id.hex() == TRACE) is is_trusted
    assert (first.parent_span_id.hex() == PARENT) is is_trusted
    assert second.parent_span_id == b""


@pytest.mark.django_db(transaction=True)
def test_no_call_carries_the_trace(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []
    real = outbound._Connection.request

    def request(self: Any, method: str, path: str, body: Any, headers: dict[str, str]) -> None:
        seen.append(headers)
        real(self, method, path, body, headers)

    monkeypatch.setattr(outbound._Connection, "request", request)
    tracing.start()
    outbound.post(f"{collector.url}/v1/traces", b"", private=True, purpose="webhook")
    sent()
    assert len(collector.named("call webhook")) == 1
    assert [name.lower() for headers in seen for name in headers if "trace" in name.lower()] == []


def _span_in_child() -> None:
    with telemetry.watched(telemetry.TASK, "of_a_child"):
        pass
    for provider in _providers:
        provider.force_flush(20_000)
    os._exit(0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_sends_its_own_spans(collector: Collector) -> None:
    tracing.start("worker")
    with telemetry.watched(telemetry.TASK, "of_the_parent"):
        pass
    for _ in range(2):
        child = multiprocessing.get_context("fork").Process(target=_span_in_child)
        child.start()
        child.join(60)
        assert child.exitcode == 0
    sent()
    assert len(collector.named("task of_a_child")) == 2
    assert len(collector.named("task of_the_parent")) == 1


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_is_down_slows_nothing_and_is_reported_once(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32")
    tracing.start()
    began = clock.monotonic()
    for _ in range(3000):
        with telemetry.watched(telemetry.TASK, "many"):
            pass
    assert clock.monotonic() - began < 10
    assert Client().get("/healthz").status_code == 200
    for provider in _providers:
        provider.force_flush(5_000)
    reported = [record.getMessage() for record in caplog.records if "traces_not_sent" in record.getMessage()]
    assert len(reported) == 1
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


@pytest.mark.django_db(transaction=True)
def test_without_the_packages_one_line_says_so_and_the_rest_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    watching.start("web")
    assert Client().get("/healthz").status_code == 200
    lines = [record.getMessage() for record in caplog.records if "traces_off" in record.getMessage()]
    assert len(lines) == 1
    assert "otel" in lines[0]


def test_without_the_setting_nothing_is_traced(settings: Any) -> None:
    settings.TRACES = settings.METRICS = False
    watching.start("web")
    assert tracing._tracer is None
    with pytest.raises(MiddlewareNotUsed):
        watching.WatchingMiddleware(lambda request: None)  # type: ignore[arg-type,return-value]
