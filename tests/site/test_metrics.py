"""The address for Prometheus: who can read it, what is counted, and what it costs."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from audit_app.models import AuditEntry, LogAlarm, SignedHead, SignerLease
from lockbox_site import readiness
from lockbox_site.monitoring import counters, metrics, watching
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import Heartbeat, OutboxMessage, SignOn, TaskAttempt
from requests_app.platform import telemetry
from requests_app.queries import monitoring
from requests_app.work import heartbeats
from tests.cast import Cast

TOKEN = "a-token-of-the-monitoring"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
#: Any of these in a label would tell something about a customer.
PRIVATE = ("contoso", "fabrikam", "northwind", "@", "mailbox")

Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def _fresh(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test its own files, and a process that has counted nothing."""
    settings.METRICS, settings.METRICS_TOKEN, settings.METRICS_ADDRESSES = True, TOKEN, []
    settings.METRICS_DIR = tmp_path / "metrics"
    monkeypatch.setattr(counters, "_counters", None)
    monkeypatch.setattr(counters, "_failed_in", set())
    monkeypatch.setattr(metrics, "ANSWER_WITHIN", 60.0)
    counters.directory.cache_clear()
    metrics.forget()
    yield
    metrics.forget()
    counters.directory.cache_clear()
    if telemetry.has(counters._observer):
        telemetry.remove(counters._observer)


