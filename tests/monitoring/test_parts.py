"""A part without a web server answers `/metrics` itself, at METRICS_PORT: a worker in a container, for example."""

from __future__ import annotations

import http.client
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lockbox_site.monitoring import counters, metrics, parts
from requests_app.work import supervisor
from requests_app.work.processes import tree
from tests.monitoring.test_processes import ON, TOKEN, prometheus
from tests.ports import free_port
from tests.tasks.conftest import Running, Start, in_service, wait_for
from tests.tasks.conftest import start as start  # a fixture

BEARER = f"Bearer {TOKEN}"
WORKER = ("lockbox", "--no-web", "--no-beat", "--clusters", "1")
needs_processes = [
    pytest.mark.slow,
    pytest.mark.real_clock,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]


def ask(port: int, method: str = "GET", path: str = "/metrics", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def number(port: int, name: str, **labels: str) -> float:
    """Return a number of the part, or 0 if it does not answer, or has no such number."""
    with suppress(OSError):
        status, text = ask(port, Authorization=BEARER)
        assert status == 200, text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
    return 0.0


def listening(running: Running) -> list[int]:
    """Return the ports at which the processes of a supervisor accept connections."""
    sockets = set()
    for pid in tree(running.pid):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                sockets.add(str(link.readlink()))
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
            found.append(int(fields[1].partition(":")[2], 16))
    return found


# --- As processes ----------------------------------------------------------------------------------------


class TestProcesses:
    pytestmark = needs_processes

    def test_the_counters_of_a_worker_are_read_from_another_process(self, start: Start) -> None:
        port = free_port()
        running = start(*WORKER, METRICS_PORT=str(port), **ON)
        wait_for(
            lambda: number(port, "lockbox_tasks_total", task="heartbeat", outcome="done"), within=60, why="it counts"
        )
        assert number(port, "lockbox_processes", part="worker") >= 1
        assert ask(port)[0] == 401
        status, text = ask(port, Authorization="Bearer a-token-of-somebody-else")
        assert (status, "lockbox_" in text) == (401, False)
        # Each web server gives the states, so none is missing here.
        assert "lockbox_database_up" not in ask(port, Authorization=BEARER)[1]
        assert listening(running) == [port]
        running.stop()

    def test_nothing_listens_without_the_setting(self, start: Start) -> None:
        running = start(*WORKER, **ON)
        wait_for(lambda: len(tree(running.pid)) > 3, within=60, why="the cluster runs")
        assert listening(running) == []

    def test_a_port_in_use_is_named_and_stops_no_work(self, start: Start) -> None:
        port = free_port()
        with socket.create_server(("127.0.0.1", port)):
            running = start(*WORKER, METRICS_PORT=str(port), **ON)
            running.until(f"Port {port} of 127.0.0.1 is in use. Stop what uses it, or choose another: METRICS_PORT=")
            in_service()
            running.stop()

    @pytest.mark.deep
    def test_prometheus_reads_worker_and_beat(self, start: Start, tmp_path: Path) -> None:
        """Both have a data directory of their own, as in containers, so the counters are added up by Prometheus."""
        worker, beat = free_port(), free_port()
        start(*WORKER, METRICS_PORT=str(worker), DATA_DIR=str(tmp_path / "one"), **ON)
        start(
            "lockbox", "--no-web", "--clusters", "0", METRICS_PORT=str(beat), DATA_DIR=str(tmp_path / "two"), **ON
        )  # fmt: skip
        with prometheus(tmp_path / "prometheus", worker, beat) as found:
            wait_for(lambda: found.value("sum(up)") == 2, within=60, why="both are read")
            wait_for(lambda: found.value('sum(lockbox_processes{part="beat"})') == 1, within=60, why="a beat")
            wait_for(
                lambda: found.value('sum(lockbox_tasks_total{task="sweep", outcome="done"})'), within=60, why="tasks"
            )
            assert (found.value('count(lockbox_processes{part="worker"})') or 0) == 1


# --- In this process -------------------------------------------------------------------------------------


@pytest.fixture
def port(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return the port of a part that has counted one task."""
    settings.METRICS, settings.METRICS_TOKEN, settings.METRICS_ADDRESSES = True, TOKEN, []
    settings.METRICS_DIR = tmp_path / "metrics"
    monkeypatch.setattr(counters, "_counters", None)
    monkeypatch.setattr(counters, "_failed_in", set())
    counters.directory.cache_clear()
    metrics.forget()
    counters.counted(lambda each: each.of("lockbox_tasks_total", "sweep", "done").inc())
    with serving() as found:
        yield found
    metrics.forget()
    counters.directory.cache_clear()


@contextmanager
def serving() -> Iterator[int]:
    import threading

    server = parts.Server("127.0.0.1", free_port())
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_only_the_token_opens_it_and_only_at_this_address(port: int) -> None:
    assert number(port, "lockbox_tasks_total", task="sweep", outcome="done") == 1
    for sent in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
        status, text = ask(port, **({"Authorization": sent} if sent else {}))
        assert (status, "lockbox_" in text) == (401, False)
    for path in ("/", "/metrics/", "/healthz", "/metricsx"):
        assert ask(port, path=path, Authorization=BEARER)[0] == 404
    assert ask(port, path="/metrics?x=1", Authorization=BEARER)[0] == 200
    assert ask(port, "HEAD", Authorization=BEARER) == (200, "")
    assert ask(port, "POST", Authorization=BEARER)[0] == 501


def test_networks_are_judged_by_the_callers_own_address(port: int, settings: Any) -> None:
    """A web server believes the trusted proxy. A part has no proxy in front of it, so a header names nobody."""
    settings.METRICS_TOKEN, settings.METRICS_ADDRESSES = "", [ip_network("10.2.0.0/16")]
    settings.TRUSTED_PROXY_COUNT = 1
    assert ask(port)[0] == 404
    assert ask(port, **{"X-Forwarded-For": "10.2.3.4"})[0] == 404
    settings.METRICS_ADDRESSES = [ip_network("127.0.0.0/8")]
    assert ask(port)[0] == 200
    assert ask(port, **{"X-Forwarded-For": "127.0.0.1"})[0] == 404
    assert ask(port, Forwarded="for=127.0.0.1")[0] == 404


def test_callers_that_say_nothing_or_little_take_no_more_than_their_places(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "WITHIN", 1.0)
    held = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(parts.MOST_CALLERS)]
    try:
        wait_for(lambda: is_refused(port), within=10, why="all places are taken")
        began = time.monotonic()
        # Each byte begins the wait for the next one again. The limit is for the whole call.
        while time.monotonic() - began < 20 and is_refused(port):
            for each in held:
                with suppress(OSError):
                    each.sendall(b"G")
            time.sleep(0.1)
        assert ask(port, Authorization=BEARER)[0] == 200
    finally:
        for each in held:
            each.close()


def is_refused(port: int) -> bool:
    try:
        return ask(port, Authorization=BEARER)[0] != 200
    except (OSError, http.client.HTTPException):
        return True


def test_a_web_server_answers_for_its_own_container(settings: Any) -> None:
    settings.METRICS_PORT = free_port()
    parts.listen({supervisor.WEB, supervisor.CLUSTER})
    with socket.create_server(("127.0.0.1", settings.METRICS_PORT)):
        pass
