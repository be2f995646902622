"""The probe of each part, for example: can a web server write acts, and was the signer's log set back?"""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.test import Client

from audit_app import recorder
from audit_app.models import AuditEntry, ChainHead
from lockbox_site import health, readiness
from requests_app.domain import clock
from requests_app.models import Heartbeat, OutboxMessage
from requests_app.platform.database import bounds
from requests_app.work import heartbeats
from tests.stopwatch import in_time

pytestmark = [pytest.mark.dialect, pytest.mark.django_db(transaction=True)]

#: The time limit of a probe, in seconds.
ANSWER_WITHIN = health.ANSWER_WITHIN
TENANT = UUID(int=77)
WEB = "/readyz?part=web"


@pytest.fixture(autouse=True)
def _probes_are_over() -> Iterator[None]:
    """Give the probes enough time on a busy machine."""
    settle()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "ANSWER_WITHIN", 60.0)
        yield
    settle()


def settle() -> None:
    for prober in health.PROBERS:
        prober.settle()


def web(client: Client, status: int) -> dict[str, Any]:
    answer = client.get(WEB)
    assert answer.status_code == status, answer.content
    return answer.json()["checks"]


@contextmanager
def in_each_connection(statement: str) -> Iterator[None]:
    """Inside the block, run this statement in every new connection. Each probe opens a connection."""

    def run(connection: BaseDatabaseWrapper, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    connection_created.connect(run, dispatch_uid="test", weak=False)
    try:
        yield
    finally:
        connection_created.disconnect(dispatch_uid="test")


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def entries_are_refused() -> Iterator[None]:
    """Make every insert of an entry fail, as in a damaged database or without the right to insert."""
    if connection.vendor == "postgresql":
        execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE insufficient_privilege USING MESSAGE = 'secret words'; END $$",
            "CREATE TRIGGER refuse BEFORE INSERT ON audit_app_auditentry FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
    else:
        execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON audit_app_auditentry BEGIN SELECT RAISE(ABORT, 'secret words'); END"
        )
    try:
        yield
    finally:
        if connection.vendor == "postgresql":
            execute("DROP FUNCTION refuse CASCADE")
        else:
            execute("DROP TRIGGER refuse")


@contextmanager
def database_is_read_only() -> Iterator[None]:
    statement = "SET default_transaction_read_only = on" if connection.vendor == "postgresql" else "PRAGMA query_only=1"
    with in_each_connection(statement):
        yield


@contextmanager
def disk_is_full() -> Iterator[None]:
    """Fill the database's disk on SQLite.

    On PostgreSQL, only raise the error: a real full disk would need a disk of its own.
    """
    if connection.vendor == "postgresql":
        execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$",
            "CREATE TRIGGER refuse BEFORE INSERT ON audit_app_auditentry FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        try:
            yield
        finally:
            execute("DROP FUNCTION refuse CASCADE")
    else:
        # Otherwise SQLite would first use pages that are free inside the file.
        execute("VACUUM")
        # One page is less than the file has. SQLite then uses the number that the file has.
        with in_each_connection("PRAGMA max_page_count=1"):
            yield