def read(client: Client | None = None, **headers: str) -> str:
    metrics.forget()
    answer = (client or Client()).get("/metrics", headers=headers or BEARER)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def numbers(text: str) -> Numbers:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def number(found: Numbers, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


# --- Who can read it -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_without_a_token_or_networks_the_address_does_not_exist(settings: Any) -> None:
    settings.METRICS, settings.METRICS_TOKEN = False, ""
    answer = Client().get("/metrics")
    assert answer.status_code == 404
    assert b"lockbox_" not in answer.content
    # Not even this machine itself can read it, because a proxy may run on it.
    assert Client().get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("sent", ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ", "Bearer \udcff"])
def test_only_the_token_opens_it(sent: str) -> None:
    answer = Client().get("/metrics", headers={"Authorization": sent} if sent else {})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert b"lockbox_" not in answer.content


@pytest.mark.django_db(transaction=True)
def test_the_token_opens_it_and_nothing_else_can_be_done_there() -> None:
    text = read()
    assert "lockbox_database_up 1.0" in text
    assert Client().post("/metrics", headers=BEARER).status_code == 404
    assert Client().get("/metrics/", headers=BEARER).status_code == 404


ADDRESSES = {
    "an address of the network": (0, "10.2.3.4", {}, 200),
    "another address": (0, "10.3.0.1", {}, 404),
    "behind a proxy that is not trusted": (0, "10.2.3.4", {"X-Forwarded-For": "10.2.3.4"}, 404),
    "behind a proxy that says so in another way": (0, "10.2.3.4", {"Forwarded": "for=10.2.3.4"}, 404),
    "behind the trusted proxy": (1, "192.0.2.1", {"X-Forwarded-For": "8.8.8.8, 10.2.3.4"}, 200),
    "somebody who claims an address": (1, "192.0.2.1", {"X-Forwarded-For": "10.2.3.4, 8.8.8.8"}, 404),
    "past one of two proxies": (2, "10.2.3.4", {"X-Forwarded-For": "10.2.3.4"}, 404),
    "directly, with a trusted proxy elsewhere": (1, "10.2.3.4", {}, 200),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("case", ADDRESSES)
def test_networks_are_judged_by_the_address_that_the_trusted_proxy_saw(settings: Any, case: str) -> None:
    count, peer, headers, status = ADDRESSES[case]
    settings.METRICS_TOKEN, settings.METRICS_ADDRESSES = "", [counters_network("10.2.0.0/16")]
    settings.TRUSTED_PROXY_COUNT = count
    assert Client().get("/metrics", headers=headers, REMOTE_ADDR=peer).status_code == status


def counters_network(text: str) -> Any:
    import ipaddress

    return ipaddress.ip_network(text)


@pytest.mark.django_db(transaction=True)
def test_with_both_settings_a_caller_needs_both(settings: Any) -> None:
    settings.METRICS_ADDRESSES = [counters_network("10.2.0.0/16")]
    found = {
        (peer, bool(headers)): Client().get("/metrics", headers=headers, REMOTE_ADDR=peer).status_code
        for peer in ("10.2.0.1", "10.3.0.1")
        for headers in ({}, BEARER)
    }
    assert found == {
        ("10.2.0.1", False): 401, ("10.2.0.1", True): 200, ("10.3.0.1", False): 404, ("10.3.0.1", True): 404
    }  # fmt: skip


# --- What it tells ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_requests_are_counted_by_route_and_never_by_path(cast: Cast) -> None:
    client = Client()
    row = cast.confirmed()
    for path in (f"/access-requests/{row.pk}/", "/nothing/at/all/", "/accounts/login/", "/healthz", "/.env?a=b"):
        client.get(path)
    client.generic("BREW", "/accounts/login/")
    found = numbers(read())
    routes = {dict(labels)["route"] for name, labels in found if name == "lockbox_http_requests_total"}
    assert routes <= {"/access-requests/<uuid:pk>/", "none", "/accounts/login/", "/healthz", "/metrics"}
    count = "lockbox_http_requests_total"
    assert number(found, count, route="/healthz", method="GET", status="2xx") == 1
    assert number(found, count, route="none", method="GET", status="4xx") == 2
    assert number(found, count, route="/accounts/login/", method="other", status="4xx") == 1
    assert str(row.pk) not in read()


@pytest.mark.django_db(transaction=True)
def test_a_stranger_cannot_make_the_number_of_series_grow() -> None:
    client = Client()
    for turn in range(20):
        client.get(f"/page/{turn}/")
        client.generic(f"M{turn}", f"/page/{turn}/")
    series = {labels for name, labels in numbers(read()) if name == "lockbox_http_requests_total"}
    assert len(series) == 2
    each = counters.Counters()
    for turn in range(counters.MOST_ROUTES + 50):
        each.request(f"/{turn}/", "GET", 200, 0.01)
    assert each.of("lockbox_http_requests_total", "other", "other", "2xx")._value.get() == 50
    # All of them fit into the space that the files had from the beginning.
    sizes = {path.name.rpartition("_")[0]: path.stat().st_size for path in counters.directory().glob("*.db")}
    assert sizes == counters.SIZES


@pytest.mark.django_db(transaction=True)
def test_acts_decisions_and_tasks_are_counted_with_their_outcome(cast: Cast) -> None:
    from requests_app.domain.errors import DomainError

    counters.start()
    row = cast.confirmed()
    operations.deny_as_customer(row.pk, actor=cast.as_("ada"), note="Not now.")
    with pytest.raises(DomainError):
        operations.deny_as_customer(row.pk, actor=cast.as_("alan"), note="Not now.")
    telemetry.happened(telemetry.DECISION, "decision_point", "deny")
    found = numbers(read())
    acts = "lockbox_acts_total"
    assert number(found, acts, act="approve_as_provider", outcome="done") == 1
    assert number(found, acts, act="deny_as_customer", outcome="done") == 1
    assert number(found, acts, act="deny_as_customer", outcome="refused") == 1
    assert number(found, "lockbox_decisions_total", door="decision_point", outcome="deny") == 1


@pytest.mark.django_db(transaction=True)
def test_the_states_are_those_of_the_database(cast: Cast) -> None:
    cast.submitted()
    cast.confirmed()
    cast.opened()
    at = clock.now()
    Heartbeat.objects.create(name="worker:here-1", at=at - dt.timedelta(seconds=5), pid=1)
    Heartbeat.objects.create(name="sweep", at=at, pid=1)
    Heartbeat.objects.create(name="host:contoso", at=at, pid=1)
    TaskAttempt.objects.create(key="a", name="a", first_at=at, last_at=at, parked_at=at)
    LogAlarm.objects.create(tenant_id=cast.tenants["contoso"].pk, since=at, last_at=at, code="shorter")
    OutboxMessage.objects.update(state="parked")
    found = numbers(read())
    assert number(found, "lockbox_access_requests_pending", stage="provider") == 1
    assert number(found, "lockbox_access_requests_pending", stage="customer") == 1
    assert number(found, "lockbox_windows_open") == 1
    assert number(found, "lockbox_workers_alive") == 1
    assert number(found, "lockbox_tasks_parked") == 1
    assert number(found, "lockbox_log_refused", code="shorter") == 1
    tasks = {dict(labels)["task"] for name, labels in found if name.startswith("lockbox_last_success")}
    assert tasks == {"sweep"}
    parked = {labels: value for (name, labels), value in found.items() if name == "lockbox_outbox_parked"}
    assert sum(parked.values()) == OutboxMessage.objects.count() > 0
    assert number(found, "lockbox_states_unread") == 0


@pytest.mark.django_db(transaction=True)
def test_what_is_late_is_shown_before_any_sweep(cast: Cast, travel: Any) -> None:
    cast.confirmed()
    cast.opened()
    travel.by(hours=13)
    found = numbers(read())
    assert number(found, "lockbox_access_requests_overdue") == 1
    assert number(found, "lockbox_windows_overdue") == 1
    assert number(found, "lockbox_windows_open") == 0
    assert number(found, "lockbox_sweep_late_seconds", what="deadline") >= 3600
    assert number(found, "lockbox_sweep_late_seconds", what="window") >= 3600


@pytest.mark.django_db(transaction=True)
def test_saml_metadata_that_needs_somebody_is_counted(cast: Cast) -> None:
    for name, problem in (("contoso", "unreachable"), ("fabrikam", "all_keys"), ("northwind", "")):
        SignOn.objects.create(
            tenant=cast.tenants[name], protocol="saml", identity_provider={}, issuer=name, client_id=name, sealed="",
            metadata_problem=problem, changed_at=clock.now(), is_on=True,
        )  # fmt: skip
    found = numbers(read())
    states = {state: number(found, "lockbox_sign_on_metadata_problems", state=state) for state in ("unread", "changed")}
    assert states == {"unread": 1, "changed": 1}


@pytest.mark.django_db(transaction=True)
def test_heads_that_are_on_one_disk_only_are_counted_where_backups_are_made(cast: Cast, settings: Any) -> None:
    def never_copied() -> float:
        metrics.forget()
        return number(numbers(read()), "lockbox_heads_never_copied")

    SignedHead.objects.create(tenant_id=cast.contoso.pk)
    assert never_copied() == 0, "this installation makes no backups"
    assert "heads_copied" not in readiness.run_checks(["backup"])["backup"]
    heartbeats.touch(Heartbeat.BACKUP, at=clock.now())
    assert never_copied() == 1
    found = readiness.run_checks(["backup"])["backup"]
    assert (found["ok"], found["heads_copied"]) == (True, False)
    settings.LOG_HEADS = "dir:///mnt/lockbox-heads"
    assert never_copied() == 0, "a shared place is not this machine"
    settings.LOG_HEADS = ""
    heartbeats.touch(Heartbeat.HEADS, at=clock.now() - dt.timedelta(days=9))
    assert never_copied() == 0, "LockboxHeadsNotCopied is about this"


@pytest.mark.django_db(transaction=True)
def test_a_restore_is_shown_until_people_have_confirmed_it(cast: Cast) -> None:
    assert number(numbers(read()), "lockbox_restored_unconfirmed", side="customer") == 0
    at = clock.now()
    operations.restored(backup_id=uuid4(), taken_at=at - dt.timedelta(hours=1), at=at)
    found = numbers(read())
    assert number(found, "lockbox_restored_unconfirmed", side="customer") == len(cast.tenants)
    assert number(found, "lockbox_restored_unconfirmed", side="provider") == 1


@pytest.mark.django_db(transaction=True)
def test_the_last_turn_of_a_signer_and_the_last_takeover_are_shown() -> None:
    assert "lockbox_log_signer_last_seconds" not in {name for name, _labels in numbers(read())}
    at = clock.now()
    row = SignerLease.objects.create(host="a", since=at, until=at - dt.timedelta(seconds=100))
    found = numbers(read())
    assert 100 <= number(found, "lockbox_log_signer_last_seconds") < 160
    assert "lockbox_log_signer_taken_over_timestamp_seconds" not in {name for name, _labels in found}
    SignerLease.objects.filter(pk=row.pk).update(taken_from="b", taken_over_at=at)
    taken_over = number(numbers(read()), "lockbox_log_signer_taken_over_timestamp_seconds")
    assert taken_over == pytest.approx(at.timestamp(), abs=1)


@pytest.mark.django_db(transaction=True)
def test_hosts_that_could_sign_and_could_not_are_counted() -> None:
    at = clock.now()
    for name, detail, age in (("a", "", 0), ("b", "", 60), ("c", "failed: its key differs", 0), ("d", "", 7200)):
        seen = at - dt.timedelta(seconds=age)
        Heartbeat.objects.create(name=f"{Heartbeat.SIGNER}{name}", at=seen, pid=1, detail=detail)
    found = numbers(read())
    states = {state: number(found, "lockbox_log_signer_hosts", state=state) for state in ("ready", "refused", "away")}
    assert states == {"ready": 2, "refused": 1, "away": 1}


@pytest.mark.django_db(transaction=True)
def test_no_label_names_a_customer_or_a_person(cast: Cast) -> None:
    counters.start()
    row = cast.opened().access_request
    for name in ("ada", "priya"):
        client = Client()
        client.force_login(cast.people[name])
        client.get(f"/access-requests/{row.pk}/")
        client.get("/log/")
    text = read()
    found = [line for line in text.splitlines() if any(word in line.lower() for word in PRIVATE) and line[0] != "#"]
    assert found == []


@pytest.mark.django_db(transaction=True)
def test_every_metric_of_the_answer_is_declared(cast: Cast) -> None:
    counters.start("web")
    cast.opened()
    declared = {**counters.DECLARED, **monitoring.STATES, **metrics.OF_PROCESS}
    names = {family.name for family in text_string_to_metric_families(read())}
    assert names <= {name.removesuffix("_total") for name in declared}
    assert all(name.startswith("lockbox_") for name in declared)


# --- What it costs ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_many_scrapes_cost_no_more_queries_than_one(cast: Cast) -> None:
    asked: list[int] = []
    real = monitoring.states

    def states() -> Any:
        with CaptureQueriesContext(connection) as queries:
            found = real()
        asked.append(len(queries))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitoring, "states", states)
        metrics.forget()
        for _ in range(20):
            assert Client().get("/metrics", headers=BEARER).status_code == 200
    assert len(asked) == 1
    assert asked[0] <= 20


@pytest.mark.django_db(transaction=True)
def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(cast: Cast) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            monitoring.states()
        return len(found)

    cast.confirmed()
    few = queries()
    for _ in range(5):
        cast.confirmed()
        cast.opened()
    assert queries() == few


@pytest.mark.django_db(transaction=True)
def test_a_frozen_database_does_not_delay_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(monitoring, "states", lambda: release.wait(60) and ([], 0))
    monkeypatch.setattr(metrics, "ANSWER_WITHIN", 0.2)
    began = clock.monotonic()
    try:
        text = Client().get("/metrics", headers=BEARER).content.decode()
    finally:
        release.set()
    assert clock.monotonic() - began < 5
    assert "lockbox_database_up 0.0" in text
    assert "lockbox_build_info" in text
    assert "lockbox_windows_open" not in text


@pytest.mark.django_db(transaction=True)
def test_a_group_that_cannot_be_read_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(at: dt.datetime) -> Any:
        raise OperationalError("no such table: secret")

    monkeypatch.setattr(monitoring, "GROUPS", (broken, *monitoring.GROUPS[1:]))
    found = numbers(read())
    assert number(found, "lockbox_states_unread") == 1
    assert number(found, "lockbox_windows_open") == 0


@pytest.mark.django_db(transaction=True)
def test_reading_it_writes_nothing_and_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    entries = AuditEntry.objects.count()
    with caplog.at_level("INFO"):
        read()
    assert [record for record in caplog.records if "/metrics" in record.getMessage()] == []
    assert AuditEntry.objects.count() == entries


# --- The files of several processes ----------------------------------------------------------------------


def _count_in_child(times: int) -> None:
    for _ in range(times):
        counters.counted(lambda each: each.request("/of-a-child/", "GET", 200, 0.01))


def count_in_child(times: int) -> None:
    """Count in a forked process, which then ends, as a worker of django-q2 does."""
    child = multiprocessing.get_context("fork").Process(target=_count_in_child, args=(times,))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def of_children() -> float:
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in counters.collected()
        for sample in family.samples
    }
    return number(found, "lockbox_http_requests_total", route="/of-a-child/", method="GET", status="2xx")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processes_that_have_ended_count_and_leave_no_files() -> None:
    counters.counted(lambda each: each.request("/of-a-child/", "GET", 200, 0.01))
    sizes = []
    for turn in range(1, 6):
        count_in_child(3)
        assert of_children() == 1 + 3 * turn
        sizes.append(len(list(counters.directory().glob("*.db"))))
    # The files of this process, and one pair for all that have ended.
    assert sizes == [5] * 5


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_files_stay_few_although_nobody_reads_the_metrics() -> None:
    counters.start("web")
    for _ in range(5):
        count_in_child(1)
        counters.tidy()
    assert len(list(counters.directory().glob("*.db"))) == 5


def test_the_files_of_a_living_process_are_not_added_up() -> None:
    counters.counted(lambda each: each.request("/a/", "GET", 200, 0.01))
    before = {path.name for path in counters.directory().glob("*.db")}
    counters.tidy()
    assert {path.name for path in counters.directory().glob("*.db")} == before


def test_a_histogram_of_ended_processes_is_added_up_bucket_by_bucket(tmp_path: Path) -> None:
    code = (
        "import django; django.setup(); from lockbox_site.monitoring import counters;"
        "[counters.counted(lambda each, s=s: each.request('/x/', 'GET', 200, s)) for s in (0.001, 0.3, 20)]"
    )
    env = {
        **os.environ,
        "METRICS_TOKEN": TOKEN,
        "DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "lockbox_site.settings",
    }
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env=env, check=True, cwd=settings.BASE_DIR, timeout=120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "METRICS_DIR", tmp_path / "run" / "metrics")
        counters.directory.cache_clear()
        found = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in counters.collected()
            for sample in family.samples
        }
    name = "lockbox_http_request_duration_seconds"
    of = {"route": "/x/", "method": "GET"}
    buckets = {le: number(found, f"{name}_bucket", **of, le=le) for le in ("0.0025", "0.5", "+Inf")}
    assert buckets == {"0.0025": 2, "0.5": 4, "+Inf": 6}
    assert number(found, f"{name}_count", **of) == 6


