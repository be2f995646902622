"""A PostgreSQL server for the storm. It is durable, has the role of docs/operators.md, and can be stopped and crashed.

The application's connections go through a proxy that can cut or hold them. The storm's own connections do not.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg

from bench.storm import processes
from bench.storm.installation import CannotStart, free_port

ROOT = Path(__file__).resolve().parents[2]
#: The statements of docs/operators.md.
ROLE = "CREATE ROLE lockbox LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD 'choose one'"
DATABASE = "CREATE DATABASE lockbox OWNER lockbox"
OPTIONS = {"max_connections": "120", "listen_addresses": "127.0.0.1", "shared_buffers": "256MB", "fsync": "on"}


def _programs() -> ModuleType:
    """Return the module `bin/_with_postgres.py`, which finds PostgreSQL's programs and an account that can run them."""
    spec = importlib.util.spec_from_file_location("_with_postgres", ROOT / "bin" / "_with_postgres.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["_with_postgres"] = module
    spec.loader.exec_module(module)
    return module


class Server:
    """A server.

    `disk` is the directory of its data, which is on a small file system if the storm is to fill the disk.
    """

    def __init__(self, log: Path, *, disk: Path | None = None) -> None:
        self.log, self.port = log, free_port()
        # Another account must reach the directory: if the storm is root, the server runs as another account.
        self.directory = directory = Path(tempfile.mkdtemp(prefix="lockbox-storm-pg-"))
        self._with = _programs()
        self._user = self._with.account()
        directory.chmod(0o755)
        self.data = (disk or directory) / "data"
        self.data.mkdir(mode=0o700)
        if self._user:
            os.chown(self.data, self._user.pw_uid, self._user.pw_gid)
        self.bin: Path = self._with.programs(directory, self._user)
        self.process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        made = subprocess.run(
            [self.bin / "initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"],
            capture_output=True, text=True, cwd="/", **self._with.identity(self._user),
        )  # fmt: skip
        if made.returncode:
            raise CannotStart(f"initdb failed: {made.stderr}")
        self.start()
        with self.connect("postgres") as admin:
            admin.execute(ROLE)
            admin.execute(DATABASE)

    def start(self) -> float:
        """Start the server, which may first recover from a crash. Return the time at which it accepted connections."""
        settings = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.data, *settings],
                stdout=out, stderr=out, cwd="/", start_new_session=True,
                **self._with.identity(self._user),
            )  # fmt: skip
        return self.wait_until_up()

    def wait_until_up(self, within: float = 60.0) -> float:
        until = time.monotonic() + within
        while time.monotonic() < until:
            try:
                self.connect("postgres", connect_timeout=2).close()
                return time.time()
            except psycopg.Error:
                time.sleep(0.05)
        raise CannotStart(f"PostgreSQL did not come up: {self.log.read_text(errors='replace')[-2000:]}")

    def connect(self, database: str = "lockbox", **options: Any) -> psycopg.Connection[Any]:
        """Connect as the superuser, and not through the proxy."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True, **options
        )

    def url(self, port: int, database: str = "lockbox") -> str:
        """Return the URL for the documented role. `port` is the server's own port or the proxy's."""
        return f"postgres://lockbox:choose%20one@127.0.0.1:{port}/{database}"

    # --- Faults ------------------------------------------------------------------------------------------------

    def family(self) -> list[int]:
        return processes.tree(self.process.pid) if self.process is not None else []

    def crash(self) -> None:
        """Kill the postmaster and every backend. Data that was not on the disk is lost."""
        assert self.process is not None
        processes.send(signal.SIGKILL, *self.family())
        self.process.wait(30)

    def freeze(self) -> list[int]:
        family = self.family()
        processes.send(signal.SIGSTOP, *family)
        return family

    def restart(self) -> float:
        assert self.process is not None
        # Fast shutdown: PostgreSQL ends the sessions and writes committed data.
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return self.start()

    def terminate_sessions(self, share: float, dice: Any) -> int:
        """End this share of the application's sessions, as a failover or an operator does. Return how many."""
        with self.connect() as admin:
            found = [row[0] for row in admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'lockbox'")]
            chosen = [pid for pid in found if dice.random() < share]
            for pid in chosen:
                admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        return len(chosen)

    def destroy(self) -> None:
        """Stop the server, and remove its files."""
        if self.process is not None and self.process.poll() is None:
            processes.send(signal.SIGCONT, *self.family())
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.crash()
        self.process = None
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
