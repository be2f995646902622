"""Runs the installed `lockbox` as in a shell: with pipes, or at a terminal at which a person types."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

WITHIN = 150


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Return the output as parsed lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Shell:
    """A shell in which `lockbox` can be run: `shell("requests", "list")`. The command's files are below `home`."""

    environment: dict[str, str]

    @property
    def home(self) -> Path:
        return Path(self.environment["HOME"])

    @property
    def account_file(self) -> Path:
        return self.home / ".config" / "lockbox" / "account.json"

    def but(self, **changed: str | None) -> Shell:
        """Return a copy of the shell with these variables changed. None removes a variable."""
        merged = {**self.environment, **changed}
        return Shell({name: value for name, value in merged.items() if value is not None})

    def __call__(self, *words: str, typed: str = "") -> Ended:
        """Run the command in this process.

        Importing the program takes ten times as long as most commands, so it is imported only once.
        """
        from lockbox_cli.main import main

        streams = [io.TextIOWrapper(io.BytesIO(sent), "utf-8") for sent in (typed.encode(), b"", b"")]
        with ExitStack() as changed:
            changed.enter_context(mock.patch.dict(os.environ, self.environment, clear=True))
            changed.enter_context(mock.patch.object(sys, "argv", ["lockbox", *words]))
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                changed.enter_context(mock.patch.object(sys, name, stream))
            status: str | int | None
            try:
                status = main()
            except SystemExit as end:
                status = end.code
        return Ended(int(status or 0), *(_written_to(stream) for stream in streams[1:]))

    def alone(self, *words: str) -> Ended:
        """Run the command as a program of its own, as users do."""
        run = subprocess.run(["lockbox", *words], env=self.environment, capture_output=True, text=True, timeout=WITHIN)
        return Ended(run.returncode, run.stdout, run.stderr)

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command that does not end by itself, and yield its process.

        The caller reads the output line by line.
        """
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(["lockbox", *words], env=self.environment, **pipes) as started:
            until = threading.Timer(WITHIN, started.kill)
            until.start()
            try:
                yield started
            finally:
                until.cancel()
                started.send_signal(signal.SIGINT)

    def at_a_terminal(self, *words: str, answers: Sequence[tuple[str, str]] = (), columns: int = 120) -> Ended:
        """Run the command at a terminal. At each prompt, in this order, type the answer.

        `out` of the result is everything that the terminal showed.
        """
        child, terminal = pty.fork()
        if child == 0:
            os.execvpe("lockbox", ["lockbox", *words], {**self.environment, "TERM": "xterm-256color"})
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        shown, left, seen = b"", list(answers), 0
        until = time.monotonic() + WITHIN
        while (wait := until - time.monotonic()) > 0:
            if not select.select([terminal], [], [], wait)[0]:
                break
            try:
                output = os.read(terminal, 65536)
            except OSError:  # this is how the end of a terminal appears on Linux
                break
            if not output:
                break
            shown += output
            if left and (at := shown.find(left[0][0].encode(), seen)) >= 0:
                seen = at + len(left[0][0])
                os.write(terminal, f"{left.pop(0)[1]}\n".encode())
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert not left, f"never asked: {left[0][0]}\n{shown.decode(errors='replace')}"
        return Ended(status, shown.decode().replace("\r\n", "\n"))


def _written_to(stream: io.TextIOWrapper) -> str:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode().replace("\r\n", "\n")
