"""A copy of the code in another directory. Programs that would change the machine are replaced there."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.documents import ROOT
from tests.ports import free_port

LEFT_OUT = {".git", ".venv", ".venv-next", "var", "staticfiles", "node_modules"}

#: Each replacement logs its call. Programs that would change the machine do nothing else.
STAND_INS = {
    "useradd": "exit 0",
    "systemctl": """
for word in "$@"; do
    case $word in
        start | stop | restart | status | enable | daemon-reload | --now) ;;
        *) [ -f "$CLONE/deploy/systemd/$word.service" ] || { echo "no unit $word" >&2; exit 1; } ;;
    esac
done""",
    # This machine has no account and no group of that name. Everything else is done.
    "install": """
n=$#
while [ $n -gt 0 ]; do
    word=$1; shift; n=$((n - 1))
    if [ "$word" = -g ] || [ "$word" = -o ]; then shift; n=$((n - 1)); else set -- "$@" "$word"; fi
done
exec /usr/bin/install "$@" """,
    "runuser": """
[ "$1 $2 $3" = "-u lockbox --" ] || { echo "unknown account $2" >&2; exit 1; }
shift 3
exec "$@" """,
    "python3": """
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; cp "$CLONE/stand-ins/venv/"* "$3/bin"; exit 0; fi
exec "$PYTHON_HERE" "$@" """,
}


@dataclass
class Running:
    """A command that runs until it is stopped. Its output is in a file."""

    process: subprocess.Popen[bytes]
    output: Path

    def until(self, words: str, *, within: float) -> str:
        """Wait until the command has printed these words. Return all its output."""
        until = time.monotonic() + within
        while time.monotonic() < until and self.process.poll() is None:
            output = self.output.read_text()
            if words in output:
                return output
            time.sleep(0.1)
        raise AssertionError(f"It never said {words!r}.\n{self.output.read_text()[-2000:]}")

    def end(self) -> int:
        """Press Ctrl-C, which reaches every process at the terminal. Wait, and return the exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise


@dataclass
class Clone:
    """The copy. `path` is its directory. `environment` has nothing of the machine's environment except `PATH`."""

    path: Path
    #: What is /var/lib/lockbox on a production machine.
    data: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, path: Path) -> Clone:
        path.mkdir()
        for entry in ROOT.iterdir():
            if entry.name in LEFT_OUT or entry.name.endswith("_cache") or entry.name == ".hypothesis":
                continue
            if entry.is_dir():
                # Compiled files are copied too. Python uses them while age and size of the sources stay the same.
                shutil.copytree(entry, path / entry.name)
            else:
                shutil.copy(entry, path)
        for place in ("home", "etc/systemd/system", "stand-ins/venv"):
            (path / place).mkdir(parents=True)
        for name, body in STAND_INS.items():
            _script(path / "stand-ins" / name, f'echo "{name} $*" >>"$CLONE/called"\n{body}')
        # Use the packages of this run. Nothing is installed or downloaded.
        _script(path / "stand-ins/venv/pip", 'echo "pip $*" >>"$CLONE/called"')
        _script(
            path / "stand-ins/venv/python",
            'if [ "$1 $2" = "-m pip" ]; then exec "$CLONE/stand-ins/venv/pip" "$@"; fi\nexec "$PYTHON_HERE" "$@"',
        )
        _script(
            path / "stand-ins/venv/customer-lockbox",
            'PYTHONPATH=$CLONE exec "$PYTHON_HERE" -P -m lockbox_site.command_line "$@"',
        )
        shutil.copytree(path / "stand-ins/venv", path / ".venv/bin")
        inherited = {name: os.environ[name] for name in ("LANG", "TZ", "LD_LIBRARY_PATH") if name in os.environ}
        overrides = {
            "CLONE": str(path),
            "HOME": str(path / "home"),
            "PATH": f"{path / 'stand-ins'}:{os.environ['PATH']}",
            "PYTHON_HERE": sys.executable,
        }
        return cls(path, path / "var", inherited | overrides)

    def sh(self, command: str, *, within: float = 170, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy's directory, as a shell does. Return how it ended."""
        return subprocess.run(
            ["sh", "-euc", self.here(command)],
            cwd=self.path,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
        )

    def done(self, command: str, *, within: float = 170, **environment: str) -> str:
        """Run a command, assert that it succeeds, and return its output."""
        run = self.sh(command, within=within, **environment)
        assert run.returncode == 0, f"{command}\n{run.stdout[-1500:]}\n{run.stderr[-1500:]}"
        return run.stdout

    def start(self, command: str, **environment: str) -> Running:
        """Start a command that runs until it is stopped."""
        output = self.path / "output"
        with output.open("w") as file:
            process = subprocess.Popen(
                # With `exec env`, the shell becomes the command, also if variables come before the command.
                ["sh", "-euc", f"exec env {self.here(command)}"],
                cwd=self.path,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Running(process, output)

    def in_a_terminal(self, command: str, answers: Mapping[str, str]) -> tuple[int, str]:
        """Run a command at a terminal. After each line that asks, type the answer to the first words that are in it.

        Return its status and output.
        """
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.path)
            os.execvpe("sh", ["sh", "-euc", self.here(command)], self.environment)
        shown, answered = b"", 0
        while True:
            try:
                output = os.read(terminal, 1024)
            except OSError:  # this is how the end of a terminal appears on Linux
                break
            if not output:
                break
            shown += output
            asked = shown[answered:].rpartition(b"\n")[2].decode(errors="replace")
            if asked.endswith(": "):
                answered = len(shown)
                answer = next((text for words, text in answers.items() if words in asked), "")
                os.write(terminal, f"{answer}\n".encode())
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode(errors="replace")

    def called(self) -> list[str]:
        """Return the calls of the replaced programs, as they were logged."""
        log = self.path / "called"
        return log.read_text().splitlines() if log.exists() else []

    def here(self, command: str) -> str:
        """Return the command with its paths changed to paths inside the copy, and its port to a free one."""
        command = command.replace("/opt/lockbox", str(self.path)).replace(" /etc/", f" {self.path}/etc/")
        command = command.replace("/var/lib/lockbox", str(self.data))
        command = re.sub(r"\S*bin/customer-lockbox\b", rf"env DATA_DIR={self.data} \g<0>", command)
        return re.sub(r"\bPORT=\d+", lambda _: f"PORT={free_port()}", command)


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
