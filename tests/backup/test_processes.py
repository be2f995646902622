"""The command as a process of its own, in a directory where nothing is, and killed with SIGKILL."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from lockbox_site.backup import contents, making, sealing
from lockbox_site.backup.making import Made
from requests_app.domain import clock
from tests import ground
from tests.backup.conftest import RECIPIENT, Place
from tests.conftest import IS_DEEP

#: Runs the command. The operation that closes windows has tests of its own.
COMMAND = """
import os, sys
from pathlib import Path
from lockbox_site.backup import restoring
prepare = restoring._prepare_django
def prepared():
    prepare()
    from requests_app import operations
    operations.restored = lambda **_given: None
restoring._prepare_django = prepared
sys.exit(restoring.run(sys.argv[1:], data=Path(os.environ["DATA_DIR"]), program="lockbox"))
"""


def environment(place: Place) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    found = inherited | {"DATA_DIR": str(place.data), "PYTHONPATH": str(settings.BASE_DIR)}
    if connection.vendor == "postgresql":
        found["DATABASE_URL"] = ground.database_url(name=place.database)
    return found


def started(place: Place, file: Path, identity: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, str(file), "--identity", str(identity), *words]
    return subprocess.Popen(
        command, env=environment(place), cwd=place.data.parent, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.sqlite
def test_a_check_makes_no_directory_and_no_keys(backup: Made, target: Place, identity: Path) -> None:
    """Reading the settings makes a secret key, which would be another key than the backup's."""
    target.data.rmdir()
    with started(target, backup.path, identity, "--check") as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait(60) == 0, printed
    assert not target.data.exists()


def test_a_backup_is_restored_on_a_machine_that_has_nothing(
    source: Place, backup: Made, target: Place, identity: Path
) -> None:
    """The database of a default installation was in another directory."""
    target.data.rmdir()
    with started(target, backup.path, identity) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait(60) == 0, printed
    assert "The logs were verified: 703 entries" in printed
    # The directory has the keys of the backup, and none that were made now.
    assert target.files == source.files
    assert (connection.vendor == "postgresql") or f"lead to {target.data} now: DATABASE_URL, LOG_HEADS_FILE." in printed
    out = StringIO()
    with target.used():
        assert target.sizes() == source.sizes()
        with pytest.raises(SystemExit) as ended:
            call_command("verify_audit", stdout=out)
    assert ended.value.code == 1, "the signer waits, because the newest heads are lost"
    assert out.getvalue().count("the signer refuses it: unwitnessed") == 2, out.getvalue()


@pytest.mark.deep
def test_a_restore_that_is_killed_at_any_time_leaves_nothing_usable(
    source: Place, target: Place, identity: Path, tmp_path: Path
) -> None:
    chance = random.Random(int(os.environ.get("SEED", "1")))
    with source.used():
        made = making.make(tmp_path, sealing.readers([RECIPIENT], None), at=clock.now())
    began = time.monotonic()
    with started(target, made.path, identity) as process:
        assert process.wait(120) == 0
    took = time.monotonic() - began
    for number in range(30 if IS_DEEP else 1):
        place = Place(tmp_path / f"killed{number}", target.database)
        place.data.mkdir()
        if connection.vendor == "sqlite":
            place.database = str(place.data / "lockbox.sqlite3")
        else:
            with ground._creation()._nodb_cursor() as cursor:
                cursor.execute(f'DROP DATABASE "{place.database}" WITH (FORCE)')
                cursor.execute(f'CREATE DATABASE "{place.database}"')
        with started(place, made.path, identity) as process:
            time.sleep(chance.uniform(0, took))
            process.kill()
            process.wait(30)
        if place.is_empty:
            with started(place, made.path, identity) as process:
                assert process.stdout is not None
                printed = process.stdout.read()
                assert process.wait(120) == 0, printed
        assert place.sizes() == source.sizes(), f"killed in attempt {number}"


@pytest.mark.deep
def test_a_backup_that_is_killed_at_any_time_leaves_no_file_that_looks_complete(
    source: Place, identity: Path, tmp_path: Path
) -> None:
    """Nor does it leave a scratch place, in which the backup is checked."""
    chance = random.Random(int(os.environ.get("SEED", "1")))
    command = [sys.executable, "manage.py", "backup", "--to", str(tmp_path), "--recipient", RECIPIENT]
    words: dict[str, Any] = {"env": environment(source), "cwd": settings.BASE_DIR, "stdout": subprocess.DEVNULL}

    def complete() -> list[Path]:
        return [path for path in tmp_path.iterdir() if path.suffix == ".age" and not path.name.startswith(".")]

    began = time.monotonic()
    assert subprocess.run(command, check=False, **words).returncode == 0
    took = time.monotonic() - began
    for number in range(30 if IS_DEEP else 1):
        with subprocess.Popen(command, **words) as process:
            time.sleep(chance.uniform(0, took))
            process.kill()
            process.wait(30)
        for path in complete():
            assert contents.read(path, sealing.opener(identity, None)).entries == 703, f"killed in attempt {number}"
    before = len(complete())
    assert subprocess.run(command, check=False, **words).returncode == 0
    assert len(complete()) == before + 1
    assert not [path for path in tmp_path.iterdir() if path not in complete()], "drafts are removed by the next backup"
    if connection.vendor == "postgresql":
        with source.used(), connection.cursor() as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'lockbox_verify%'")
            assert cursor.fetchall() == []
    else:
        assert not [name for name in source.files if ".verify-" in name]
