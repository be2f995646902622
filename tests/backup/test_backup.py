"""A backup is one encrypted file, complete or not there, and it holds everything that a restore needs."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit_app import heads, queries
from audit_app.models import AuditEntry
from lockbox_site import readiness
from lockbox_site.backup import BackupRefused, archive, contents, loading, making, sealing, tables
from lockbox_site.backup.making import Made
from requests_app.domain import clock
from requests_app.models import Heartbeat, Person
from tests.backup.conftest import RECIPIENT, Place, append

SECRET = b"of-the-source-of-the-source-of-the-source"


def readers() -> sealing.Readers:
    return sealing.readers([RECIPIENT], None)


def backup_command(to: Path, **more: Any) -> str:
    out = StringIO()
    call_command("backup", to=to, recipient=[RECIPIENT], stdout=out, **more)
    return out.getvalue()


def test_a_backup_has_every_row_every_key_and_every_head(source: Place, tmp_path: Path) -> None:
    with source.used():
        made = making.make(tmp_path, readers(), at=clock.now())
        found = contents.read(made.path, made.opener)
        assert found.rows["audit_app_auditentry"] == AuditEntry.objects.count() > 0
        assert found.rows["requests_app_person"] == Person.objects.count() > 0
        assert {row.origin for row in found.heads} == {each.head.origin for each in heads.every()} != set()
        log_key = (source.data / "log_key").read_bytes()
    assert found.settings[contents.LOG_KEY] == log_key
    assert found.keys["SECRET_KEY"].encode() == SECRET
    assert b"Litware" in found.settings[contents.ENV]
    # Secrets that are in files, and keys that are only files.
    assert found.keys["METRICS_TOKEN"] == "metrics-token-of-the-source"  # noqa: S105 - of this test
    assert found.settings["settings/saml_key_1"].startswith(b"-----BEGIN PRIVATE KEY-----")
    assert not tables.LEFT_OUT & found.header.columns.keys()


def test_nothing_in_the_file_is_readable_and_age_opens_it(source: Place, backup: Made, identity: Path) -> None:
    raw = backup.path.read_bytes()
    with source.used():
        email = Person.objects.first().email.encode()
    plain = subprocess.run(
        f"age -d -i {identity} {backup.path} | tar -xzO", shell=True, capture_output=True, check=True
    ).stdout
    for secret in (
        SECRET,
        b"metrics-token-of-the-source",
        b"of the service provider",
        email,
        (source.data / "log_key").read_bytes().strip(),
    ):
        assert secret in plain
        assert secret not in raw
    assert backup.path.stat().st_mode & 0o777 == 0o600


def test_a_backup_that_fails_leaves_nothing(source: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(pieces: Any, *_rest: Any) -> Any:
        yield next(pieces)
        raise OSError(28, "No space left on device")

    real = archive.packed
    monkeypatch.setattr(archive, "packed", lambda members: full(real(members)))
    with source.used(), pytest.raises(CommandError, match="No space left on device"):
        backup_command(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with source.used():
        assert readiness.STATES["backup"](clock.now())["ok"] is False
        assert "No space left" in Heartbeat.objects.get(name="backup").detail
        Heartbeat.objects.filter(name="backup").delete()


def test_a_backup_that_crashes_writes_no_memory_to_the_disk(
    source: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and rows are in the memory, so the limit is set before anything is read."""
    done: list[object] = []
    monkeypatch.setattr(making.resource, "setrlimit", lambda *limit: done.append(limit))

    def read(*_words: object) -> Iterator[Any]:
        done.append("read")
        return iter(())

    monkeypatch.setattr(making, "_members", read)
    with source.used():
        making.make(tmp_path, sealing.readers([RECIPIENT], None), at=clock.now())
    assert done == [(making.resource.RLIMIT_CORE, (0, 0)), "read"]


def test_what_a_killed_backup_left_is_removed_and_never_taken_for_a_backup(source: Place, tmp_path: Path) -> None:
    left = tmp_path / ".lockbox-20261201T000000Z-0123abcd.age.partial"
    left.write_bytes(b"half")
    with source.used():
        made = making.make(tmp_path, readers(), at=clock.now())
    assert list(tmp_path.iterdir()) == [made.path]


def test_a_directory_in_which_every_account_can_write_is_refused(source: Place, tmp_path: Path) -> None:
    """Another account could make files with newer names, and `--keep` would remove the real backups."""
    tmp_path.chmod(0o1777)
    with source.used(), pytest.raises(BackupRefused, match=f"Run: chmod o-w {tmp_path}"):
        making.make(tmp_path, sealing.readers([RECIPIENT], None), at=clock.now())
    assert list(tmp_path.iterdir()) == []
    # A group is what containers need.
    tmp_path.chmod(0o770)
    with source.used():
        assert making.make(tmp_path, sealing.readers([RECIPIENT], None), at=clock.now()).path.exists()


def test_a_file_is_never_replaced(source: Place, tmp_path: Path) -> None:
    there = tmp_path / "mine"
    there.write_bytes(b"something")
    with source.used(), pytest.raises(BackupRefused, match="exists already"):
        making.make(there, readers(), at=clock.now())
    assert there.read_bytes() == b"something"
    assert list(tmp_path.iterdir()) == [there]


