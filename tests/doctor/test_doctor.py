"""The doctor finds each fault, and says what to do. Each test breaks the thing, and reads the line."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django_q.models import OrmQ

from audit_app import keys
from audit_app.models import HeadsPlace, SignedHead, SignerLease
from lockbox_site.doctor import findings, of_backup, of_database, of_machine, of_network, of_sign_on, of_work, running
from lockbox_site.doctor.findings import Check, Finding, Level, examine
from requests_app.domain import clock
from requests_app.models import Heartbeat, Installation, OutboxMessage
from requests_app.work import heartbeats
from tests import saml_idp
from tests.authority import Authority
from tests.cast import Cast
from tests.outbox.conftest import Postbox, Server, _use
from tests.ports import free_port
from tests.site.test_settings import bare
from tests.site.test_statics import collect, storage
from tests.sources import ROOT

__all__ = ["storage"]

pytestmark = [pytest.mark.dialect, pytest.mark.django_db(transaction=True)]

OK, UNKNOWN, WARNING, PROBLEM = Level.OK, Level.UNKNOWN, Level.WARNING, Level.PROBLEM
Lines = list[tuple[Level, str, str]]


def lines(run: Callable[[], Any]) -> Lines:
    """Return what a check finds: level, text and advice."""
    return [(each.level, each.found, each.advice) for each in examine([Check("it", run, seconds=20)])]


def levels(run: Callable[[], Any]) -> list[Level]:
    return [level for level, *_ in lines(run)]


@contextmanager
def changed(statement: str, back: str) -> Iterator[None]:
    """Inside the block, the database is changed by this statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(back)


# --- The machine -----------------------------------------------------------------------------------------------