def test_a_full_disk_stops_the_counting_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for _ in range(3):
        assert Client().get("/healthz").status_code == 200
    assert len([record for record in caplog.records if "metrics_not_counted" in record.getMessage()]) == 1
    # An empty file would make the address fail from then on, also when there is room again.
    assert list(counters.directory().glob("*.db")) == []
    counters.collected()


def test_a_file_that_is_still_empty_hides_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process makes its file and then takes its space. It can be killed between these two steps."""
    counters.counted(lambda each: each.request("/of-a-child/", "GET", 200, 0.01))
    empty = counters.directory() / "counter_1-1.db"
    empty.touch()
    with monkeypatch.context() as patch:
        patch.setattr(counters.process_names, "has_ended", lambda _name: False)
        assert of_children() == 1
    assert of_children() == 1
    assert not empty.exists(), "its process has ended"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_ended_processes_still_count_when_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    count_in_child(3)
    monkeypatch.setattr(Path, "write_bytes", full)
    assert (of_children(), of_children()) == (3, 3)
    monkeypatch.undo()
    assert of_children() == 3


def test_the_files_of_a_host_that_is_gone_are_deleted_after_a_week() -> None:
    counters.counted(lambda each: each.request("/a/", "GET", 200, 0.01))
    old, new = (settings.METRICS_DIR / name for name in ("gone-1", "other-2"))
    now = clock.here().timestamp()
    for place, age in ((old, 8), (new, 6), (counters.directory(), 8)):
        place.mkdir(exist_ok=True)
        (place / "lock").touch()
        os.utime(place / "lock", (now - age * 86400,) * 2)
    counters.forget_old_hosts(now)
    assert sorted(path.name for path in settings.METRICS_DIR.iterdir()) == sorted([new.name, counters.directory().name])


def test_nothing_is_counted_and_no_file_is_made_without_the_settings(settings: Any) -> None:
    settings.METRICS, settings.TRACES = False, False
    watching.start("web")
    assert Client().get("/healthz").status_code == 200
    assert not settings.METRICS_DIR.exists()
    assert not telemetry.has(counters._observer)


def test_a_process_counts_as_the_part_that_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`customer-lockbox beat` starts a supervisor, which then starts `manage.py beat`."""
    begun: list[str] = []
    monkeypatch.setattr(counters, "start", begun.append)
    for line in (
        "manage.py cluster",
        "/x/lockbox_site/__main__.py beat --skip-checks",
        "customer-lockbox beat",
        "pytest",
    ):
        monkeypatch.setattr(sys, "argv", line.split())
        watching.start()
    assert begun == ["worker", "beat", "", ""]
