"""A backup of one version of PostgreSQL is restored into another one: from the oldest to the newest, and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from bench.storm.postgres import _programs
from tests.backup.conftest import RECIPIENT

OLDEST = Path("/usr/lib/postgresql/15/bin")
WORLD = settings.BASE_DIR / "bench" / "storm" / "world.py"


@pytest.fixture(autouse=True)
def _database_is_open() -> None:
    """This test uses servers of its own."""


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, str]]:
    """Start a server of each version. Yield their addresses by version."""
    assert OLDEST.is_dir(), "This test needs PostgreSQL 15: apt-get install postgresql-15"
    module, found = _programs(), {}
    with ExitStack() as stack:
        for programs in (str(OLDEST), ""):
            monkeypatch.setenv("POSTGRES_BIN", programs)
            address = stack.enter_context(module.server())
            with psycopg.connect(address) as session:
                found[session.info.server_version // 10_000] = address
        yield found


class Machine:
    """A data directory with settings from the environment, and a new database on one of the servers."""

    def __init__(self, data: Path, address: str) -> None:
        self.data = data
        with psycopg.connect(address, autocommit=True) as session:
            session.execute(f"CREATE DATABASE {data.name}")
        self.address = f"{address.rpartition('/')[0]}/{data.name}"

    def run(self, *words: str, program: tuple[str, ...] = ("-P", "-m", "lockbox_site.command_line")) -> str:
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        env |= {"DATA_DIR": str(self.data), "PYTHONPATH": str(settings.BASE_DIR), "DATABASE_URL": self.address}
        env |= {"DJANGO_SETTINGS_MODULE": "lockbox_site.settings", "LOG_ORIGIN": "versions.example"}
        command = [sys.executable, *program, *words]
        done = subprocess.run(command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has that a restore doesn't change."""
        found = {}
        with psycopg.connect(self.address) as session:
            for table in ("person", "tenant", "membership", "client", "service", "resource"):
                (found[table],) = session.execute(f"SELECT count(*) FROM requests_app_{table}").fetchone()  # noqa: S608
        return found

    def restored_from(self, other: Machine, to: Path, identity: Path) -> None:
        """Make a backup of the other machine, and restore it here."""
        to.mkdir()
        other.run("checkpoint")
        printed = other.run("backup", "--to", str(to), "--recipient", RECIPIENT)
        assert "entries of logs verified" in printed
        (to / "heads").mkdir()
        other.run("log_heads", "copy", "--to", str(to / "heads"))
        (file,) = to.glob("*.age")
        self.run("restore", str(file), "--identity", str(identity), "--heads", str(to / "heads"))


@pytest.mark.deep
def test_a_backup_moves_from_the_oldest_postgresql_to_the_newest_and_back(
    servers: dict[int, str], identity: Path, tmp_path: Path
) -> None:
    assert sorted(servers)[0] == 15
    assert sorted(servers)[-1] >= 18
    oldest, newest = servers[min(servers)], servers[max(servers)]
    first, second, third = (
        Machine(tmp_path / name, address) for name, address in (("one", oldest), ("two", newest), ("three", oldest))
    )
    first.data.mkdir()
    first.run("migrate", "--noinput", "-v0", program=("manage.py",))
    first.run("log_key", "create", program=("manage.py",))
    first.run(str(WORLD), str(tmp_path / "facts.json"), "3", program=())
    second.restored_from(first, tmp_path / "backup1", identity)
    third.restored_from(second, tmp_path / "backup2", identity)
    assert first.rows() == second.rows() == third.rows()
    assert min(first.rows().values()) > 0
    for machine in (first, second, third):
        assert "BAD" not in machine.run("verify_audit")