def test_settings_that_are_probably_wrong_are_named(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    assert levels(of_machine.settings_fit) == [OK]
    site = "https://lockbox.example.com"
    settings.DEBUG, settings.BASE_URL, settings.ALLOWED_HOSTS = True, site, ["other.example"]
    (tmp_path / ".env").write_text("SECRET_KEY=x\nSECRET_KEY_FILE=y\nTRUSTED_PROXY_CUONT=1\n")
    found = lines(of_machine.settings_fit)
    assert [(level, text) for level, text, _ in found] == [
        (PROBLEM, "DEBUG is on. Pages of errors show code and settings."),
        (PROBLEM, f"PRODUCTION is off, but the address is {site}. Cookies and redirects are not protected."),
        (PROBLEM, "BASE_URL leads to lockbox.example.com, which is not in ALLOWED_HOSTS."),
        (WARNING, "No setting has the name TRUSTED_PROXY_CUONT, which is in the file .env."),
    ]  # fmt: skip
    assert found[2][2] == "Add lockbox.example.com to ALLOWED_HOSTS."


def test_an_open_door_to_the_private_network_is_named_in_production(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.PRODUCTION, settings.WEBHOOK_PRIVATE_NETWORK = tmp_path, True, True
    settings.WITNESS_PRIVATE_NETWORK = settings.SSO_PRIVATE_NETWORK = False
    settings.DEFAULT_FROM_EMAIL = "lockbox@example.com"
    [(level, found, advice)] = lines(of_machine.settings_fit)
    assert (level, found.partition(".")[0]) == (WARNING, "WEBHOOK_PRIVATE_NETWORK is on")
    assert advice.startswith("Set WEBHOOK_PRIVATE_NETWORK=off")


def test_a_check_of_the_start_that_fails_is_shown_with_its_hint(settings: Any) -> None:
    assert levels(of_machine.django_fits) == [OK]
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "retry": 30}
    [(level, found, advice)] = lines(of_machine.django_fits)
    assert (level, found) == (PROBLEM, "requests_app.E001: Q_CLUSTER: retry (30) must be above timeout (60).")
    assert advice == "Otherwise one task runs several times at the same time."


def test_an_address_without_tls_is_one_line_and_not_four(settings: Any) -> None:
    settings.PRODUCTION, settings.BASE_URL = True, "http://localhost:8000"
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = settings.SECURE_SSL_REDIRECT = False
    found = [line[1] for line in lines(of_machine.django_fits)]
    assert [line for line in found if "security.W0" in line] == []
    assert len([line for line in found if "http://localhost:8000" in line]) == 1
    assert "All checks of the start pass." not in found
    settings.BASE_URL = "https://lockbox.example.com"
    assert [line for line in lines(of_machine.django_fits) if "security.W012" in line[1]]


def test_a_secret_that_others_can_read_is_named(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.LOG_KEY_FILE = tmp_path, tmp_path / "log_key"
    tmp_path.chmod(0o755)
    for name in (".env", "log_key"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    (tmp_path / ".env").chmod(0o640)
    found = [line for line in lines(of_machine.files_are_private) if str(tmp_path) in line[1]]
    where = tmp_path / ".env"
    assert found == [(PROBLEM, f"Other accounts can read {where} (mode 640).", f"Run: chmod 600 {where}")]
    tmp_path.chmod(0o700)
    assert [line for line in lines(of_machine.files_are_private) if ".env" in line[1]] == []


def test_static_files_that_are_missing_or_old_are_named(storage: Any, settings: Any) -> None:
    [(level, found, advice)] = lines(of_machine.static_files)
    assert (level, found) == (PROBLEM, "The static files are not collected.")
    assert "collectstatic --noinput" in advice
    collect(storage)
    assert levels(of_machine.static_files) == [OK]
    next(Path(settings.STATIC_ROOT).glob("css/site.*.css")).unlink()
    assert levels(of_machine.static_files) == [PROBLEM]


def test_little_room_and_little_memory_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_machine.room_in("data", tmp_path)[0] == OK
    for name, level in (("LITTLE_ROOM", WARNING), ("NO_ROOM", PROBLEM)):
        monkeypatch.setattr(of_machine, name, 1 << 60)
        found = of_machine.room_in("data", tmp_path)
        assert (found[0], str(tmp_path) in found[2]) == (level, True)
    for kilobytes, level in ((10**6, OK), (300_000, WARNING), (50_000, PROBLEM)):
        (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {kilobytes} kB\n")
        monkeypatch.setattr(of_machine, "_MEMORY", tmp_path / "meminfo")
        assert levels(of_machine.memory) == [level]


# --- The database ----------------------------------------------------------------------------------------------


def test_a_database_that_is_not_migrated_is_named() -> None:
    assert levels(of_database.database) == [OK]
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("lockbox_site", "0001_shared_cache")
    try:
        [(level, found, advice)] = lines(of_database.database)
        assert (level, found) == (PROBLEM, "1 migrations are not applied.")
        assert "migrate" in advice
    finally:
        recorder.record_applied("lockbox_site", "0001_shared_cache")


def test_a_log_that_can_be_changed_is_named() -> None:
    assert levels(of_database.log_tables) == [OK]
    if connection.vendor == "postgresql":
        table = "ALTER TABLE audit_app_auditentry"
        off, on = f"{table} DISABLE TRIGGER audit_entry_no_update", f"{table} ENABLE TRIGGER audit_entry_no_update"
    else:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = 'audit_entry_no_update'")
            [on] = cursor.fetchone()
        off = "DROP TRIGGER audit_entry_no_update"
    with changed(off, on):
        [(level, found, advice)] = lines(of_database.log_tables)
    assert level == PROBLEM
    assert found == (
        "The log can be changed: audit_entry_no_update on audit_app_auditentry is missing or switched off."
    )
    assert "verify_audit" in advice
    assert connection.vendor == "sqlite" or f" {on};" in advice, "the statement that mends it"


@pytest.mark.postgres
def test_another_role_that_may_change_the_log_is_named() -> None:
    with changed(
        "GRANT DELETE ON audit_app_auditentry TO pg_monitor", "REVOKE DELETE ON audit_app_auditentry FROM pg_monitor"
    ):
        [(level, found, advice)] = lines(of_database.log_tables)
        with connection.cursor() as cursor:
            cursor.execute(advice.partition(": ")[2])
        assert levels(of_database.log_tables) == [OK], "the statement mends it"
    assert (level, found) == (WARNING, "Other roles may change the log's tables: pg_monitor.")


@pytest.mark.postgres
def test_rows_that_another_tenant_could_read_are_named(cast: Cast) -> None:
    cast.submitted("contoso")
    assert levels(of_database.role) == levels(of_database.row_security) == [OK]
    table = "ALTER TABLE requests_app_ticket"
    with changed(f"{table} NO FORCE ROW LEVEL SECURITY", f"{table} FORCE ROW LEVEL SECURITY"):
        found = lines(of_database.row_security)
        with connection.cursor() as cursor:
            cursor.execute(found[0][2].partition(": ")[2])
        assert levels(of_database.row_security) == [OK], "the statement mends it"
    assert [text for _, text, _ in found] == [
        "Row-level security is off for requests_app_ticket.",
        "A connection of one tenant can read rows of others in requests_app_ticket.",
    ]
    assert {level for level, *_ in found} == {PROBLEM}


@pytest.mark.postgres
def test_more_processes_than_connections_are_named(settings: Any) -> None:
    settings.WEB_WORKERS = 1
    assert levels(of_database.connections) == [OK]
    settings.WEB_WORKERS = 64
    [(level, found, advice)] = lines(of_database.connections)
    assert level == WARNING
    assert f"can open {of_database.connections_needed()}" in found
    assert "ALTER SYSTEM SET max_connections = <the sum>; Then restart PostgreSQL." in advice
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    limit = f"ALTER DATABASE {database} CONNECTION LIMIT"
    with changed(f"{limit} 40", f"{limit} -1"):
        [(_, found, advice)] = lines(of_database.connections)
    assert found.startswith("The server allows 40 connections")
    assert "ALTER DATABASE " in advice
    assert " CONNECTION LIMIT <the sum>; Or lower" in advice


def test_the_documented_sum_of_connections_is_the_doctors(settings: Any) -> None:
    """docs/operators.md counts two web processes, two clusters, a beat and a watchdog for each unit."""
    settings.WEB_WORKERS, settings.WEB_THREADS, settings.CLUSTERS, settings.TOOL_PROXY_PORT = 2, 16, 2, 0
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "workers": 4}
    assert of_database.connections_needed() == 2 * 34 + 2 * 7 + 2 + 1


def test_a_clock_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert levels(of_database.clocks) == [OK]
    right = clock.here
    monkeypatch.setattr(of_database.clock, "here", lambda: right() + dt.timedelta(seconds=30))
    [(level, found, _)] = lines(of_database.clocks)
    assert (level, found) == (WARNING, "This machine's clock is 30 seconds ahead of the database's.")


# --- The work and the log --------------------------------------------------------------------------------------


def test_background_parts_that_do_not_run_are_named_with_the_command_that_starts_them(settings: Any) -> None:
    found = lines(of_work.parts)
    assert [(level, text.partition(":")[0]) for level, text, _ in found] == [
        (PROBLEM, "worker"), (PROBLEM, "beat"), (PROBLEM, "sweep"),
    ]  # fmt: skip
    assert found[1][2] == (
        "Start the beat: systemctl start lockbox-beat. If one runs: journalctl -u lockbox-beat -n 50"
    )
    settings.PROBE_FILE = "/tmp/probe"  # noqa: S108 - nothing is written; a container names it
    assert lines(of_work.parts)[1][2] == (
        "Start the beat: docker compose up -d beat. If one runs: docker compose logs --tail 50 beat"
    )
    settings.PROBE_FILE = ""
    for name in (Heartbeat.BEAT, heartbeats.of_cluster("here-1"), "sweep"):
        heartbeats.touch(name, at=clock.now())
    assert levels(of_work.parts) == [OK]


def test_a_worker_that_runs_no_task_is_named_and_the_task_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_work, "TASK_WITHIN", 0.5)
    [(level, found, _)] = lines(of_work.task)
    assert (level, found) == (PROBLEM, "No worker has run a task within 0 seconds.")
    assert OrmQ.objects.count() == 0


def test_a_task_that_a_worker_has_run_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def take() -> None:
        for _ in range(100):
            if OrmQ.objects.all().delete()[0]:
                break
            time.sleep(0.05)
        connection.close()

    worker = threading.Thread(target=take)
    worker.start()
    assert lines(of_work.task) == [(OK, "A worker has run a task.", "")]
    worker.join()


def test_a_key_that_others_can_read_or_that_is_another_one_is_named(settings: Any, tmp_path: Path) -> None:
    settings.LOG_KEY, settings.LOG_KEY_FILE = "", tmp_path / "log_key"
    assert lines(of_work.log_key) == [(OK, "This machine has no log key, so another machine signs.", "")]
    public = keys.create()
    assert levels(of_work.log_key) == [WARNING, OK], "nobody has confirmed a copy"
    Installation.objects.create(key_copy_confirmed_at=clock.now())
    head = SignedHead.objects.create(tenant_id="00000000-0000-0000-0000-000000000007", key=public)
    assert levels(of_work.log_key) == [OK]
    SignedHead.objects.filter(pk=head.pk).update(key=b"k" * 32)
    [(level, found, _)] = lines(of_work.log_key)
    assert (level, found) == (PROBLEM, "The log key of this machine is not the one that the logs name.")
    settings.LOG_KEY_FILE.chmod(0o644)
    [(level, found, _)] = lines(of_work.log_key)
    assert (level, "can be read by other users" in found) == (PROBLEM, True)
    settings.LOG_KEY_FILE.chmod(0o600)
    settings.LOG_KEY_FILE.write_text("nonsense")
    assert levels(of_work.log_key) == [PROBLEM]


def test_a_host_that_could_not_take_over_the_signing_is_named(settings: Any, tmp_path: Path) -> None:
    settings.LOG_KEY, settings.LOG_KEY_FILE = "", tmp_path / "log_key"
    settings.LOG_HEADS_FILE = tmp_path / "heads.sqlite3"
    keys.create()
    HeadsPlace.objects.create(identity="of another host")
    assert levels(of_work.log_key)[0] == WARNING, "this host may have lost its own heads: an alarm will say so"
    at = clock.now()
    SignerLease.objects.create(host="a", since=at, until=at)
    [(level, found, _)] = lines(of_work.log_key)
    assert level == PROBLEM
    assert "can't take over from the one that signs" in found
    assert "is not the place where the logs were signed" in found


def test_heads_that_can_not_be_written_are_named(settings: Any, tmp_path: Path) -> None:
    settings.LOG_HEADS_FILE = tmp_path / "heads.sqlite3"
    assert levels(of_work.heads_are_writable) == [OK]
    (tmp_path / "file").write_text("")
    settings.LOG_HEADS_FILE = tmp_path / "file" / "heads.sqlite3"
    [(level, _, advice)] = lines(of_work.heads_are_writable)
    assert (level, advice.partition(".")[0]) == (PROBLEM, "Nothing is signed until this works")


def test_a_backup_that_is_missing_old_or_bad_is_named(settings: Any) -> None:
    assert lines(of_backup.backups)[0][:2] == (WARNING, "This installation knows of no backup.")
    heartbeats.touch(Heartbeat.BACKUP, at=clock.now())
    assert levels(of_backup.backups) == [OK]
    heartbeats.report_failure(Heartbeat.BACKUP, "The disk is full.")
    [(level, found, advice)] = lines(of_backup.backups)
    assert (level, found.partition(".")[0]) == (PROBLEM, "The last backup failed")
    assert "backup" in advice
    Heartbeat.objects.all().delete()
    settings.BACKUP_TO = "/srv/backups"
    heartbeats.touch(Heartbeat.BACKUP, at=clock.now() - dt.timedelta(hours=27))
    assert levels(of_backup.backups) == [PROBLEM]


def test_heads_that_are_on_one_disk_only_are_named(settings: Any) -> None:
    heartbeats.touch(Heartbeat.BACKUP, at=clock.now())
    assert levels(of_backup.backups) == [OK], "nothing was signed yet"
    SignedHead.objects.create(tenant_id="00000000-0000-0000-0000-000000000007", key=b"k" * 32)
    assert lines(of_backup.backups)[1][:2] == (WARNING, "The heads were not copied to another place yet.")
    heartbeats.touch(Heartbeat.HEADS, at=clock.now())
    assert levels(of_backup.backups) == [OK]
    heartbeats.touch(Heartbeat.HEADS, at=clock.now() - dt.timedelta(minutes=16))
    assert levels(of_backup.backups) == [OK, WARNING]
    settings.LOG_HEADS = "dir:///mnt/lockbox-heads"
    assert levels(of_backup.backups) == [OK]


def test_files_for_saml_that_can_not_be_used_are_named(settings: Any, tmp_path: Path) -> None:
    assert levels(of_sign_on.provider_sign_on) == [OK]
    pem, certificate = saml_idp.key_pair("provider")
    (tmp_path / "keys.pem").write_text(
        f"{pem.decode()}-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n"
    )
    settings.SSO_SAML_METADATA, settings.SSO_SAML_KEYS = str(tmp_path / "idp.xml"), [str(tmp_path / "keys.pem")]
    assert levels(of_sign_on.provider_sign_on) == [PROBLEM], "there is no such file"
    (tmp_path / "idp.xml").write_bytes(saml_idp.metadata())
    assert levels(of_sign_on.provider_sign_on) == [OK]
    ends = (clock.now() + dt.timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (tmp_path / "idp.xml").write_bytes(saml_idp.metadata(until=ends))
    assert levels(of_sign_on.provider_sign_on) == [WARNING]
    settings.SSO_SAML_KEYS = [str(tmp_path / "idp.xml")]
    [(level, _, advice)] = lines(of_sign_on.provider_sign_on)
    assert (level, "SSO_SAML_KEYS" in advice) == (PROBLEM, True)


def test_what_waits_for_an_operator_is_counted(cast: Cast) -> None:
    assert levels(of_work.waiting) == [OK]
    cast.submitted()
    OutboxMessage.objects.update(state="parked")
    count = OutboxMessage.objects.count()
    [(level, found, _)] = lines(of_work.waiting)
    assert (level, found) == (WARNING, f"{count} messages could not be delivered.")
    OutboxMessage.objects.update(state="waiting", topic="notify.of_a_newer_version")
    [(level, found, _)] = lines(of_work.waiting)
    assert (level, found) == (WARNING, f"{count} messages wait for a worker of a newer version.")


# --- The address and the mail server ---------------------------------------------------------------------------


def test_only_the_doctor_learns_what_arrives_of_a_call(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/healthz", headers={"X-Lockbox-Doctor": "seen:1:forged"}).json() == {"status": "ok"}


def test_a_site_that_leads_here_is_well_and_a_wrong_number_of_proxies_is_named(live_server: Any, settings: Any) -> None:
    settings.BASE_URL, settings.TRUSTED_PROXY_COUNT = live_server.url, 0
    assert lines(of_network.address) == [
        (OK, f"{live_server.url} leads here, and host, scheme and client address arrive.", "")
    ]
    settings.TRUSTED_PROXY_COUNT = 1
    [(level, found, advice)] = lines(of_network.address)
    assert (level, advice) == (PROBLEM, "Set TRUSTED_PROXY_COUNT=0, or correct the proxy.")
    assert found.endswith("TRUSTED_PROXY_COUNT is 1: callers can choose their address.")


class _Proxy(BaseHTTPRequestHandler):
    """A proxy as it must not be: it hides the host, says nothing about TLS, and adds itself."""

    there = ""

    def do_GET(self) -> None:
        import http.client

        made = http.client.HTTPConnection(self.there, timeout=10)
        forwarded = f"{self.headers['X-Forwarded-For']}, 127.0.0.1"
        headers = {"X-Forwarded-For": forwarded, "X-Lockbox-Doctor": self.headers["X-Lockbox-Doctor"]}
        made.request("GET", self.path, headers={**headers, "Host": "inside"})
        answer = made.getresponse()
        body = answer.read()
        made.close()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_proxy_that_hides_the_host_and_is_not_counted_is_named(live_server: Any, settings: Any) -> None:
    settings.TRUSTED_PROXY_COUNT = 0
    handler = type("Handler", (_Proxy,), {"there": live_server.url.removeprefix("http://")})
    with listening(handler) as port:
        settings.BASE_URL = f"http://127.0.0.1:{port}"
        found = lines(of_network.address)
    assert [(level, advice) for level, _, advice in found] == [
        (PROBLEM, "The proxy must pass the header Host unchanged."),
        (PROBLEM, "Set TRUSTED_PROXY_COUNT=1, or correct the proxy."),
    ]
    assert found[1][1].endswith("all callers seem to be the proxy.")


def test_a_site_with_another_time_is_named(live_server: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.BASE_URL, settings.TRUSTED_PROXY_COUNT = live_server.url, 0
    right = clock.here
    monkeypatch.setattr(of_network.clock, "here", lambda: right() + dt.timedelta(seconds=60))
    [(level, found, _)] = lines(of_network.address)
    assert (level, "differs by" in found) == (WARNING, True)


def test_an_address_that_leads_to_another_site_or_nowhere_is_named(settings: Any) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with listening(Other) as port:
        settings.BASE_URL = f"http://127.0.0.1:{port}"
        [(level, found, _)] = lines(of_network.address)
        assert (level, "not as a process of this installation" in found) == (PROBLEM, True)
    [(level, found, _)] = lines(of_network.address)
    assert (level, found) == (PROBLEM, f"http://127.0.0.1:{port} can't be reached from here: Connection refused.")


def test_an_address_that_only_others_can_reach_is_no_failure(live_server: Any, settings: Any) -> None:
    """A container can't say more. On a machine, the web server must answer, and something else than nobody listens."""
    settings.BASE_URL, settings.PROBE_FILE = "https://lockbox.example.test", ""
    settings.HOST, settings.PORT = "127.0.0.1", free_port()
    assert levels(of_network.address) == [PROBLEM]
    assert of_network.no_answer_in_time() is None
    settings.PORT = int(live_server.url.rpartition(":")[2])
    [(level, found, advice)] = lines(of_network.address)
    assert (level, advice) == (UNKNOWN, "Open it from outside. If it works there, ignore this.")
    assert found.startswith("https://lockbox.example.test can't be reached from here: ")
    settings.BASE_URL = f"http://127.0.0.1:{free_port()}"
    assert levels(of_network.address) == [PROBLEM], "no proxy listens"
    settings.PROBE_FILE, settings.PORT = "/tmp/probe", free_port()
    assert levels(of_network.address) == [UNKNOWN], "a container has a network of its own"
    assert of_network.no_answer_in_time() == (UNKNOWN, f"{settings.BASE_URL} can't be reached from here: no answer in "
        "time.", "Open it from outside. If it works there, ignore this.")  # fmt: skip


def test_a_certificate_that_nobody_trusts_is_a_problem_in_a_container_too(settings: Any, tmp_path: Path) -> None:
    settings.PROBE_FILE = "/tmp/probe"
    Authority(tmp_path).self_signed("localhost")
    with listening(BaseHTTPRequestHandler, tmp_path / "localhost.pem") as port:
        settings.BASE_URL = f"https://localhost:{port}"
        [(level, found, _)] = lines(of_network.address)
        assert (level, "certificate" in found) == (PROBLEM, True)


def test_a_mail_server_that_does_not_answer_is_named_and_a_test_mail_arrives(settings: Any) -> None:
    postbox = Postbox()
    server = Server(postbox, hostname="127.0.0.1", port=0)
    server.start()
    try:
        _use(settings, server.port)
        assert levels(of_network.mail_server("")) == [OK]
        assert postbox.received == []
        [(level, found, _)] = lines(of_network.mail_server("op@provider.example"))
        assert (level, postbox.addresses) == (OK, ["op@provider.example"])
    finally:
        server.stop()
    [(level, found, advice)] = lines(of_network.mail_server(""))
    assert (level, f"127.0.0.1:{server.port}" in found, bool(advice)) == (PROBLEM, True, True)
    settings.EMAIL_BACKEND = "requests_app.messages.mails.files.EmailBackend"
    assert levels(of_network.mail_server("")) == [WARNING]
    settings.PRODUCTION = True
    assert levels(of_network.mail_server("")) == [PROBLEM]


# --- The doctor itself -----------------------------------------------------------------------------------------


def test_a_check_that_hangs_or_breaks_delays_and_hides_no_other() -> None:
    is_over = threading.Event()

    def hangs() -> Iterator[Any]:
        yield findings.ok("begun")
        is_over.wait(30)

    def breaks() -> Iterator[Any]:
        raise ValueError("postgres://lockbox:hunter2-hunter2@db")
        yield

    began = time.monotonic()
    found = list(
        examine([Check("one", hangs, seconds=0.2), Check("two", breaks), Check("three", lambda: [findings.ok("well")])])
    )
    is_over.set()
    assert time.monotonic() - began < 5
    assert [(each.name, each.level) for each in found] == [
        ("one", OK), ("one", PROBLEM), ("two", PROBLEM), ("three", OK),
    ]  # fmt: skip
    assert found[1].found == "No answer within 0.2 seconds."
    assert found[2].found == "The check failed (ValueError)."


def test_a_check_that_takes_long_is_announced_and_may_say_what_that_means(
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_over = threading.Event()

    def hangs() -> Iterator[Any]:
        is_over.wait(30)
        yield findings.ok("late")

    checks = [
        Check("quick", lambda: [findings.ok("well")]),
        Check("slow", hangs, seconds=1.2, late=lambda: findings.unknown("late", "wait")),
        Check("slow too", hangs, seconds=1.2, late=lambda: None),
    ]
    found = list(examine(checks, announce=running.announced))
    is_over.set()
    assert [each.level for each in found] == [OK, UNKNOWN, PROBLEM]
    output = capsys.readouterr()
    assert (output.out, [line.split()[1] for line in output.err.splitlines()]) == ("", ["slow", "slow"])


def test_no_secret_is_printed_even_if_a_library_shows_it(settings: Any) -> None:
    settings.SECRET_KEY, out = "s3cret-of-this-site", io.StringIO()
    shown = Finding("it", PROBLEM, "The key s3cret-of-this-site is bad.", "Replace s3cret-of-this-site.")
    assert running.report([shown], out, as_json=False) == 2
    assert "s3cret" not in out.getvalue()
    assert out.getvalue().count(findings.HIDDEN) == 2


@pytest.mark.parametrize(("worst", "status"), [(OK, 0), (UNKNOWN, 0), (WARNING, 1), (PROBLEM, 2)])
def test_the_exit_status_is_that_of_the_worst_line(worst: Level, status: int) -> None:
    found = [Finding("a", OK, "x"), Finding("b", worst, "y", "z"), Finding("c", OK, "x")]
    out = io.StringIO()
    assert running.report(found, out, as_json=True) == status
    report = json.loads(out.getvalue())
    assert report["level"] == worst
    assert report["findings"][1] == {"check": "b", "level": worst, "found": "y", "do": "z"}


def _doctor(place: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "doctor", *words], cwd=ROOT, env=bare(place, **env), capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_the_doctor_works_with_broken_settings(tmp_path: Path) -> None:
    done = _doctor(tmp_path, PORT="many")
    assert (done.returncode, done.stderr) == (2, "")
    first, *_, last = done.stdout.splitlines()
    assert first == "problem  settings      PORT must be a whole number, not 'many'."
    assert "room" in last


@pytest.mark.slow
def test_the_doctor_works_without_a_database_and_prints_no_password(tmp_path: Path) -> None:
    """The server accepts the connection and never answers, as a frozen one does."""
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen()
        url = f"postgres://lockbox:Pa55-of-the-database@127.0.0.1:{frozen.getsockname()[1]}/lockbox"
        began = time.monotonic()
        done = _doctor(tmp_path, "--json", DATABASE_URL=url, PORT="8399")
    assert time.monotonic() - began < 60
    assert (done.returncode, done.stderr) == (2, "")
    found = {row["check"]: row for row in json.loads(done.stdout)["findings"]}
    assert found["database"]["level"] == "problem"
    assert found["row security"]["found"] == "Not checked, because the database can't be used."
    assert "Pa55" not in done.stdout


@pytest.mark.deep
@pytest.mark.postgres
def test_a_superuser_is_named(tmp_path: Path, cast: Cast) -> None:
    url = os.environ.get("DATABASE_ADMIN_URL", "")
    if not url:
        pytest.skip("DATABASE_ADMIN_URL is not set")
    address = url.rpartition("/")[0] + f"/{connection.settings_dict['NAME']}"
    done = _doctor(tmp_path, "--json", DATABASE_URL=address, PORT="8399")
    found = {row["check"]: row for row in json.loads(done.stdout)["findings"]}
    assert found["role"]["found"].endswith("is a superuser, so row-level security does not limit it.")
    assert "can read rows of others" in found["row security"]["found"]
