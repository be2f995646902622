"""The encrypted copy of the log's key: other programs open it, and the restored key is the same key."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.core.management import CommandError, call_command

from audit_app import keys
from audit_app.models import AuditEntry
from requests_app.models import Installation

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(settings: Any, tmp_path: Path) -> Path:
    """Return an empty data directory, with a new log key."""
    settings.DATA_DIR, settings.LOG_KEY, settings.LOG_KEY_FILE = tmp_path, "", tmp_path / "log_key"
    keys.create()
    return tmp_path


def copied(place: Path) -> tuple[Path, str]:
    """Make a copy. Return its path and its passphrase."""
    copy, shown = place / "away" / "copy.pem", io.StringIO()
    call_command("log_key", "copy", str(copy), stdout=shown)
    found = re.search(r"shown only now: (\S+)", shown.getvalue())
    assert found is not None
    return copy, found[1]


def restored(copy: Path, passphrase: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{passphrase}\n"))
    shown = io.StringIO()
    call_command("log_key", "restore", str(copy), stdout=shown)
    return shown.getvalue()


@pytest.mark.parametrize("rotations", [0, 1])
def test_a_lost_key_is_restored_from_the_copy(place: Path, monkeypatch: pytest.MonkeyPatch, rotations: int) -> None:
    for _ in range(rotations):
        keys.rotate()
    was, publics = keys.load(), keys.load().publics
    copy, passphrase = copied(place)
    before = (place / "log_key").read_text()
    (place / "log_key").unlink()
    shown = restored(copy, passphrase, monkeypatch)
    assert (place / "log_key").read_text() == before
    assert keys.load().publics == publics
    assert len(shown.splitlines()) == len(was.keys) == rotations + 1
    assert (place / "log_key").stat().st_mode & 0o777 == 0o600


def test_openssl_opens_the_copy_and_finds_the_same_key(place: Path) -> None:
    copy, passphrase = copied(place)
    command = ["openssl", "pkey", "-in", str(copy), "-passin", f"pass:{passphrase}", "-pubout", "-outform", "DER"]
    done = subprocess.run(command, capture_output=True, check=True)
    public: Any = load_der_public_key(done.stdout)
    assert public.public_bytes_raw() == keys.load().publics[0]
    wrong = subprocess.run([*command[:5], "pass:wrong", *command[6:]], capture_output=True)
    assert wrong.returncode != 0


def test_the_copy_reveals_nothing_and_its_hash_is_recorded(place: Path) -> None:
    copy, passphrase = copied(place)
    content = copy.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert (place / "log_key").read_text().split()[1].encode() not in content
    row = Installation.objects.values().get()
    assert row["key_copy_hash"] == hashlib.sha256(content).hexdigest()
    assert row["key_copy_confirmed_at"] is None
    entry = AuditEntry.objects.get(event="log.key_copied")
    assert (entry.door, passphrase in str(vars(entry))) == ("command", False)


def test_a_new_copy_has_a_new_passphrase_and_must_be_confirmed_again(place: Path) -> None:
    _copy, first = copied(place)
    Installation.objects.update(key_copy_confirmed_at="2026-11-30T09:00Z")
    copy, second = copied(place)
    assert first != second
    row = Installation.objects.values().get()
    assert row["key_copy_hash"] == hashlib.sha256(copy.read_bytes()).hexdigest()
    assert row["key_copy_confirmed_at"] is None


def test_a_wrong_passphrase_a_wrong_file_and_an_existing_key_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, passphrase = copied(place)
    before = (place / "log_key").read_text()
    with pytest.raises(CommandError, match="There is a log key already"):
        restored(copy, passphrase, monkeypatch)
    assert (place / "log_key").read_text() == before
    (place / "log_key").unlink()
    with pytest.raises(CommandError, match="The passphrase is wrong, or the copy is damaged"):
        restored(copy, "wrong", monkeypatch)
    (place / "other").write_text("no key")
    with pytest.raises(CommandError, match="not an encrypted copy"):
        restored(place / "other", passphrase, monkeypatch)
    with pytest.raises(CommandError, match="missing can't be used"):
        restored(place / "missing", passphrase, monkeypatch)
    assert not (place / "log_key").exists()


@pytest.mark.parametrize(
    ("owner", "mode", "is_open"),
    [
        (0, 0o440, False),  # a secret in a container
        (0, 0o400, False),
        (0, 0o444, True),
        (0, 0o460, True),
        (0, 0o450, True),
        (10001, 0o600, False),
        (10001, 0o640, True),  # who made it can also give it to a group
        (10001, 0o604, True),
    ],
)
def test_a_key_that_root_has_given_to_our_group_can_be_used(
    owner: int, mode: int, is_open: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    facts = os.stat_result([mode, 1, 1, 1, owner, 10001, 1, 0, 0, 0])
    assert keys._is_open_to_others(facts) is is_open
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert keys._is_open_to_others(facts) is bool(mode & 0o077), "root needs no group"
