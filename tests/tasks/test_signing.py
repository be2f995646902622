"""The task that signs the logs, and the commands that create, rotate and retire its keys."""

import datetime as dt
import itertools
import os
import stat
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import transaction
from django_q.models import OrmQ

from audit_app import checkpoints, keys, log_name
from audit_app.models import AuditEntry, Checkpoint, LogAlarm, LogKey
from audit_app.notes import Note, Verifier
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.acts.log import LOG_KEY_ROTATED
from requests_app.models import Heartbeat
from requests_app.operations._change import PROVIDER_LOG
from requests_app.platform import bell
from requests_app.work import schedules
from tests.audit.test_checkpoints import TENANT, append, cut_to
from tests.cast import Cast, gather

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = dt.timedelta(minutes=1)


def output_of(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out, stderr=StringIO())
    return out.getvalue()


def names(logged: list[Any]) -> list[tuple[str, str]]:
    return [(entry["event"], entry.get("code", "")) for entry in logged]


@pytest.fixture
def own_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "log_key"
    monkeypatch.setattr(settings, "LOG_KEY_FILE", path)
    monkeypatch.setattr(settings, "LOG_KEY", "")
    return path


# --- The task --------------------------------------------------------------------------------------------


def test_a_host_reports_that_it_can_sign_and_why_it_can_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, travel: Any
) -> None:
    """So that somebody sees that a second host can't take over, before it has to."""

    def report_of(name: str) -> tuple[str, dt.datetime]:
        monkeypatch.setattr(settings, "LOG_SIGNER_NAME", name)
        tasks.checkpoint()
        row = Heartbeat.objects.get(name=f"signer:{name}")
        return row.detail, row.at

    append(1)
    assert report_of("a")[0] == ""
    with monkeypatch.context() as patch:
        (tmp_path / "other").mkdir()
        patch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}/other")
        refused, first_at = report_of("b")
        assert "is not the place where the logs were signed before" in refused
        travel.by(seconds=30)
        # Nothing has changed, so nothing is written, until a minute has passed.
        assert report_of("b") == (refused, first_at)
        travel.by(seconds=60)
        assert report_of("b")[1] > first_at
    assert report_of("b")[0] == ""


def test_a_host_without_a_key_reports_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "LOG_KEY_FILE", tmp_path / "none")
    monkeypatch.setattr(settings, "LOG_KEY", "")
    tasks.checkpoint()
    assert not Heartbeat.objects.filter(name__startswith="signer:").exists()


def test_every_log_is_signed_by_the_task_and_dated_an_hour_later(travel: Any) -> None:
    cast = gather()
    cast.submitted()
    at = travel.freeze()
    operations.save_plan(actor=cast.as_("stella"), name="E3", includes_lockbox=True)
    entries = Counter(AuditEntry.objects.values_list("tenant_id", flat=True))
    assert entries.keys() == {cast.contoso.pk, PROVIDER_LOG}
    assert tasks.checkpoint() == 2
    assert Counter({row.tenant_id: row.size for row in Checkpoint.objects.all()}) == entries
    assert tasks.checkpoint() == 0
    travel.to(at + dt.timedelta(hours=1))
    assert tasks.checkpoint() == 2
    assert Counter({row.tenant_id: row.size for row in Checkpoint.objects.all()}) == entries
    assert set(Checkpoint.objects.values_list("dated_at", flat=True)) == {clock.now()}


def test_the_beat_asks_for_it_far_more_often_than_once_a_minute() -> None:
    assert bell.CHECKPOINT in schedules.FUNCTIONS
    assert settings.SWEEP_SECONDS <= 30


def test_a_machine_without_the_key_leaves_it_to_another(own_key: Path) -> None:
    append(1)
    with structlog.testing.capture_logs() as logged:
        assert tasks.checkpoint() == 0
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [("log_key_absent", "debug")]
    assert not Checkpoint.objects.exists()


def test_a_key_that_cannot_be_read_is_an_error_that_never_shows_it(own_key: Path) -> None:
    append(1)
    own_key.parent.mkdir()
    own_key.write_text("lockbox-log-key-v1 c2VjcmV0LXNlY3JldA==\n")
    own_key.chmod(0o600)
    with structlog.testing.capture_logs() as logged:
        assert tasks.checkpoint() == 0
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [("log_key_unreadable", "error")]
    assert "not an Ed25519 seed" in logged[0]["why"]
    assert "c2Vj" not in str(logged)
    assert not Checkpoint.objects.exists()


