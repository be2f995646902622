"""A PostgreSQL server of one test's own. The test can stop, damage and reconfigure it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from requests_app.platform.database import bounds
from requests_app.platform.database.pulse import PULSE
from tests.wire import Wire, through


@dataclass(frozen=True)
class OwnServer:
    """A PostgreSQL server that only this test uses. It knows the superuser's address and the main process."""

    address: str
    postmaster: int

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.address, autocommit=True) as other:
            for statement in statements:
                other.execute(statement)

    def wait_until_all_have_left(self) -> None:
        """Wait until the server has ended all its sessions, which last a little longer than their clients."""
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres'"
        until = time.monotonic() + 60
        with psycopg.connect(self.address.rpartition("/")[0] + "/template1", autocommit=True) as other:
            while time.monotonic() < until and other.execute(count).fetchone() != (0,):
                time.sleep(0.05)

    def processes(self) -> list[int]:
        """Return the process ids of the server. The main process (postmaster) is the first.

        If the postmaster is stopped first, it starts no new processes.
        """
        children = Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text().split()
        return [self.postmaster, *map(int, children)]

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop all processes of the server inside the block, as `kill -STOP` does.

        The kernel still accepts connections and data in the server's place.
        """
        os.kill(self.postmaster, signal.SIGSTOP)
        pids = self.processes()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def as_default(self) -> Iterator[None]:
        """Inside the block, make Django's connection use this server."""
        parts = urlsplit(self.address)
        overrides = {"HOST": parts.hostname, "PORT": parts.port, "USER": parts.username, "NAME": parts.path[1:]}
        inherited = {name: connection.settings_dict[name] for name in overrides}
        connection.close()
        connection.settings_dict.update(overrides)
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict.update(inherited)


@pytest.fixture(scope="session")
def own_server() -> Iterator[OwnServer]:
    place = importlib.util.spec_from_file_location("with_postgres", settings.BASE_DIR / "bin" / "_with_postgres.py")
    assert place is not None
    assert place.loader is not None
    module: Any = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    # Set at the start, because a running server applies this setting some time after it was reloaded. As long as
    # synchronous_commit is off, no commit waits for the missing standby.
    module.OPTIONS["synchronous_standby_names"] = "nobody"
    with module.server() as documented:
        address = module.admin_of(documented)
        with psycopg.connect(address) as other:
            row = other.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'").fetchone()
        assert row is not None
        pid = int((Path(row[0]) / "postmaster.pid").read_text().splitlines()[0])
        yield OwnServer(address, pid)


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Yield a proxy through which Django's connection reaches the server."""
    parts = connection.settings_dict
    with Wire(parts["HOST"] or "127.0.0.1", int(parts["PORT"] or 5432)) as made, through(made, connection):
        yield made


@pytest.fixture
def as_web() -> Iterator[None]:
    """Limit the waits for the database as in a web server."""
    bounds.of_process(bounds.web(statement_seconds=15, threads=16))
    connection.close()
    yield
    bounds.of_process(bounds.COMMAND)
    connection.close()
    PULSE.answered()
