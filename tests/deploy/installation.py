"""An installation in containers, as deploy/compose.yaml describes it."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyrage

from bench.storm import processes
from tests.deploy.engine import Engine
from tests.ports import free_port
from tests.sources import ROOT

IMAGE, OTHERS = "localhost/customer-lockbox:test", "localhost/lockbox-others:test"
SITE = "lockbox.example.test"


class Site:
    """An installation in containers, as `user`. Several of them need names of their own."""

    def __init__(self, engine: Engine, place: Path, *, name: str = "lockboxtest", user: int = 10001) -> None:
        self.engine, self.place, self.project = engine, place, name
        self.http, self.https = free_port(), free_port()
        self.identity = pyrage.x25519.Identity.generate()
        shutil.copy(ROOT / "deploy" / "compose.yaml", place)
        shutil.copytree(ROOT / "deploy" / "compose", place / "compose", ignore=shutil.ignore_patterns("secrets"))
        example = (place / "compose" / "settings.example").read_text()
        ours = {
            "SITE_HOST": SITE, "SITE_TLS": "tls internal", "LOCKBOX_IMAGE": IMAGE, "POSTGRES_IMAGE": OTHERS,
            "PROXY_IMAGE": OTHERS, "HTTP_PORT": self.http, "HTTPS_PORT": self.https, "LOCKBOX_UID": user,
            "BACKUP_KEYS": self.identity.to_public(),
        }  # fmt: skip
        (place / ".env").write_text(example + "".join(f"{name}={value}\n" for name, value in ours.items()))
        # The other image has no entry point of PostgreSQL's.
        (place / "test.yaml").write_text("services: {database: {entrypoint: [sh, /usr/local/bin/postgres.sh]}}\n")
        make: list[str | Path] = ["env", f"LOCKBOX_UID={user}", "sh", place / "compose" / "make-secrets.sh"]
        engine.try_to(*make)
        (place / "compose" / "secrets" / "email_url").write_text("smtp://mail:word-of-the-mail-server@127.0.0.1:2525")
        engine.do(*make)
        self._checking = threading.Event()
        self._checker = threading.Thread(target=self._check_database, daemon=True)

    def compose(self, *words: str) -> str:
        return self.engine.do(
            "podman-compose", "-p", self.project, "-f", "compose.yaml", "-f", "test.yaml", *words, cwd=self.place
        )

    def up(self, *services: str) -> None:
        self._checker.start()
        self.compose("up", "-d", *services)

    def _check_database(self) -> None:
        """Run the health check of the database. Without systemd, podman runs none by itself."""
        while not self._checking.wait(2):
            self.engine.try_to("podman", "healthcheck", "run", self.name("database"))

    def down(self) -> None:
        self._checking.set()
        self.compose("--profile", "tools", "--profile", "backup", "down", "--volumes")

    def name(self, service: str) -> str:
        return f"{self.project}_{service}_1"

    def run_in(self, service: str, *words: str) -> str:
        """Return what the command prints, to people and to programs."""
        done = self.engine.try_to("podman", "exec", self.name(service), *words)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def is_ok(self, service: str, what: str = "ready") -> bool:
        return (
            self.engine.try_to("podman", "exec", self.name(service), "customer-lockbox", "probe", what).returncode == 0
        )

    def signs(self) -> bool:
        words = ["customer-lockbox", "ready", "--part", "signer"]
        return self.engine.try_to("podman", "exec", self.name("signer"), *words).returncode == 0

    def get(self, path: str) -> tuple[int, str]:
        context = ssl._create_unverified_context()
        with self.engine.connect(self.https) as plain:
            secured = context.wrap_socket(plain, server_hostname=SITE)
            connection = http.client.HTTPSConnection(SITE, context=context)
            connection.sock = secured
            with contextlib.closing(connection):
                connection.request("GET", path, headers={"Connection": "close"})
                answer = connection.getresponse()
                return answer.status, answer.read().decode()

    def get_without_tls(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http)
        connection.sock = self.engine.connect(self.http)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": SITE})
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Location", "")


def until(what: Callable[[], object], *, within: float = 120, why: str) -> float:
    started = time.monotonic()
    while not what():
        assert time.monotonic() - started < within, why
        time.sleep(0.5)
    return time.monotonic() - started


def load(site: Site, stop: threading.Event, codes: Counter[str]) -> None:
    while not stop.wait(0.1):
        try:
            code, _ = site.get("/accounts/login/")
            codes[str(code)] += 1
        except OSError as failure:
            codes[type(failure).__name__] += 1


def while_asked(site: Site, act: Callable[[], object]) -> Counter[str]:
    """Do this while somebody opens a page ten times a second. Return how often each answer came."""
    codes: Counter[str] = Counter()
    stop = threading.Event()
    asking = threading.Thread(target=load, args=(site, stop, codes))
    asking.start()
    try:
        act()
    finally:
        stop.set()
        asking.join()
    return codes


@dataclass
class Use:
    """What a service uses: bytes of memory, and seconds of the processor since its start."""

    memory: int
    processor: float


def use(site: Site, service: str) -> Use:
    pids = site.engine.processes(site.name(service))
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            # The time of the process, and of its children that have ended.
            ticks += sum(map(int, fields[11:15]))
    return Use(processes.memory(pids), ticks / os.sysconf("SC_CLK_TCK"))
