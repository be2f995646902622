"""PostgreSQL crashes several times under load, and then the process is killed: each permission has its entry."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings

pytestmark = pytest.mark.deep

#: How many permissions are heard between two crashes, and how many crashes there are.
BETWEEN, CRASHES = 300, 3


@pytest.fixture
def server() -> Iterator[str]:
    """Yield the address of a server that a test may crash. Each commit waits for the log, as in production."""
    place = importlib.util.spec_from_file_location("with_postgres", settings.BASE_DIR / "bin" / "_with_postgres.py")
    assert place is not None
    assert place.loader is not None
    module: Any = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    module.OPTIONS["synchronous_commit"] = "on"
    with module.server() as address:
        with psycopg.connect(address, autocommit=True) as other:
            other.execute("CREATE DATABASE lane")
        yield address.rpartition("/")[0] + "/lane"


def test_each_permission_that_was_heard_has_its_entry(server: str) -> None:
    command = [sys.executable, "-m", "tests.concurrency.lane_load"]
    environment = {**os.environ, "DATABASE_URL": server}
    heard = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=settings.BASE_DIR, text=True) as load:
        assert load.stdout is not None
        try:
            for line in load.stdout:
                heard.append(line)
                if len(heard) % BETWEEN == 0:
                    if len(heard) == BETWEEN * (CRASHES + 1):
                        break
                    _crash(server)
        finally:
            load.send_signal(signal.SIGKILL)
        heard += [line for line in load.stdout if line.endswith("\n")]
    assert len(heard) >= BETWEEN * (CRASHES + 1)
    with psycopg.connect(server) as other:
        found = {
            f"{tenant} {number}\n"
            for tenant, number in other.execute(
                "SELECT tenant_id, seq FROM audit_app_auditentry WHERE event = 'content.access_allowed'"
            )
        }
        gaps = other.execute(
            "SELECT h.tenant_id FROM audit_app_chainhead h LEFT JOIN audit_app_auditentry e USING (tenant_id)"
            " GROUP BY h.tenant_id, h.size HAVING count(e.seq) <> h.size"
        ).fetchall()
        accesses = other.execute("SELECT count(*) FROM requests_app_contentaccess").fetchone()
    assert set(heard) <= found
    assert len(set(heard)) == len(heard), "no number was given twice"
    assert gaps == []
    assert accesses == (len(found),)


def _crash(server: str) -> None:
    """Kill a session. The server then loses its memory, ends all sessions, and recovers from its log."""
    with psycopg.connect(server) as other:
        row = other.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    os.kill(row[0], signal.SIGKILL)