def test_a_backup_is_one_instant_while_others_write(source: Place, tmp_path: Path, monkeypatch: Any) -> None:
    """Entries that are written after the first rows were read are in no table of the backup."""
    with source.used():
        log = queries.logs()[0]
        before, real = AuditEntry.objects.count(), tables.snapshot
        name = connection.settings_dict["NAME"]

        def write_meanwhile(found: Any) -> None:
            def write() -> None:
                connection.settings_dict["NAME"] = name
                append(log, *range(3, 8))
                connection.close()

            thread = threading.Thread(target=write)
            thread.start()
            thread.join()

        class Slow:
            def __init__(self) -> None:
                self.block = real()

            def __enter__(self) -> Any:
                found = self.block.__enter__()
                write_meanwhile(found)
                return found

            def __exit__(self, *error: Any) -> None:
                self.block.__exit__(*error)

        monkeypatch.setattr(tables, "snapshot", Slow)
        made = making.make(tmp_path, readers(), at=clock.now())
        written = AuditEntry.objects.count()
    assert written == before + 5
    assert contents.read(made.path, made.opener).entries == before


def test_a_verified_backup_is_counted_and_the_oldest_are_removed(source: Place, tmp_path: Path) -> None:
    old = [tmp_path / f"lockbox-2026010{day}T000000Z-0123abcd.age" for day in range(1, 5)]
    other = tmp_path / "notes.txt"
    for path in (*old, other):
        path.write_bytes(b"old")
    with source.used():
        beside = source.files
        printed = backup_command(tmp_path, keep=2)
        assert readiness.STATES["backup"](clock.now())["ok"] is True
        assert source.files == beside, "no scratch file is left"
        assert "entries of logs verified" in printed
        at = clock.now() + dt.timedelta(hours=27)
        assert readiness.STATES["backup"](at)["ok"] is False, "and it is too old after a day"
        Heartbeat.objects.filter(name="backup").delete()
    left = {path.name for path in tmp_path.iterdir()}
    assert {old[3].name, other.name} < left
    assert len(left) == 3


@pytest.mark.sqlite
def test_a_backup_that_does_not_verify_is_not_counted_and_nothing_is_removed(
    source: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "lockbox-20260101T000000Z-0123abcd.age"
    old.write_bytes(b"old")

    def changed(*_given: Any, **_more: Any) -> None:
        raise BackupRefused("The log in this backup is bad, so nothing was changed: entry 4.")

    monkeypatch.setattr(loading, "require_good_logs", changed)
    with source.used():
        with pytest.raises(CommandError, match="entry 4.*not counted") as failure:
            backup_command(tmp_path, keep=1)
        assert failure.value.returncode == 1
        found = readiness.STATES["backup"](clock.now())
        Heartbeat.objects.filter(name="backup").delete()
    assert (found["ok"], found["detail"][:22]) == (False, "The last backup failed")
    assert old.exists()
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".age", ".bad"]


def test_readers_are_needed_and_a_private_key_is_not_printed(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("short\n")
    for given in ([], None), ([RECIPIENT], secret), ([], secret), (["AGE-SECRET-KEY-1ABCDEF"], None):
        with pytest.raises(BackupRefused) as refusal:
            sealing.readers(*given)
        assert "ABCDEF" not in str(refusal.value)


@pytest.mark.postgres
def test_a_policy_that_hides_rows_is_refused_and_not_backed_up(source: Place, tmp_path: Path) -> None:
    with source.used(), connection.cursor() as cursor:
        for change, undo in (
            ("CREATE POLICY hides ON requests_app_tenant AS RESTRICTIVE USING (name <> 'x')",
             "DROP POLICY hides ON requests_app_tenant"),
            ("ALTER TABLE requests_app_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
             "ALTER TABLE requests_app_plan DISABLE ROW LEVEL SECURITY"),
        ):  # fmt: skip
            cursor.execute(change)
            with pytest.raises(BackupRefused, match="can't read all rows of requests_app_(tenant|plan)"):
                making.make(tmp_path, readers(), at=clock.now())
            cursor.execute(undo)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("condition", "is_open"),
    [
        ("((COALESCE(current_setting('lockbox.tenants'::text, true), ''::text) = ''::text) OR (tenant_id = 1))", True),
        ("(COALESCE(current_setting('lockbox.tenants'::text, true), ''::text) = ''::text)", True),
        ("((COALESCE(current_setting('lockbox.tenants'::text, true), ''::text) = ''::text) AND (a = 1))", False),
        ("(((COALESCE(current_setting('lockbox.tenants'::text, true), ''::text) = ''::text) OR b) AND (a = 1))", False),
        ("(name = 'x'::text)", False),
    ],
)
def test_only_a_policy_that_shows_all_rows_is_open(condition: str, is_open: bool) -> None:
    assert tables._is_open(condition) is is_open


@pytest.mark.postgres
def test_a_role_that_may_not_read_a_table_is_refused(source: Place, tmp_path: Path) -> None:
    with source.used(), connection.cursor() as cursor:
        cursor.execute("REVOKE SELECT ON requests_app_plan FROM CURRENT_USER")
        try:
            with pytest.raises(BackupRefused, match="requests_app_plan"):
                making.make(tmp_path, readers(), at=clock.now())
        finally:
            cursor.execute("GRANT SELECT ON requests_app_plan TO CURRENT_USER")


def test_the_passphrase_is_read_from_a_file_and_is_in_no_argument(source: Place, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    (to := tmp_path / "to").mkdir()
    with source.used():
        out = StringIO()
        call_command("backup", to=to, passphrase_file=secret, verify=False, stdout=out)
    (file,) = to.iterdir()
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt ")
    found = contents.read(file, sealing.opener(None, secret))
    assert found.entries > 0
    assert "correct horse" not in out.getvalue()


def test_the_manifest_names_every_file(backup: Made) -> None:
    with sealing.opened(backup.path, backup.opener) as pieces:
        members = dict(archive.unpacked(pieces))
    manifest = json.loads(members[contents.MANIFEST])
    assert set(manifest["files"]) == {name for name in members if not name.startswith("tables/")} - {"manifest.json"}
    assert set(manifest["tables"]) == set(json.loads(members[contents.HEADER])["columns"])
    assert os.path.basename(backup.path).startswith("lockbox-")
