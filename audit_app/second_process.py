"""Checks batches of entries in a second process, while this process reads the next ones from the database.

The second process has no database, no settings and no Django. It says "all entries are good", or gives no verdict.
"""

from __future__ import annotations

import marshal
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import IO
from uuid import UUID

from audit_app.entry_checks import StoredBatch, is_good

#: How long the process may take to read a batch, or to answer, in seconds. It takes milliseconds, unless somebody has
#: stopped the process. It is shorter than a task may take, because that would end the worker that waits.
PATIENCE = 20.0
#: How many bytes of batches may wait in the pipe, where the kernel allows it. A batch is not much shorter.
_PIPE = 1 << 20
_SET_PIPE_SIZE = 1031
_LENGTH = 8
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from audit_app import second_process; second_process.serve()"
_ROOT = Path(__file__).resolve().parents[1]


def is_of_use() -> bool:
    """Return whether this process may use a second core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return os.name == "posix" and cores > 1


class NoAnswer(Exception):
    """The second process has ended, or has stopped. What was sent to it has no verdict."""


class SecondProcess:
    """Raise NoAnswer from `send` and `answer` if the process is of no use any more. Then close it."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-c", _PROGRAM, str(_ROOT)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise NoAnswer from error
        assert self._process.stdin
        assert self._process.stdout
        self._to: IO[bytes] = self._process.stdin
        self._from: IO[bytes] = self._process.stdout
        _widen(self._to.fileno())
        os.set_blocking(self._to.fileno(), False)

    def send(self, batch: StoredBatch, tenant_id: UUID, seq: int, last_at: str) -> None:
        """Have a batch checked (see `is_good`). Two batches at most may wait for their answers."""
        try:
            data = marshal.dumps((tuple(batch), tenant_id.hex, seq, last_at))
            self._write(len(data).to_bytes(_LENGTH) + data)
        except (OSError, ValueError) as error:
            raise NoAnswer from error

    def _write(self, data: bytes) -> None:
        waiting = select.poll()
        waiting.register(self._to, select.POLLOUT)
        left = memoryview(data)
        while left:
            # A batch can be longer than the pipe. If the process has stopped, the pipe stays full.
            if not waiting.poll(PATIENCE * 1000):
                raise NoAnswer
            left = left[os.write(self._to.fileno(), left) :]

    def answer(self) -> bool:
        """Return the answer to the first batch that has none yet."""
        waiting = select.poll()
        waiting.register(self._from, select.POLLIN)
        found = os.read(self._from.fileno(), 1) if waiting.poll(PATIENCE * 1000) else b""
        if not found:
            raise NoAnswer
        return found == b"y"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._from.close()
        self._to.close()


def _widen(pipe: int) -> None:
    """Make a pipe hold a whole batch, so that its writer need not wait. A smaller pipe is slower, and nothing else."""
    try:
        import fcntl

        fcntl.fcntl(pipe, _SET_PIPE_SIZE, _PIPE)
    except (ImportError, OSError):
        return


def serve() -> None:
    """Answer what the first process sends, until it closes the pipe or ends."""
    import gc
    import signal

    # A terminal sends it to both processes, and the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(length := source.read(_LENGTH)) == _LENGTH:
        size = int.from_bytes(length)
        if len(data := source.read(size)) != size:
            return
        columns, tenant, seq, last_at = marshal.loads(data)  # noqa: S302 - written by the first process
        target.write(b"y" if is_good(StoredBatch(*columns), UUID(tenant), seq, last_at) else b"n")
        target.flush()
