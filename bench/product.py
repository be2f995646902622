"""Runs the product on the database of the measurement, and measures the processor time of its parts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.db import connection
from django.test import override_settings

from bench import over_http
from requests_app.work.processes import tree
from requests_app.work.supervisor import web_command

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Product:
    """The product, which answers on this port. `pid` leads the session of its processes."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def used(self) -> tuple[float, float]:
        """Return the seconds of processor time of the product's own processes, and of the database's.

        SQLite works in the processes of the product, so the second number is then 0.
        """
        return used(*tree(self.pid)), _used_by_database()


def used(*pids: int) -> float:
    """Return the seconds of processor time that these processes have used, with their children that have ended."""
    found = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        found += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return found / _TICKS


def used_with_children(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return used(pid, *map(int, children))


def _used_by_database() -> float:
    if connection.vendor != "postgresql":
        return 0.0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = int(cursor.fetchone()[0])
    server = int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])
    return used_with_children(server)


@contextmanager
def running(
    *, whole: bool = False, workers: int = over_http.WORKERS, threads: int = 16, **more: str
) -> Iterator[Product]:
    """Run the web server, or the whole product, until the block ends. Settings of this process name its address.

    `more` are further settings.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    address = f"http://localhost:{port}"
    environment = {
        **os.environ, "LOG_LEVEL": "ERROR", "HOST": "127.0.0.1", "PORT": str(port), "BASE_URL": address,
        "API_CALLS_PER_MINUTE": "1000000", "EVALUATIONS_PER_MINUTE": "100000000",
        "WEB_WORKERS": str(workers), "WEB_THREADS": str(threads),
        **more,
    }  # fmt: skip
    if connection.vendor == "postgresql":
        environment["DATABASE_URL"] = over_http.address()
    with override_settings(HOST="127.0.0.1", PORT=port, WEB_WORKERS=workers, WEB_THREADS=threads, BASE_URL=address):
        command = [sys.executable, "manage.py", "lockbox"] if whole else web_command()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            over_http.wait_for(port, process)
            yield Product(port, process.pid)
        finally:
            process.terminate()
            process.wait(60)
