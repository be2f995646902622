"""The alarms, their tests, their runbooks and the dashboard fit each other, and every metric in them exists."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Histogram

from lockbox_site.monitoring import counters, metrics, watching
from requests_app.models import Heartbeat
from requests_app.queries import monitoring
from requests_app.work import schedules
from tests.docs.documents import anchors, slug
from tests.isolation.world import routes
from tests.sources import ROOT, text_of

PLACE = ROOT / "deploy" / "monitoring"
RULES, DASHBOARD = PLACE / "lockbox.rules.yml", PLACE / "grafana.json"
TESTS = [PLACE / "rules.test.yml", PLACE / "rules.slow.test.yml"]
RUNBOOKS, DOCUMENT = ROOT / "docs" / "runbooks.md", ROOT / "docs" / "monitoring.md"
#: Metrics of Prometheus itself and of other exporters.
FOREIGN = {
    "up", "ALERTS", "probe_ssl_earliest_cert_expiry", "node_filesystem_avail_bytes", "node_filesystem_size_bytes"
}  # fmt: skip
#: Tasks that run by a timer of the operator.
OF_TIMERS = {Heartbeat.BACKUP, Heartbeat.HEADS}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text_of(RULES))["groups"] for rule in group["rules"]]


def expressions_of_dashboard(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        if "expr" in found:
            yield found["expr"]
        for each in found.values():
            yield from expressions_of_dashboard(each)
    if isinstance(found, list):
        for each in found:
            yield from expressions_of_dashboard(each)


def dashboard() -> list[str]:
    return list(expressions_of_dashboard(json.loads(text_of(DASHBOARD))))


def exposed() -> set[str]:
    """Return the name of each series that the product has."""
    names = {*monitoring.STATES, *metrics.OF_PROCESS}
    for name, (kind, _words, _labels) in counters.DECLARED.items():
        names |= {f"{name}{part}" for part in ("_bucket", "_count", "_sum")} if kind is Histogram else {name}
    return names


def labels_of() -> dict[str, set[str]]:
    found = {name: set(labels) for name, (_, labels) in {**monitoring.STATES, **metrics.OF_PROCESS}.items()}
    for name, (_kind, _words, labels) in counters.DECLARED.items():
        for part in ("", "_bucket", "_count", "_sum"):
            found[name + part] = {*labels, "le"} if part == "_bucket" else set(labels)
    return found


def unknown_metrics(expressions: list[str]) -> list[str]:
    """Return the metrics in these expressions that do not exist, and the labels that their metrics do not have."""
    found = []
    for expression in expressions:
        bare = re.sub(r'"[^"]*"', '""', expression)
        named = set(re.findall(r"\b(?:lockbox|probe|node)_\w+|\bup\b|\bALERTS\b", bare))
        found += [name for name in named if name not in exposed() | FOREIGN]
        for name, selected in re.findall(r"\b(lockbox_\w+)\{([^}]*)\}", bare):
            wanted = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected))
            found += [f"{name}{{{label}}}" for label in wanted - labels_of().get(name, set())]
    return sorted(found)


def test_every_metric_of_the_alarms_and_of_the_dashboard_exists() -> None:
    assert unknown_metrics([rule["expr"] for rule in rules()]) == []
    assert unknown_metrics(dashboard()) == []


def test_an_unknown_metric_or_label_is_found() -> None:
    wrong = ["max(lockbox_no_such)", 'lockbox_outbox_waiting{lane="mail"} > 1', 'lockbox_acts_total{act="x"}']
    assert unknown_metrics(wrong) == ["lockbox_no_such", "lockbox_outbox_waiting{lane}"]


def test_no_label_has_a_name_that_prometheus_gives_to_its_targets() -> None:
    """Prometheus would rename such a label, and no alarm would find it."""
    assert [name for name, labels in labels_of().items() if labels & {"job", "instance"}] == []


def test_every_state_is_on_the_dashboard() -> None:
    shown = " ".join(dashboard())
    assert [name for name in [*monitoring.STATES, *metrics.OF_PROCESS] if not re.search(rf"\b{name}\b", shown)] == []


def test_the_routes_and_tasks_that_the_files_name_exist() -> None:
    text = " ".join([*(rule["expr"] for rule in rules()), *dashboard()])
    known = {f"/{route.path}" for route in routes()} | {f"{early}*" for early in watching.EARLY}
    patterns = re.findall(r'route=~?"([^"]+)"', text)
    assert patterns
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, route) for route in known)] == []
    tasks = set(re.findall(r'last_success_timestamp_seconds\{task="(\w+)"', text))
    assert tasks - {periodic.name for periodic in schedules.PERIODIC} == OF_TIMERS


def test_every_alarm_has_a_section_and_every_section_an_alarm() -> None:
    led_to = {rule["annotations"]["runbook_url"] for rule in rules()}
    sections = {f"docs/runbooks.md#{anchor}" for anchor in anchors(RUNBOOKS)} - {"docs/runbooks.md#runbooks"}
    assert led_to == sections


def test_every_section_names_its_alarms() -> None:
    """Somebody who has only the name of an alarm finds its section."""
    led_to: dict[str, list[str]] = {}
    for rule in rules():
        led_to.setdefault(rule["annotations"]["runbook_url"].partition("#")[2], []).append(rule["alert"])
    parts = re.split(r"^## ", text_of(RUNBOOKS), flags=re.MULTILINE)[1:]
    named = {slug(part.splitlines()[0]): re.findall(r"`(Lockbox\w+)`", part) for part in parts}
    assert named == led_to


def test_every_section_says_the_same_six_things() -> None:
    parts = re.split(r"^## ", text_of(RUNBOOKS), flags=re.MULTILINE)[1:]
    wanted = ["Alarm", "You see", "For customers", "First", "Cause", "Over when"]
    wrong = [part.splitlines()[0] for part in parts if re.findall(r"^\* ([^:]+):", part, flags=re.MULTILINE) != wanted]
    assert wrong == []


def test_every_alarm_has_a_test_in_which_it_fires_and_one_in_which_not() -> None:
    names = {rule["alert"] for rule in rules()}
    assert len(names) == len(rules())
    fires: dict[bool, set[str]] = {True: set(), False: set()}
    for test in [test for path in TESTS for test in yaml.safe_load(text_of(path))["tests"]]:
        for asked in test["promql_expr_test"]:
            [name] = re.findall(r'alertname="(\w+)"', asked["expr"])
            fires[bool(asked["exp_samples"])].add(name)
    assert fires == {True: names, False: names}


def test_every_alarm_has_a_severity_and_a_sentence() -> None:
    assert {rule["labels"]["severity"] for rule in rules()} == {"critical", "warning"}
    assert [rule["alert"] for rule in rules() if not rule["annotations"]["summary"].endswith(".")] == []


def promtool(*arguments: str, cwd: Path = PLACE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)


def test_promtool_accepts_the_alarms_and_their_tests() -> None:
    for arguments in (("check", RULES), *(("test", path) for path in TESTS)):
        done = promtool(arguments[0], "rules", arguments[1].name)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_changed_alarm_fails_its_test(tmp_path: Path) -> None:
    (tmp_path / RULES.name).write_text(text_of(RULES).replace("max(lockbox_tasks_parked) > 0", "vector(0) > 1"))
    (tmp_path / TESTS[0].name).write_text(text_of(TESTS[0]))
    done = promtool("test", "rules", "--run", "LockboxTasksParked", TESTS[0].name, cwd=tmp_path)
    assert done.returncode == 1
    assert "LockboxTasksParked" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-kubernetes.yml"])
def test_promtool_accepts_the_examples_of_the_settings(tmp_path: Path, name: str) -> None:
    example = text_of(PLACE / name)
    assert "/etc/prometheus/lockbox_token" in example
    (tmp_path / "token").write_text("x")
    (tmp_path / RULES.name).write_text(text_of(RULES))
    (tmp_path / name).write_text(example.replace("/etc/prometheus/lockbox_token", str(tmp_path / "token")))
    done = promtool("check", "config", name, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def scrapes(name: str) -> dict[str, dict[str, Any]]:
    return {job["job_name"]: job for job in yaml.safe_load(text_of(PLACE / name))["scrape_configs"]}


def test_prometheus_asks_services_and_ports_that_exist() -> None:
    """Each part counts for itself in containers, so Prometheus asks each service that runs a supervisor."""
    services = yaml.safe_load(text_of(ROOT / "deploy" / "compose.yaml"))["services"]
    port = int(services["worker"]["environment"]["METRICS_PORT"])
    jobs = scrapes("prometheus.yml")
    [parts] = jobs["lockbox-parts"]["dns_sd_configs"]
    assert parts["port"] == port
    [web] = jobs["lockbox"]["static_configs"]
    asked = {*parts["names"], *(target.removesuffix(":8000") for target in web["targets"])}
    counting = {
        name
        for name, service in services.items()
        if service.get("command", [""])[0] in ("web", "worker", "beat", "tools")
    }
    assert asked == counting
    assert {rule["expr"] for rule in rules() if "up{" in rule["expr"]} == {'up{job="lockbox"} == 0'}
    assert set(jobs) == set(scrapes("prometheus-kubernetes.yml"))


def test_the_dashboard_can_be_imported() -> None:
    found = json.loads(text_of(DASHBOARD))
    [variable] = found["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    sources = set(re.findall(r'"uid": "([^"]+)"', text_of(DASHBOARD))) - {found["uid"]}
    assert sources == {"${datasource}"}
    numbers = [panel["id"] for panel in found["panels"]]
    assert len(set(numbers)) == len(numbers)


def row_of(name: str) -> str:
    every = {**monitoring.STATES, **metrics.OF_PROCESS}
    words, labels = every.get(name) or counters.DECLARED[name][1:]
    where = "state" if name in monitoring.STATES else "each process" if name in metrics.OF_PROCESS else "counter"
    return f"| `{name}` | {', '.join(f'`{label}`' for label in labels)} | {where} | {words.rstrip('.')} |"


def test_the_document_lists_every_metric() -> None:
    rows = [line for line in text_of(DOCUMENT).splitlines() if line.startswith("| `lockbox_")]
    assert rows == [row_of(name) for name in sorted({**monitoring.STATES, **metrics.OF_PROCESS, **counters.DECLARED})]


@pytest.mark.parametrize(("name", "most"), [("docs/monitoring.md", 250), ("docs/runbooks.md", 300)])
def test_the_documents_are_short(name: str, most: int) -> None:
    assert len(text_of(ROOT / name).splitlines()) <= most
