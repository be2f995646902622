"""The two addresses at which programs ask whether the installation works."""

import datetime as dt
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.test import Client, override_settings
from pytest_django import DjangoAssertNumQueries

from audit_app import restored_database
from audit_app.models import ChainHead, LogAlarm, SignedHead, SignerLease
from lockbox_site import health, readiness
from requests_app.domain import clock
from requests_app.messages.topics import Topic
from requests_app.models import Heartbeat, OutboxMessage, Plan, TaskAttempt, Tenant
from requests_app.platform.database import migrated

#: The time limit of a probe, in seconds.
ANSWER_WITHIN = health.ANSWER_WITHIN


@pytest.fixture(autouse=True)
def _checks_are_over() -> Iterator[None]:
    """Give the probes enough time on a busy machine, and end them after the test.

    Otherwise the next test would get the results of this test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "ANSWER_WITHIN", 60.0)
        yield
    for prober in health.PROBERS:
        prober.settle()
    restored_database.made = restored_database.Comparison()


def beat(name: str, **ago: float) -> None:
    at = clock.now() - dt.timedelta(**ago)
    Heartbeat.objects.create(name=name, at=at, pid=1)


def all_well() -> None:
    beat("worker:here-1", seconds=5)
    beat("beat", seconds=5)
    beat("sweep", seconds=20)


def checks(client: Client, status: int, part: str = "") -> dict[str, Any]:
    answer = client.get("/readyz", {"part": part} if part else {})
    assert answer.status_code == status, answer.content
    assert answer["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer
    return answer.json()["checks"]


def test_healthz_asks_nothing_of_the_database(client: Client) -> None:
    """The test has no mark django_db, so any query is an error."""
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_probe_needs_no_host_name(client: Client) -> None:
    assert client.get("/healthz", headers={"Host": "10.1.2.3"}).status_code == 200
    assert client.get("/accounts/login/", headers={"Host": "10.1.2.3"}).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_readyz_says_ok_when_all_is_well(client: Client) -> None:
    all_well()
    found = checks(client, 200)
    assert list(found) == list(readiness.ALL)
    assert all(check["ok"] for check in found.values())


@pytest.mark.django_db(transaction=True)
def test_readyz_counts_parked_tasks_and_stays_in_service(client: Client) -> None:
    all_well()
    at = clock.now()
    for number, parked_at in enumerate((None, at)):
        TaskAttempt.objects.create(key=str(number), name="t", attempts=3, first_at=at, last_at=at, parked_at=parked_at)
    assert checks(client, 200)["tasks"] == {"ok": True, "parked": 1}


@pytest.mark.django_db(transaction=True)
def test_readyz_names_a_worker_that_is_gone_and_one_that_never_came(client: Client) -> None:
    beat("sweep", seconds=20)
    beat("beat", seconds=5)
    assert checks(client, 503)["worker"] == {"ok": False, "age_seconds": None, "limit_seconds": 60}
    beat("worker:here-1", seconds=61)
    assert checks(client, 503)["worker"]["ok"] is False
    beat("worker:here-2", seconds=1)
    assert checks(client, 200)["worker"]["ok"] is True


@pytest.mark.django_db(transaction=True)
def test_readyz_names_a_sweep_that_does_not_run(client: Client) -> None:
    all_well()
    Heartbeat.objects.filter(name="sweep").update(at=clock.now() - dt.timedelta(seconds=301))
    found = checks(client, 503)
    assert [name for name, check in found.items() if not check["ok"]] == ["sweep"]


@pytest.mark.django_db(transaction=True)
def test_readyz_names_an_outbox_that_nobody_empties(client: Client) -> None:
    all_well()
    at = clock.now()
    plan = Plan.objects.create(name="E5")
    tenant = Tenant.objects.create(name="Contoso", slug="contoso", plan=plan, created_at=at)
    due = {"tenant": tenant, "topic": Topic.WEBHOOK_OFF, "about": tenant.pk, "created_at": at}
    OutboxMessage.objects.create(key="later", next_attempt_at=at + dt.timedelta(hours=1), **due)
    assert checks(client, 200)["outbox"]["age_seconds"] == 0
    OutboxMessage.objects.create(key="late", next_attempt_at=at - dt.timedelta(seconds=901), **due)
    assert checks(client, 503)["outbox"]["ok"] is False
    # A restart would not send what only another version can send.
    OutboxMessage.objects.update(topic="notify.of_a_newer_version")
    assert checks(client, 200)["outbox"] == {
        "ok": True, "age_seconds": 0, "limit_seconds": 900, "of_another_version": 2,
    }  # fmt: skip


def head(number: int, **columns: Any) -> ChainHead:
    return ChainHead.objects.create(tenant_id=UUID(int=number), size=1, **columns)


@pytest.mark.django_db(transaction=True)
def test_readyz_names_entries_that_nobody_signs(client: Client) -> None:
    all_well()
    at = clock.now()
    head(1)
    head(2, unsigned_since=at - dt.timedelta(seconds=170))
    found = checks(client, 200)["log"]
    assert (found["late"], found["limit_seconds"]) == (0, 180)
    assert 170 <= found["age_seconds"] < 180
    head(3, unsigned_since=at - dt.timedelta(seconds=181))
    found = checks(client, 503)["log"]
    assert (found["ok"], found["late"], found["alarms"]) == (False, 1, 0)
    assert 181 <= found["age_seconds"] < 190


@pytest.mark.django_db(transaction=True)
def test_readyz_counts_the_logs_that_are_refused_and_says_nothing_of_them(client: Client) -> None:
    all_well()
    at = clock.now()
    alarm = LogAlarm.objects.create(tenant_id=UUID(int=1), since=at, last_at=at, code="shorter", detail={"signed": 9})
    SignedHead.objects.create(tenant_id=alarm.pk, size=9, dated_at=at - dt.timedelta(days=1))
    assert checks(client, 503)["log"] == {
        "ok": False,
        "alarms": 1,
        "late": 0,
        "age_seconds": 0,
        "limit_seconds": 180,
        "heartbeat_age_seconds": 0,
        "heartbeat_limit_seconds": 3780,
    }
    alarm.delete()
    found = checks(client, 503)["log"]
    assert (found["alarms"], found["heartbeat_age_seconds"] // 60) == (0, 24 * 60)


@pytest.mark.django_db(transaction=True)
def test_readyz_says_when_a_host_took_over_the_signing_and_names_no_host(client: Client) -> None:
    all_well()
    at = clock.now()
    row = SignerLease.objects.create(host="secret-a", since=at, until=at)
    assert "taken_over_seconds_ago" not in checks(client, 200)["log"]
    SignerLease.objects.filter(pk=row.pk).update(taken_from="secret-b", taken_over_at=at - dt.timedelta(seconds=70))
    found = checks(client, 200)["log"]
    assert found["taken_over_seconds_ago"] // 10 == 7
    assert "secret" not in str(found)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(os.name != "posix", reason="elsewhere the mode of a file says nothing")
def test_readyz_says_that_the_key_is_open_to_others_and_not_where_it_is(client: Client, tmp_path: Path) -> None:
    all_well()
    path = tmp_path / "log_key"
    with override_settings(LOG_KEY="", LOG_KEY_FILE=path):
        assert "detail" not in checks(client, 200)["log"], "another machine may have it"
        path.write_text("secret")
        path.chmod(0o640)
        found = checks(client, 503)["log"]
        assert found["ok"] is False
        assert "chmod 600" in found["detail"]
        assert str(tmp_path) not in found["detail"]
        path.chmod(0o600)
        assert checks(client, 200)["log"]["ok"] is True


@pytest.mark.django_db(transaction=True)
def test_readyz_names_a_heartbeat_that_does_not_come(client: Client) -> None:
    all_well()
    at = clock.now()
    row = SignedHead.objects.create(tenant_id=UUID(int=1), size=1, dated_at=at - dt.timedelta(seconds=3770))
    SignedHead.objects.create(tenant_id=UUID(int=2))
    assert checks(client, 200)["log"]["ok"] is True
    SignedHead.objects.filter(pk=row.pk).update(dated_at=at - dt.timedelta(seconds=3781))
    found = checks(client, 503)
    assert [name for name, check in found.items() if not check["ok"]] == ["log"]


@pytest.mark.dialect
@pytest.mark.django_db(transaction=True)
def test_readyz_reads_any_number_of_logs_from_indexes(django_assert_num_queries: Any) -> None:
    at = clock.now()
    ChainHead.objects.bulk_create(ChainHead(tenant_id=UUID(int=number), size=1) for number in range(1, 3000))
    with django_assert_num_queries(5) as ran:
        assert readiness.STATES["log"](at)["ok"] is True
    plans = []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE audit_app_chainhead")
        for query in ran.captured_queries:
            if "audit_app_chainhead" in query["sql"]:
                cursor.execute(
                    ("EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN ") + query["sql"]
                )
                plans.append(str(cursor.fetchall()))
    assert len(plans) == 2
    assert all("chain_head_unsigned" in plan for plan in plans), plans


@pytest.mark.django_db(transaction=True)
def test_readyz_names_migrations_that_are_missing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    all_well()
    monkeypatch.setattr(migrated, "missing", lambda: 2)
    found = checks(client, 503)
    assert found == {"static": {"ok": True}, "database": {"ok": True}, "migrations": {"ok": False, "unapplied": 2}}


def test_readyz_hides_what_the_driver_says(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> dt.datetime:
        raise OperationalError('connection to "10.0.0.5" failed: password "hunter2" wrong')

    monkeypatch.setattr(readiness.clock, "now", refuse)
    found = checks(client, 503)
    assert found.pop("static") == {"ok": True}
    assert found == {"database": {"ok": False, "detail": "The database can't be used (OperationalError)."}}


def test_readyz_answers_in_time_while_the_database_hangs(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    calls: list[int] = []
    ended: list[bool] = []

    def hang() -> dt.datetime:
        calls.append(1)
        ended.append(released.wait(60))
        raise OperationalError

    monkeypatch.setattr(readiness.clock, "now", hang)
    monkeypatch.setattr(health, "ANSWER_WITHIN", ANSWER_WITHIN)
    try:
        assert "did not answer in time" in checks(client, 503)["database"]["detail"]
        assert "earlier check" in checks(client, 503)["database"]["detail"]
        assert ANSWER_WITHIN <= 1.5
        assert (calls, ended) == ([1], []), "it hangs on, and nobody waits for it"
    finally:
        released.set()


@pytest.mark.django_db(transaction=True)
def test_readyz_opens_no_session(client: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    client.cookies[settings.SESSION_COOKIE_NAME] = "a" * 32
    with django_assert_num_queries(0):  # on this thread's connection, because the checks use their own
        client.get("/readyz")