def test_a_file_that_is_no_text_is_no_key(own_key: Path) -> None:
    own_key.parent.mkdir()
    own_key.write_bytes(b"\xff\xfe\x00")
    own_key.chmod(0o600)
    with pytest.raises(keys.BadKey, match="the log key is not a line"):
        keys.load()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere these bits say nothing")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_may_read_is_not_used(own_key: Path, mode: int) -> None:
    output_of("log_key", "create")
    append(1)
    own_key.chmod(mode)
    before = own_key.read_bytes()
    with structlog.testing.capture_logs() as logged:
        assert tasks.checkpoint() == 0
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [("log_key_unreadable", "error")]
    assert "chmod 600" in logged[0]["why"]
    assert not Checkpoint.objects.exists()
    for words in (("show",), ("create", "--if-missing"), ("rotate",), ("retire", "--anyway")):
        with pytest.raises(CommandError, match=r"^The log key's file can be read by other users.*chmod 600"):
            output_of("log_key", *words)
    assert own_key.read_bytes() == before
    own_key.chmod(0o400)
    assert tasks.checkpoint() == 1


def test_a_file_outside_that_cannot_be_written_is_an_error_and_blames_no_log() -> None:
    append(1)
    Path(settings.LOG_HEADS_FILE).mkdir()
    try:
        with structlog.testing.capture_logs() as logged:
            assert tasks.checkpoint() == 0
    finally:
        Path(settings.LOG_HEADS_FILE).rmdir()
    assert names(logged) == [("log_heads_unavailable", "")]
    assert not Checkpoint.objects.exists()
    assert not LogAlarm.objects.exists()


def test_a_refusal_is_logged_once_and_its_end_too(travel: Any) -> None:
    append(10)
    at = travel.freeze()
    assert tasks.checkpoint() == 1
    with transaction.atomic():
        cut_to(7)
    append(1, what="forged")
    with structlog.testing.capture_logs() as logged:
        tasks.checkpoint()
        tasks.checkpoint()
        travel.to(at + 2 * MINUTE)
        tasks.checkpoint()
    assert names(logged) == [("log_signing_refused", "shorter")]
    assert logged[0]["tenant"] == str(TENANT)
    assert LogAlarm.objects.get().last_at == at + 2 * MINUTE, "it was looked into again"
    append(2, what="forged")
    travel.to(at + 4 * MINUTE)
    with structlog.testing.capture_logs() as logged:
        tasks.checkpoint()
    assert names(logged) == [("log_signing_refused", "different")]


def test_a_repaired_log_is_signed_and_reported_as_correct(travel: Any) -> None:
    append(10)
    at = travel.freeze()
    tasks.checkpoint()
    path = Path(settings.LOG_HEADS_FILE)
    aside = path.rename(path.with_suffix(".aside"))
    append(1)
    with structlog.testing.capture_logs() as logged:
        assert tasks.checkpoint() == 0
    assert names(logged) == [("log_signing_refused", "outside_behind")]
    aside.rename(path)
    with structlog.testing.capture_logs() as logged:
        assert tasks.checkpoint() == 0, "it is looked into a minute later"
        travel.to(at + MINUTE)
        assert tasks.checkpoint() == 1
    assert names(logged) == [("log_signing_recovered", "")]
    assert not LogAlarm.objects.exists()