FAULTS: dict[str, Callable[[], Any]] = {
    "refused": entries_are_refused, "read-only": database_is_read_only, "full": disk_is_full,
}  # fmt: skip
KINDS = {
    "postgresql": {"refused": "InsufficientPrivilege", "read-only": "ReadOnlySqlTransaction", "full": "DiskFull"},
    "sqlite": {"refused": "SQLITE_CONSTRAINT_TRIGGER", "read-only": "SQLITE_READONLY", "full": "SQLITE_FULL"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_web_server_is_not_ready_while_no_act_can_be_written(client: Client, fault: str) -> None:
    connection.close()
    assert web(client, 200)["write"] == {"ok": True}
    settle()
    with FAULTS[fault]():
        found = web(client, 503)
        kind = KINDS[connection.vendor][fault]
        assert found["write"] == {"ok": False, "detail": f"Acts can't be written to the database ({kind})."}
        assert [name for name, check in found.items() if not check["ok"]] == ["write"]
    settle()
    assert web(client, 200)["write"] == {"ok": True}


def test_the_write_leaves_the_hosts_row_and_nothing_else(client: Client) -> None:
    web(client, 200)
    assert [row.name for row in Heartbeat.objects.all()] == [f"host:{heartbeats.host_name()}"]
    assert not AuditEntry.objects.exists()
    assert not ChainHead.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_the_entry_goes_the_recorders_way(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the probe meets the same triggers, constraints and rights as an act."""
    recorded: list[recorder.Witnessed] = []
    genuine = recorder.record

    def record(entries: Any, **rest: Any) -> Any:
        recorded.extend(entries)
        return genuine(entries, **rest)

    monkeypatch.setattr(recorder, "record", record)
    web(client, 200)
    assert len(recorded) == 1


def test_the_write_is_tried_once_in_ten_seconds_for_any_number_of_callers(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written, genuine = [1000.0], [], readiness.write
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])

    def write() -> readiness.Check:
        written.append(1)
        return genuine()

    monkeypatch.setattr(readiness, "write", write)
    for _ in range(20):
        web(client, 200)
    assert len(written) == 1
    now[0] += 9.9
    web(client, 200)
    assert len(written) == 1
    now[0] += 0.1
    web(client, 200)
    assert len(written) == 2


@contextmanager
def held_by_somebody(take: Callable[[], object]) -> Iterator[None]:
    """Take a lock in another connection, and release it only after the block.

    A response that arrives inside the block has not waited for the lock.
    """
    is_taken, release, has_let_go = threading.Event(), threading.Event(), list[bool]()

    def hold() -> None:
        try:
            with transaction.atomic():
                take()
                is_taken.set()
                has_let_go.append(release.wait(120))
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_taken.wait(120)
    try:
        yield
    finally:
        release.set()
        thread.join()
    assert has_let_go == [True], "the lock was given back before the block had ended"


def what_every_act_needs() -> None:
    # On SQLite, the transaction itself blocks all others.
    if connection.vendor == "postgresql":
        execute("LOCK TABLE audit_app_auditentry IN ACCESS EXCLUSIVE MODE")


@pytest.mark.timed
def test_a_stored_ok_does_not_outlive_a_hanging_write(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    real, skipped = time.monotonic, [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: real() + skipped[0])
    web(client, 200)
    with held_by_somebody(what_every_act_needs), monkeypatch.context() as patch:
        patch.setattr(health, "ANSWER_WITHIN", ANSWER_WITHIN)
        skipped[0] += health.WRITE_EVERY + 0.5
        in_time(
            client.get(WEB).status_code == 200,
            "a moment's wait, as for its turn on SQLite, takes nothing out of service",
        )
        skipped[0] += health.WRITE_COUNTS_FOR - health.WRITE_EVERY
        assert (
            "did not answer" in web(client, 503)["write"]["detail"] or "earlier" in web(client, 503)["write"]["detail"]
        )
    settle()
    assert web(client, 200)["write"]["ok"]


def test_somebody_who_asks_while_a_check_runs_hears_what_it_finds(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If two load balancers ask at the same time, both get the true result."""
    genuine, runs = readiness.base, []

    def slowly() -> Any:
        runs.append(1)
        time.sleep(0.3)
        return genuine()

    monkeypatch.setattr(readiness, "base", slowly)
    answers: list[int] = []

    def ask() -> None:
        answers.append(Client().get("/readyz?part=beat").status_code)
        connections.close_all()

    Heartbeat.objects.create(name="beat", at=clock.now(), pid=1)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert len(runs) < 8


@pytest.mark.postgres
def test_a_tenants_locked_log_holds_no_probe_up(client: Client) -> None:
    with transaction.atomic():
        ChainHead.objects.create(tenant_id=TENANT)
    with held_by_somebody(lambda: recorder.lock(TENANT)):
        assert web(client, 200)["write"] == {"ok": True}


def test_with_all_workers_dead_a_web_server_stays_ready(client: Client) -> None:
    assert set(web(client, 200)) == {"static", "database", "migrations", "write"}
    whole = client.get("/readyz")
    assert whole.status_code == 503
    assert [name for name, check in whole.json()["checks"].items() if not check["ok"]] == ["worker", "beat", "sweep"]


@pytest.mark.parametrize("part", readiness.PARTS)
def test_each_part_has_its_own_probe(client: Client, part: str) -> None:
    at = clock.now()
    for name in ("worker:here-1", "beat", "sweep"):
        Heartbeat.objects.create(name=name, at=at, pid=1)
    answer = client.get("/readyz", {"part": part})
    assert (answer.status_code, tuple(answer.json()["checks"])) == (200, readiness.PARTS[part])
    Heartbeat.objects.all().delete()
    assert client.get("/readyz", {"part": part}).status_code == (503 if part in ("worker", "beat") else 200)


@pytest.mark.parametrize("part", ["webb", "", "web,worker"])
def test_an_unknown_part_is_reported(client: Client, part: str) -> None:
    answer = client.get("/readyz", {"part": part})
    assert answer.status_code == 400
    assert "web, worker, beat, tools, signer" in answer.json()["detail"]


def test_the_command_says_the_same_where_no_page_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("ready", "--part", "web")
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        [name, "ok"] for name in readiness.PARTS["web"]
    ]
    with pytest.raises(SystemExit) as end:
        call_command("ready", "--part", "worker")
    assert end.value.code == 1
    assert "worker     NOT OK (age_seconds None, limit_seconds 60)" in capsys.readouterr().out


def test_the_command_looks_at_every_part_where_no_static_file_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that only signs has no static files. Its probe must still check the other parts."""
    monkeypatch.setattr(readiness.statics, "why_not_served", lambda: "The static files are not collected.")
    call_command("ready", "--part", "signer")
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in shown] == [[name, "ok"] for name in readiness.PARTS["signer"]]
    with pytest.raises(SystemExit):
        call_command("ready")
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == list(readiness.ALL)
    assert shown[0].split()[1:3] == ["NOT", "OK"]


@pytest.mark.parametrize("command", [["ready", "--part", "beat"], ["heartbeat", "beat"]])
def test_no_command_that_probes_waits_for_a_database_that_hangs(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Heartbeat.objects.create(name="beat", at=clock.now(), pid=1)
    genuine, waits = clock.now, []

    def now() -> dt.datetime:
        waits.append(bounds.current().read)
        return genuine()

    monkeypatch.setattr(clock, "now", now)
    call_command(*command)
    assert waits
    assert set(waits) == {bounds.ACT_SECONDS}


PROBERS = ("probe-parts_", "probe-read_", "probe-write_")


def test_the_probes_hold_three_threads_and_no_connection(client: Client) -> None:
    # Threads of other tests may have some.
    before = _open_connections() if connection.vendor == "postgresql" else set()
    for _ in range(30):
        client.get("/readyz")
        web(client, 200)
    settle()
    # A web server from another test may have more threads, whose names begin in another way.
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith(PROBERS)]
    assert sorted(names) == ["probe-parts_0", "probe-read_0", "probe-write_0"]
    if connection.vendor == "postgresql":
        # PostgreSQL ends the process of a closed connection a little later.
        until = time.monotonic() + 30
        while (new := _open_connections() - before) and time.monotonic() < until:
            time.sleep(0.05)
        assert new == set()


def _open_connections() -> set[int]:
    """Return the processes of all clients that are connected to this database, without the server's autovacuum."""
    with connection.cursor() as cursor:
        # Without this, PostgreSQL would answer the same for the whole transaction.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        return {pid for [pid] in cursor.fetchall()}


def test_a_host_that_was_taken_away_is_forgotten_after_a_week() -> None:
    from requests_app.work import beat

    at = clock.now()
    old = at - beat.FORGET_AFTER - dt.timedelta(seconds=1)
    for name in ("host:old", "worker:old", "sweep"):
        Heartbeat.objects.create(name=name, at=old, pid=1)
    Heartbeat.objects.create(name="host:new", at=at, pid=1)
    beat.tick()
    left = set(Heartbeat.objects.values_list("name", flat=True))
    assert {"host:new", "sweep"} <= left
    assert not {"host:old", "worker:old"} & left


def test_a_machine_without_stored_heads_makes_no_file_for_them(client: Client) -> None:
    path = Path(settings.LOG_HEADS_FILE)
    path.unlink(missing_ok=True)
    assert client.get("/readyz?part=signer").status_code == 200
    assert not path.exists()
