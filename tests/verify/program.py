"""Runs the verifier as a program many times. The file is compiled, and its libraries are loaded, only once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

FILE = Path(__file__).parents[2] / "verify" / "lockbox_verify.py"

#: Reads the words of one run per line, and writes its exit status. Each run is a process of its own: it executes the
#: whole file as `python -I FILE WORDS` does, and ends as every program of Python does.
_FORKS = """
import json, os, sys, types

def module(name):
    made = sys.modules[name] = types.ModuleType(name)
    made.__file__ = file
    return made

file = sys.argv[1]
with open(file, "rb") as source:
    code = compile(source.read(), file, "exec")
# This loads the libraries. The program itself does not run, because of the name.
exec(code, module("loaded").__dict__)
del sys.modules["loaded"]
for line in sys.stdin.buffer:
    if not (child := os.fork()):
        break
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(1, b"%d\\n" % status)
else:
    os._exit(0)
out, err, *words = json.loads(line)
for number, name in enumerate((os.devnull, out, err)):
    os.dup2(os.open(name, os.O_RDWR), number)
sys.argv = [file, *words]
exec(code, module("__main__").__dict__)
"""


class Program:
    """The verifier's file, outside the repository and without access to the product (`-I`), ready to run."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._folder.name) / name for name in ("out", "err"))
        command = [sys.executable, "-I", "-c", _FORKS, str(FILE)]
        self._process = subprocess.Popen(
            command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, why: BaseException | None, at: TracebackType | None) -> None:
        # A run that never ended is in the same group.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._folder.cleanup()

    def run(self, *words: object) -> tuple[int, str, str]:
        """Run the file with these words. Return its exit status, its output and its errors."""
        assert self._process.stdin
        assert self._process.stdout
        for path in (self._out, self._err):
            path.write_text("")
        self._process.stdin.write(json.dumps([str(each) for each in (self._out, self._err, *words)]) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return status, self._out.read_text("utf-8"), self._err.read_text("utf-8")
