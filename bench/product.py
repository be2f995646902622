"""Runs the product on the database of the measurement, and measures the processor time of its parts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

from django.db import connection
from django.test import override_settings

from bench import server
from requests_app.work.processes import tree
from requests_app.work.supervisor import web_command

_TICKS = os.sysconf("SC_CLK_TCK")
#: One process for each core.
WORKERS = os.cpu_count() or 2


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
        return used(*tree(self.pid)), of_database()


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


def of_database() -> float:
    """Return the seconds of processor time that the database's server has used. SQLite has none."""
    if connection.vendor != "postgresql":
        return 0.0
    return used_with_children(server.pid())


@contextmanager
def running(*, whole: bool = False, workers: int = WORKERS, threads: int = 16, **more: str) -> Iterator[Product]:
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
        environment["DATABASE_URL"] = database_url()
    with override_settings(HOST="127.0.0.1", PORT=port, WEB_WORKERS=workers, WEB_THREADS=threads, BASE_URL=address):
        command = [sys.executable, "manage.py", "lockbox"] if whole else web_command()
        with Path(os.environ["DATA_DIR"], f"log-{port}").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(port, process)
            yield Product(port, process.pid)
        finally:
            process.terminate()
            process.wait(60)


def wait_for(port: int, process: subprocess.Popen[bytes], *, within: float = 60, path: str = "/healthz") -> None:
    """Wait until a server answers. Raise SystemExit if it does not."""
    until = time.monotonic() + within
    while time.monotonic() < until and process.poll() is None:
        try:
            probe = HTTPConnection("127.0.0.1", port, timeout=5)
            probe.request("GET", path)
            if probe.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"no answer from {path}")


def database_url() -> str:
    """Return the URL of the database that is measured, for another process."""
    so = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{so['NAME']}"
    login = quote(str(so["USER"]), safe="") + (f":{quote(str(so['PASSWORD']), safe='')}" if so["PASSWORD"] else "")
    return (
        f"postgres://{login}@{quote(str(so['HOST']), safe='')}:{so['PORT'] or 5432}/{quote(str(so['NAME']), safe='')}"
    )
