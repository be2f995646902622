"""Kills the database server of the measurement, as a power failure would, and starts it again."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import OperationalError, connection

#: For a server that was killed together with others, until its memory is free.
START_WITHIN = 60


def pid() -> int:
    """Return the process id of the server that this process is connected to. It must run on this machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = int(cursor.fetchone()[0])
    return int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def killed() -> Iterator[None]:
    """Kill the server, with all its processes, and start it again after the block. SQLite has none to kill."""
    if connection.vendor != "postgresql":
        yield
        return
    leader = pid()
    of = Path(f"/proc/{leader}")
    command, owner = (of / "cmdline").read_bytes().split(b"\0")[:-1], of.stat().st_uid
    children = (of / f"task/{leader}/children").read_text().split()
    for each in (leader, *map(int, children)):
        os.kill(each, signal.SIGKILL)
    connection.close()
    # Its parent has not taken notice, so the new server would take the process for one that lives.
    data = Path(os.fsdecode(command[command.index(b"-D") + 1]))
    for lock in (data / "postmaster.pid", *data.glob(".s.PGSQL.*.lock")):
        lock.unlink(missing_ok=True)
    yield
    identity: dict[str, Any] = {"user": owner, "extra_groups": []} if os.geteuid() == 0 else {}
    again = subprocess.Popen(
        command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **identity
    )
    if not os.environ.get("DATA_STAYS_IN"):
        # Otherwise it is the server of the next part too, and bin/_with_postgres.py stops it.
        atexit.register(_stop, again)
    _wait()


def _wait() -> None:
    until = time.monotonic() + START_WITHIN
    while True:
        try:
            connection.ensure_connection()
            return
        except OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
