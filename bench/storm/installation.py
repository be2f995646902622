"""The installation under test: its directory, its port, its database and its processes.

A process is found by what it does.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from bench.storm import processes

#: In seconds. So short that deadlines pass and windows close during the storm.
PROVIDER_SECONDS, CUSTOMER_SECONDS, WINDOWS = 45, 40, (20, 45)
READY_WITHIN = 120.0


def free_port() -> int:
    """Return a port that is not in use, below the range that the system uses for outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(12_000, 20_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Installation:
    """An installation that runs from a source tree. Its processes can be started, found, stopped and killed."""

    def __init__(
        self, tree: Path, directory: Path, *, database_url: str = "", mail_port: int = 0, data: Path | None = None
    ) -> None:
        self.tree, self.directory, self.port = tree, directory, free_port()
        self.data = data or directory / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.facts = directory / "world.json"
        self.client = directory / "client"
        self.log = directory / "lockbox.log"
        self.process: subprocess.Popen[bytes] | None = None
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
        overrides = {
            "DATA_DIR": str(self.data), "HOST": "127.0.0.1", "PORT": str(self.port),
            "BASE_URL": f"http://127.0.0.1:{self.port}", "LOG_ORIGIN": "storm.example",
            "DJANGO_SETTINGS_MODULE": "lockbox_site.settings", "LOG_FORMAT": "json", "LOG_LEVEL": "WARNING",
            "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(tree), "TRUSTED_PROXY_COUNT": "1",
            "PROVIDER_DECISION_SECONDS": str(PROVIDER_SECONDS), "CUSTOMER_DECISION_SECONDS": str(CUSTOMER_SECONDS),
            "WINDOW_CHOICES_SECONDS": ",".join(map(str, WINDOWS)), "CLOSING_SOON_SECONDS": "5",
            "REMINDER_SECONDS": "15", "SWEEP_SECONDS": "2", "API_CALLS_PER_MINUTE": "1000000",
        }  # fmt: skip
        if mail_port:
            overrides["EMAIL_URL"] = f"smtp://127.0.0.1:{mail_port}"
        if database_url:
            overrides["DATABASE_URL"] = database_url
        self.env = inherited | overrides

    # --- Setting up --------------------------------------------------------------------------------------------

    def prepare(self, *, tenants: int) -> None:
        """Prepare an empty database, the log's key, the storm's world, and the package of the command line."""
        self.manage("migrate", "--noinput", "-v0")
        self.manage("log_key", "create", "--if-missing")
        self.run([sys.executable, str(Path(__file__).with_name("world.py")), str(self.facts), str(tenants)])
        builder = self.tree / "clients" / "python" / "build_client.py"
        # An earlier version has the generated package in its source tree.
        if builder.exists():
            self.run([sys.executable, str(builder), str(self.client / "lockbox_client")])

    def manage(self, *words: str, within: float = 180.0) -> str:
        return self.run([sys.executable, "manage.py", *words], within=within)

    def run(self, command: list[str], *, within: float = 180.0, env: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            command, cwd=self.tree, env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=within
        )
        if done.returncode:
            raise CommandFailed(command, done.returncode, done.stdout[-3000:] + done.stderr[-3000:])
        return done.stdout

    # --- Running -----------------------------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "lockbox"], cwd=self.tree, env=self.env, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until:
            if self.probe("/healthz")[0] == 200:
                return
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise CannotStart(f"The installation did not come up: {self.log.read_text(errors='replace')[-3000:]}")

    def stop(self, within: float = 60.0) -> None:
        """Send SIGTERM, as an operator does, and wait. Kill the processes that have not ended within this time."""
        if self.process is None:
            return
        family = processes.tree(self.process.pid)
        processes.send(signal.SIGCONT, *family)
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(within)
        processes.send(signal.SIGKILL, *family)
        self.process.wait(30)
        self.process = None

    def kill_supervisor(self) -> None:
        """Kill only the supervisor. The undertaker then ends its child processes, and nothing starts them again."""
        assert self.process is not None
        family = processes.tree(self.process.pid)
        self.process.kill()
        self.process.wait(30)
        until = time.monotonic() + 20
        while time.monotonic() < until and any(Path(f"/proc/{pid}").exists() for pid in family[1:]):
            time.sleep(0.1)
        processes.send(signal.SIGKILL, *family[1:])

    def probe(self, path: str, timeout: float = 5.0) -> tuple[int, float, str]:
        """Call a probe. Return the status (0 if no response came), the seconds it took, and the body."""
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            return answer.status, time.monotonic() - begun, text
        except (OSError, http.client.HTTPException):
            return 0, time.monotonic() - begun, ""
        finally:
            connection.close()

    # --- Its processes -----------------------------------------------------------------------------------------

    def family(self) -> list[int]:
        return processes.tree(self.process.pid) if self.process is not None else []

    def part(self, kind: str) -> int | None:
        """Return the process id of the supervisor's child of this kind: web server (main process), cluster or beat."""
        if self.process is None:
            return None
        for pid in processes.children(self.process.pid):
            words = processes.command(pid)
            if "undertaker" in words or "nursery" in words:
                continue
            found = "cluster" if " cluster" in words else "beat" if " beat" in words else "web"
            if found == kind:
                return pid
        return None

    def web_workers(self) -> list[int]:
        """Return the processes that answer calls: the web server's children, except Python's helper process."""
        master = self.part("web")
        found = processes.children(master) if master else []
        return [pid for pid in found if "resource_tracker" not in processes.command(pid)]

    def cluster_workers(self) -> list[int]:
        """Return all processes below the cluster: its guards and its workers."""
        cluster = self.part("cluster")
        return processes.tree(cluster)[1:] if cluster else []


class CannotStart(Exception):
    """A part of the storm itself did not start, so the storm can't begin or continue."""


class CommandFailed(Exception):
    def __init__(self, command: list[str], status: int, output: str) -> None:
        super().__init__(f"{' '.join(command)} ended with {status}: {output}")
        self.status, self.output = status, output
