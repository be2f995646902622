"""A real web server with two processes, a worker and a beat, and a real Prometheus that reads them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from audit_app.models import LogAlarm
from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.work.processes import tree
from tests.cast import gather
from tests.monitoring.test_files import RULES, dashboard, rules
from tests.ports import free_port
from tests.sources import text_of
from tests.tasks.conftest import Running, Start, wait_for, web_alone
from tests.tasks.conftest import start as start  # a fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_clock,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]

TOKEN = "a-token-of-the-monitoring"
ON = {"METRICS_TOKEN": TOKEN, "DJANGO_SETTINGS_MODULE": "tests.tasks.patient_settings"}


class Site:
    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **headers: str) -> str:
        """Send a request on a new connection, so that any process of the server may answer it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            found = answer.read().decode()
        except ConnectionResetError:
            # The process that had accepted this connection was killed.
            return self.get(path, **headers)
        finally:
            connection.close()
        return found if answer.status == 200 else str(answer.status)

    def number(self, name: str, **labels: str) -> float:
        """Return a number from an answer that is not a stored one, or 0 if it is not there."""
        for family in text_string_to_metric_families(self.get("/metrics", Authorization=f"Bearer {TOKEN}")):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0

    def answered(self) -> float:
        return self.number("lockbox_http_requests_total", route="/healthz", status="2xx")


def web_processes(running: Running) -> list[int]:
    """Return the processes that serve: the children of the web server's main process that have threads of ours."""
    return [
        pid for pid in tree(running.pid) if pid != running.pid and len(list(Path(f"/proc/{pid}/task").iterdir())) > 8
    ]


def test_both_web_processes_give_the_same_numbers_and_none_is_lost(start: Start) -> None:
    """The number of requests is right for each process that answers, also after a process was killed."""
    gather()
    port = free_port()
    running = web_alone(start, port, workers=2, **ON)
    site = Site(port)
    wait_for(lambda: site.number("lockbox_processes", part="web") == 2, within=30, why="both processes count")
    before = site.answered()
    for _ in range(30):
        site.get("/healthz")
    # Each process gives its last answer again for a moment.
    wait_for(lambda: {site.answered() for _ in range(10)} == {before + 30}, within=10, why="each counts once")
    victim = web_processes(running)[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: site.number("lockbox_processes", part="web") == 2, within=60, why="the process is replaced")
    assert site.answered() >= before + 30
    assert site.get("/metrics", Authorization="Bearer a-token-of-somebody-else") == "401"


# --- With Prometheus -------------------------------------------------------------------------------------

#: An alarm of the test that must fire, because nothing is open.
EXTRA = """
  - name: of-the-test
    rules:
      - {alert: NothingIsOpen, expr: max(lockbox_windows_open) == 0}
      - {alert: SomethingIsOpen, expr: max(lockbox_windows_open) > 0}
"""


class Prometheus:
    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = json.loads(answer.read())
        assert found["status"] == "success"
        return found["data"]

    def value(self, expression: str) -> float | None:
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        return {each["labels"]["alertname"] for each in self.ask("alerts")["alerts"] if each["state"] == "firing"}

    def is_ready(self) -> bool:
        try:
            return bool(self.ask("status/buildinfo"))
        except OSError:
            return False


@contextmanager
def prometheus(place: Path, *targets: int) -> Iterator[Prometheus]:
    """Run a Prometheus that reads the servers at these ports every second, with the alarms of this product."""
    port = free_port()
    place.mkdir()
    (place / "token").write_text(TOKEN)
    (place / RULES.name).write_text(text_of(RULES) + EXTRA)
    job = {
        "job_name": "lockbox",
        "authorization": {"credentials_file": str(place / "token")},
        "static_configs": [{"targets": [f"127.0.0.1:{target}" for target in targets]}],
    }
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [RULES.name],
        "scrape_configs": [job],
    }
    (place / "prometheus.yml").write_text(json.dumps(settings))
    command = [
        "prometheus", f"--config.file={place / 'prometheus.yml'}", f"--storage.tsdb.path={place / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        found = Prometheus(port)
        wait_for(found.is_ready, within=30, why="Prometheus answers")
        yield found
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.deep
def test_prometheus_reads_a_running_installation_and_judges_its_alarms(start: Start, tmp_path: Path) -> None:
    gather()
    port = free_port()
    running = start("lockbox", PORT=str(port), BASE_URL=f"http://127.0.0.1:{port}", CLUSTERS="1", WEB_WORKERS="2", **ON)
    running.until("Ready")
    wait_for(lambda: Heartbeat.objects.filter(name="sweep").exists(), within=60, why="a sweep")
    with prometheus(tmp_path / "prometheus", port) as found:
        wait_for(lambda: found.value("up") == 1, within=30, why="the server is read")
        wait_for(lambda: found.value("lockbox_workers_alive") == 1, within=60, why="the cluster is alive")
        assert found.value("lockbox_database_up") == 1
        assert found.value("lockbox_states_unread") == 0
        wait_for(lambda: found.value('lockbox_processes{part="web"}') == 2, within=30, why="two web processes")
        # The workers and the beat count into the same files.
        wait_for(
            lambda: found.value('sum(lockbox_tasks_total{task="sweep", outcome="done"})'), within=60, why="tasks count"
        )
        assert found.value('time() - lockbox_last_success_timestamp_seconds{task="sweep"}') is not None
        assert (found.value('time() - lockbox_part_last_seen_timestamp_seconds{part="beat"}') or 999) < 60
        wait_for(lambda: found.firing() >= {"NothingIsOpen"}, within=30, why="an alarm is on")
        assert "SomethingIsOpen" not in found.firing()
        unhealthy = [
            (rule["name"], rule.get("lastError", ""))
            for group in found.ask("rules")["groups"]
            for rule in group["rules"]
            if rule["health"] != "ok"
        ]
        assert unhealthy == []
        for expression in [*dashboard(), *(rule["expr"] for rule in rules())]:
            found.ask("query", query=expression.replace("$__rate_interval", "1m"))
        # An alarm about a state begins and ends with the state.
        at = clock.now()
        LogAlarm.objects.create(tenant_id=uuid4(), since=at, last_at=at, code="shorter")
        wait_for(lambda: "LockboxSignerRefuses" in found.firing(), within=30, why="the alarm begins")
        LogAlarm.objects.all().delete()
        wait_for(lambda: "LockboxSignerRefuses" not in found.firing(), within=30, why="the alarm ends")
