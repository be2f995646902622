"""The name of the logs is stored at the first signature. After that, no setting changes the name."""

import datetime as dt
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from audit_app import checkpoints, heads, keys, log_name, signing_round
from audit_app.models import Checkpoint, LogAlarm, LogOrigin
from audit_app.notes import Note
from lockbox_site import readiness
from requests_app import tasks
from tests import ground
from tests.audit.test_checkpoints import AT, TENANT, append
from tests.site.test_settings import bare, manage
from tests.sources import ROOT

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)
MORE = [UUID(int=number) for number in (21, 22)]


def restarted(settings: Any, name: str, *, is_set: bool = False) -> None:
    """Behave as a process that starts again with this setting and the same database."""
    log_name.forget()
    settings.LOG_ORIGIN, settings.LOG_ORIGIN_IS_SET = name, is_set


def show() -> str:
    out = StringIO()
    call_command("log_key", "show", stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_name_is_written_down_at_the_first_signature(settings: Any) -> None:
    append(1)
    assert (
        "Name under which the logs are signed: localhost (from the settings; can change until the first signature)\n"
        in show()
    )
    assert not LogOrigin.objects.exists()
    checkpoints.sign(TENANT, at=AT)
    assert [(row.origin, row.is_mixed, row.kept_at) for row in LogOrigin.objects.all()] == [("localhost", False, AT)]
    restarted(settings, "elsewhere.example")
    assert "Name under which the logs are signed: localhost (recorded at the first signature)\n" in show()


def test_another_host_does_not_stop_signing(settings: Any) -> None:
    append(3)
    checkpoints.sign(TENANT, at=AT)
    restarted(settings, "elsewhere.example")
    append(2)
    append(1, tenant=MORE[0])
    assert signing_round.work(lambda: AT, limit=9).signed == 2
    assert signing_round.work(lambda: AT + HOUR, limit=9).dated == 2
    for tenant, size in ((TENANT, 5), (MORE[0], 1)):
        checkpoint = checkpoints.newest(tenant, 0)
        assert checkpoint.note.splitlines()[0] == f"localhost/log/{tenant}"
        assert checkpoint.size == heads.get(f"localhost/log/{tenant}").head.size == size
        dated = Note.parse(checkpoint.note).times(log_name.clock_key(keys.load().publics[0], name="localhost"))
        assert dated == [int((AT + HOUR).timestamp())]
    assert not LogAlarm.objects.exists()


def test_a_name_that_is_set_and_contradicts_signs_nothing(settings: Any) -> None:
    append(1)
    checkpoints.sign(TENANT, at=AT)
    restarted(settings, "elsewhere.example", is_set=True)
    append(1)
    for attempt in (lambda: signing_round.work(lambda: AT, limit=9), lambda: checkpoints.sign(TENANT, at=AT)):
        with pytest.raises(log_name.WrongName, match="set LOG_ORIGIN=localhost or remove LOG_ORIGIN"):
            attempt()
    assert Checkpoint.objects.get().size == 1
    assert heads.get(f"localhost/log/{TENANT}").head.size == 1
    assert not LogAlarm.objects.exists(), "it is no fault of the log, and no head is lost"


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
def test_a_name_that_is_set_counts_until_the_first_signature_and_may_stay(settings: Any, name: str) -> None:
    restarted(settings, name, is_set=True)
    append(1)
    assert signing_round.work(lambda: AT, limit=9).signed == 1
    assert log_name.current() == name
    restarted(settings, name, is_set=True)
    assert log_name.contradiction() == ""
    restarted(settings, "localhost")
    assert log_name.current() == name


def test_a_contradicting_name_is_reported_and_stops_the_signer(settings: Any) -> None:
    append(1)
    checkpoints.sign(TENANT, at=AT)
    restarted(settings, "elsewhere.example", is_set=True)
    with structlog.testing.capture_logs() as logged:
        assert tasks.checkpoint() == 0
    assert [entry["event"] for entry in logged] == ["log_name_contradicted"]
    shown = readiness.run_checks(["log"])["log"]
    assert (shown["ok"], shown["alarms"]) == (False, 0)
    for command in (["lockbox", "--no-web"], ["cluster"], ["checkpoint"]):
        with pytest.raises(CommandError) as refused:
            call_command(*command)
        text = str(refused.value)
        assert text == shown["detail"]
        assert text.startswith(
            "LOG_ORIGIN is elsewhere.example, but the logs in this database were signed as localhost"
        )
        assert "adopt" not in text
        assert "vouch" not in text
    assert "localhost (recorded" in show(), "who looks into it is not turned away"


@pytest.mark.parametrize("sql", ["UPDATE audit_app_logorigin SET origin = 'x'", "DELETE FROM audit_app_logorigin"])
def test_the_database_itself_refuses_another_name(sql: str) -> None:
    append(1)
    checkpoints.sign(TENANT, at=AT)
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    with pytest.raises(DatabaseError), transaction.atomic():
        LogOrigin.objects.create(id=2, origin="other", kept_at=AT)


# --- Databases that had signed before names were stored ---------------------------------------------------------


def signed_before(settings: Any, name: str, tenant: UUID) -> None:
    """Sign as an earlier version did: under the name in the settings, and without storing the name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_name, "record", lambda at: None)
        patch.setattr(log_name, "current", lambda: name)
        patch.setattr(log_name, "of_log", lambda tenant_id: name)
        append(2, tenant=tenant)
        checkpoints.sign(tenant, at=AT)


def test_a_database_that_has_signed_takes_the_name_from_there(settings: Any) -> None:
    signed_before(settings, "old.example", TENANT)
    restarted(settings, "new.example")
    append(1)
    assert checkpoints.sign(TENANT, at=AT).size == 3
    assert [(row.origin, row.is_mixed) for row in LogOrigin.objects.all()] == [("old.example", False)]
    assert heads.get(f"old.example/log/{TENANT}").head.size == 3


def test_an_installation_without_signatures_waits_for_the_first_one(settings: Any) -> None:
    append(1)
    assert not LogOrigin.objects.exists()
    signed_before(settings, "old.example", TENANT)
    restarted(settings, "new.example")
    assert log_name.current() == "old.example", "the version before has signed"
    append(1)
    assert checkpoints.sign(TENANT, at=AT).size == 4
    assert LogOrigin.objects.get().origin == "old.example"


def test_logs_of_two_names_continue_each_under_its_own_name(settings: Any) -> None:
    """An earlier version could use two names.

    If the host was renamed, it signed the logs of new tenants under the new name.
    """
    signed_before(settings, "old.example", TENANT)
    signed_before(settings, "old.example", MORE[0])
    signed_before(settings, "new.example", MORE[1])
    LogOrigin.objects.create(origin="old.example", is_mixed=True, kept_at=AT)
    restarted(settings, "new.example")
    assert log_name.current() == "old.example"
    third = UUID(int=23)
    for tenant, name in ((TENANT, "old"), (MORE[0], "old"), (MORE[1], "new"), (third, "old")):
        append(1, tenant=tenant)
        assert checkpoints.sign(tenant, at=AT).note.splitlines()[0] == f"{name}.example/log/{tenant}"
        assert heads.get(checkpoints.origin_of(tenant, 0)).head.size == checkpoints.newest(tenant, 0).size
    assert not LogAlarm.objects.exists()


# --- In separate processes --------------------------------------------------------------------------------------

SIGN = """
import datetime as dt
from uuid import UUID
from django.db import transaction
from audit_app import checkpoints, keys, recorder
keys.create()
actor = {"kind": "system", "id": None, "name": "x", "side": "system", "email": ""}
tenant = UUID(int=7)
entry = recorder.Witnessed(
    tenant_id=tenant, event="ticket.commented", door="pages", actor=actor, subject_type="ticket", subject_id="x"
)
with transaction.atomic():
    recorder.record([entry], at=dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
print(checkpoints.sign(tenant, at=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)).note.splitlines()[0])
"""

CHECKPOINT = """
print("started", flush=True)
import manage, sys
sys.argv = ["manage.py", "checkpoint"]
manage.main()
"""


def web(data_dir: Path, afterwards: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Load the web server in a new process. Then run a script in this process."""
    words = [sys.executable, "-c", f"import lockbox_site.rsgi\n{afterwards}"]
    env = bare(data_dir, DEBUG="on", **environment)
    return subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, timeout=150)


@pytest.mark.slow
def test_the_web_server_does_not_start_under_another_name(tmp_path: Any) -> None:
    shutil.copy(ground.sqlite(), tmp_path / "lockbox.sqlite3")
    done = manage(tmp_path, "shell", "--no-imports", "-c", SIGN)
    assert done.stdout == f"localhost/log/{UUID(int=7)}\n", done.stderr
    done = web(tmp_path, "", LOG_ORIGIN="other.example")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(
        "web: LOG_ORIGIN is other.example, but the logs in this database were signed as local"
    )
    done = web(tmp_path, CHECKPOINT, BASE_URL="https://other.example")
    assert (done.returncode, done.stdout) == (
        0,
        "started\nLogs with new entries signed: 0. Other logs signed again with a new time: 1.\n",
    ), done.stderr