def test_remaining_logs_are_left_to_the_next_task(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        append(1, tenant=UUID(int=number))
    monkeypatch.setattr(tasks, "BATCH", 1)
    ticks = itertools.count(step=8.0)
    monkeypatch.setattr(clock, "monotonic", lambda: next(ticks))
    assert tasks.checkpoint() == 1
    assert [row.func() for row in OrmQ.objects.all()] == [bell.CHECKPOINT]
    assert Checkpoint.objects.count() == 1
    monkeypatch.undo()
    tasks.checkpoint()
    assert Checkpoint.objects.count() == 3
    assert OrmQ.objects.count() == 1


# --- The key ---------------------------------------------------------------------------------------------


def test_a_key_is_made_once_for_its_owner_alone(own_key: Path) -> None:
    vkey = Verifier.parse(output_of("log_key", "create").strip())
    assert vkey == log_name.clock_key(keys.load().publics[0])
    assert stat.S_IMODE(own_key.stat().st_mode) == 0o600
    before = own_key.read_bytes()
    assert output_of("log_key", "create", "--if-missing") == ""
    with pytest.raises(CommandError, match=r"^There is a log key already\.$"):
        output_of("log_key", "create")
    assert own_key.read_bytes() == before
    assert [path.name for path in own_key.parent.iterdir()] == ["log_key"], "no draft of it is left"


def test_no_second_key_is_made_where_another_has_signed(own_key: Path) -> None:
    output_of("log_key", "create")
    append(1)
    tasks.checkpoint()
    own_key.unlink()
    for words in (("create",), ("create", "--if-missing")):
        with pytest.raises(CommandError, match="signed with a key that is not on this machine"):
            output_of("log_key", *words)
        assert not own_key.exists()
    output_of("log_key", "create", "--anyway")
    append(1)
    assert tasks.checkpoint() == 1
    assert AuditEntry.objects.order_by("seq").last().event == LOG_KEY_ROTATED


def test_a_key_from_the_environment_is_shown_and_not_changed_here(
    own_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_of("log_key", "create")
    monkeypatch.setattr(settings, "LOG_KEY", own_key.read_text())
    own_key.unlink()
    public = keys.load().publics[0]
    assert output_of("log_key", "create", "--if-missing") == ""
    assert output_of("log_key", "show").splitlines()[1:] == [f"{log_name.clock_key(public)}  signs"]
    with pytest.raises(CommandError, match="comes from the environment"):
        output_of("log_key", "rotate")
    assert not own_key.exists()


def test_only_public_keys_are_shown(own_key: Path) -> None:
    with pytest.raises(
        CommandError, match=r"^There is no log key yet; make one with “\S+ log_key create --data-dir \S+”\.$"
    ):
        output_of("log_key", "show")
    output_of("log_key", "create")
    secret = own_key.read_text().split()[1]
    old = keys.load().publics[0]
    cast: Cast = gather()
    cast.submitted()
    tasks.checkpoint()
    output_of("log_key", "rotate")
    new = keys.load().publics[0]
    shown = output_of("log_key", "show")
    assert shown.splitlines() == [
        "Name under which the logs are signed: localhost (recorded at the first signature)",
        f"{log_name.clock_key(new)}  signs",
        f"{log_name.clock_key(old)}  also signs until it is retired",
    ]
    origin = checkpoints.origin_of(cast.contoso.pk, 0)
    of_contoso = output_of("log_key", "show", "--tenant", "contoso")
    assert of_contoso.splitlines() == [str(keys.log_key(origin, new)), str(keys.log_key(origin, old))]
    assert output_of("log_key", "show", "--tenant", str(cast.contoso.pk)) == of_contoso
    assert secret not in shown + of_contoso
    with pytest.raises(CommandError) as caught:
        output_of("log_key", "show", "--tenant", "nobody")
    assert (str(caught.value), caught.value.returncode) == ("There is no tenant nobody.", 2)


def test_a_rotation_from_its_beginning_to_its_end(own_key: Path) -> None:
    with pytest.raises(CommandError, match="There is no log key on this machine"):
        output_of("log_key", "rotate")
    output_of("log_key", "create")
    first = own_key.read_text()
    append(2)
    append(2, tenant=UUID(int=2))
    assert tasks.checkpoint() == 2
    with pytest.raises(CommandError, match=r"^There is no old key to remove\.$"):
        output_of("log_key", "retire")
    output_of("log_key", "rotate")
    assert own_key.read_text().endswith(first)
    assert stat.S_IMODE(own_key.stat().st_mode) == 0o600
    both = own_key.read_text()
    with pytest.raises(CommandError, match="A rotation is under way"):
        output_of("log_key", "rotate")
    with pytest.raises(CommandError, match="2 logs were not yet signed with the new key"):
        output_of("log_key", "retire")
    assert own_key.read_text() == both
    append(1)
    append(1, tenant=UUID(int=2))
    assert tasks.checkpoint() == 2
    old, new = (keys.log_key(checkpoints.origin_of(TENANT, 0), public) for public in reversed(keys.load().publics))
    note = Note.parse(checkpoints.newest(TENANT, 0).note)
    assert note.times(old) == note.times(new) == [None]
    assert output_of("log_key", "retire") == "1 old key was removed.\n"
    assert keys.load().publics == [new.public]
    assert LogKey.objects.count() == 2


def test_a_key_may_be_retired_while_a_log_cannot_be_signed_any_more(own_key: Path) -> None:
    output_of("log_key", "create")
    append(1)
    tasks.checkpoint()
    output_of("log_key", "rotate")
    assert output_of("log_key", "retire", "--anyway") == "1 old key was removed.\n"


@pytest.mark.parametrize("words", [(), ("nonsense",), ("show", "--secret")])
def test_nonsense_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        output_of("log_key", *words)
