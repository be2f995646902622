"""The image is built, and deploy/compose.yaml runs, with real containers: what is killed, frozen or away stops nothing
else, and no secret is found anywhere."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.deploy.engine import Engine
from tests.ports import free_port
from tests.sources import ROOT

pytestmark = [pytest.mark.deep, pytest.mark.timeout(3600)]

IMAGE, OTHERS = "localhost/customer-lockbox:test", "localhost/lockbox-others:test"
PARTS = ("web1", "web2", "worker", "signer", "beat")
SITE = "lockbox.example.test"
KEY = re.compile(rb"lockbox-log-key-v1 [A-Za-z0-9+/]{40}|-----BEGIN [A-Z ]*PRIVATE")
MOST_MEGABYTES = 450
TOOLS = re.compile(r"(^|/)bin/(pip3?|gcc|git|make)$|^src/|^tools/|^root/\.cache/")
SECRET_FILES = re.compile(r"(^|/)(\.env|secret_key|log_key|log_key_copy\.pem|lockbox\.sqlite3|email_url|database_url)$")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = Engine(tmp_path_factory.mktemp("containers"))
    try:
        base = made.base()
        made.build(IMAGE, ROOT / "deploy" / "Containerfile", ROOT, BASE=base, VERSION="test", REVISION="test")
        here = ROOT / "tests" / "deploy" / "images"
        made.build(OTHERS, here / "Containerfile", here, BASE=base)
        yield made
    finally:
        made.close()


def test_the_image_is_small_and_has_no_secret_no_installer_and_no_cache(engine: Engine, tmp_path: Path) -> None:
    [facts] = json.loads(engine.podman("image", "inspect", IMAGE))
    print(f"image: {facts['Size'] / 1e6:.0f} MB")
    assert facts["Size"] / 1e6 < MOST_MEGABYTES
    assert facts["Config"]["User"] == "10001:10001"
    assert facts["Healthcheck"]["Test"] == ["CMD", "customer-lockbox", "probe", "ready"]
    archive = tmp_path / "image.tar"
    engine.podman("save", "--output", archive, IMAGE)
    names: set[str] = set()
    found: list[str] = []
    with tarfile.open(archive) as image:
        for layer in image:
            if layer.name.endswith(".tar") and (content := image.extractfile(layer)):
                with tarfile.open(fileobj=content) as files:
                    _scan(files, names, found)
    assert found == []
    assert [name for name in names if TOOLS.search(name)] == []
    assert any(name.endswith(".pyc") and "requests_app" in name for name in names), "compiled files are written"
    assert "opt/lockbox/static/staticfiles.json" in names


def _scan(layer: tarfile.TarFile, names: set[str], found: list[str]) -> None:
    for entry in layer:
        names.add(entry.name)
        if SECRET_FILES.search(entry.name):
            found.append(entry.name)
        if entry.isfile() and entry.size < 1_000_000 and "opt/lockbox" not in entry.name:
            content = layer.extractfile(entry)
            if content and KEY.search(content.read()):
                found.append(entry.name)


def test_it_runs_as_any_user_on_a_read_only_root(engine: Engine) -> None:
    line = "id -u; touch /x 2>&1; touch /opt/lockbox/x 2>&1; customer-lockbox --version"
    output = engine.podman(
        "run", "--rm", "--read-only", "--user", "20000:20000", "--cap-drop", "all", "--network", "none",
        "--tmpfs", "/tmp", "--entrypoint", "sh", IMAGE, "-c", line,
    )  # fmt: skip
    assert output.splitlines()[0] == "20000"
    assert output.count("Read-only file system") == 2
    assert output.splitlines()[-1].startswith("customer-lockbox ")


# --- deploy/compose.yaml ---------------------------------------------------------------------------------


class Site:
    """An installation in containers."""

    def __init__(self, engine: Engine, place: Path) -> None:
        self.engine, self.place = engine, place
        self.http, self.https = free_port(), free_port()
        shutil.copy(ROOT / "deploy" / "compose.yaml", place)
        shutil.copytree(ROOT / "deploy" / "compose", place / "compose", ignore=shutil.ignore_patterns("secrets"))
        example = (place / "compose" / "settings.example").read_text()
        ours = {
            "SITE_HOST": SITE, "SITE_TLS": "tls internal", "LOCKBOX_IMAGE": IMAGE, "POSTGRES_IMAGE": OTHERS,
            "PROXY_IMAGE": OTHERS, "HTTP_PORT": self.http, "HTTPS_PORT": self.https,
        }  # fmt: skip
        (place / ".env").write_text(example + "".join(f"{name}={value}\n" for name, value in ours.items()))
        # The other image has no entry point of PostgreSQL's.
        (place / "test.yaml").write_text("services: {database: {entrypoint: [sh, /usr/local/bin/postgres.sh]}}\n")
        engine.try_to("sh", place / "compose" / "make-secrets.sh")
        (place / "compose" / "secrets" / "email_url").write_text("smtp://mail:word-of-the-mail-server@127.0.0.1:2525")
        engine.do("sh", place / "compose" / "make-secrets.sh")
        self._checking = threading.Event()
        self._checker = threading.Thread(target=self._check_database, daemon=True)

    def compose(self, *words: str) -> str:
        return self.engine.do(
            "podman-compose", "-p", "lockboxtest", "-f", "compose.yaml", "-f", "test.yaml", *words, cwd=self.place
        )

    def up(self) -> None:
        self._checker.start()
        self.compose("up", "-d")

    def _check_database(self) -> None:
        """Run the health check of the database. Without systemd, podman runs none by itself."""
        while not self._checking.wait(2):
            self.engine.try_to("podman", "healthcheck", "run", self.name("database"))

    def down(self) -> None:
        self._checking.set()
        self.compose("down", "--volumes")

    def name(self, service: str) -> str:
        return f"lockboxtest_{service}_1"

    def run_in(self, service: str, *words: str) -> str:
        """Return what the command prints, to people and to programs."""
        done = self.engine.try_to("podman", "exec", self.name(service), *words)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def is_ok(self, service: str, what: str = "ready") -> bool:
        return (
            self.engine.try_to("podman", "exec", self.name(service), "customer-lockbox", "probe", what).returncode == 0
        )

    def get(self, path: str) -> tuple[int, str]:
        context = ssl._create_unverified_context()
        with socket.create_connection(("127.0.0.1", self.https), 10) as plain:
            secured = context.wrap_socket(plain, server_hostname=SITE)
            connection = http.client.HTTPSConnection(SITE, context=context)
            connection.sock = secured
            with contextlib.closing(connection):
                connection.request("GET", path, headers={"Connection": "close"})
                answer = connection.getresponse()
                return answer.status, answer.read().decode()

    def get_without_tls(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
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


@pytest.fixture(scope="module")
def site(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(engine, tmp_path_factory.mktemp("site"))
    try:
        made.up()
        for part in PARTS:
            until(lambda: made.is_ok(part), why=f"{part} is ready")  # noqa: B023 - called at once
        yield made
    except AssertionError:
        for part in PARTS:
            print(part, engine.try_to("podman", "logs", made.name(part)).stderr[-1500:])
        raise
    finally:
        made.down()


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


def test_from_nothing_to_the_first_staff_link(site: Site) -> None:
    assert "The log's key was made" in site.run_in("signer", "customer-lockbox", "log_key", "create")
    assert "passphrase" in site.run_in("signer", "customer-lockbox", "log_key", "copy")
    [link] = re.findall(rf"https://{SITE}/set-up/\S+", site.run_in("web1", "customer-lockbox", "setup-link"))
    status, page = site.get(link.removeprefix(f"https://{SITE}"))
    assert status == 200
    [style, *_] = re.findall(r"/static/[^\"]+\.css", page)
    assert site.get(style)[0] == 200
    until(lambda: "ok" in site.run_in("signer", "customer-lockbox", "ready", "--part", "signer"), why="it signs")


def test_the_proxy_keeps_the_rules(site: Site) -> None:
    assert [site.get(path)[0] for path in ("/healthz", "/readyz", "/metrics")] == [200, 404, 404]
    assert site.get_without_tls("/api/v1/tickets")[0] == 403
    assert site.get_without_tls("/x?y=1") == (301, f"https://{SITE}/x?y=1")


def test_no_secret_is_in_an_environment_a_command_line_a_description_or_a_log(site: Site) -> None:
    engine = site.engine
    secrets = {path.name: path.read_text() for path in (site.place / "compose" / "secrets").iterdir()}
    secrets["password of the mail server"] = "word-of-the-mail-server"
    containers = engine.podman("ps", "--all", "--quiet").split()
    places = {"inspect": engine.podman("inspect", *containers)}
    for container in containers:
        places[f"log of {container}"] = engine.podman("logs", container)
    for part in (*PARTS, "database", "proxy"):
        for pid in engine.processes(site.name(part)):
            for name in ("environ", "cmdline"):
                try:
                    places[f"{name} of {pid} in {part}"] = Path(f"/proc/{pid}/{name}").read_text(errors="replace")
                except OSError:
                    continue
    # The official image of PostgreSQL needs the password of its superuser once, for an empty volume.
    found = [
        f"{name} is in the {place}"
        for name, value in secrets.items()
        for place, text in places.items()
        if value in text
    ]
    assert found == []


def test_what_is_killed_stops_nothing_else(site: Site) -> None:
    for part in ("web1", "worker", "beat", "signer"):

        def kill(part: str = part) -> None:
            site.engine.podman("kill", "--signal", "KILL", site.name(part))
            time.sleep(8)

        codes = while_asked(site, kill)
        assert set(codes) == {"200"}, f"{part} was killed: {codes}"
        assert all(site.is_ok(other) for other in PARTS if other != part)
        site.engine.podman("start", site.name(part))
        took = until(lambda: site.is_ok(part), why=f"{part} is ready again")  # noqa: B023 - called at once
        print(f"{part}: ready {took:.0f} s after its start")


def test_what_is_asked_to_end_ends_in_time_and_loses_no_request(site: Site) -> None:
    for part in PARTS:
        started = time.monotonic()
        codes = while_asked(site, lambda: site.engine.podman("stop", "--time", "30", site.name(part)))  # noqa: B023 - called at once
        took = time.monotonic() - started
        print(f"{part}: ended after {took:.1f} s; {dict(codes)}")
        assert took < settings.STOP_SECONDS + 5
        assert set(codes) <= {"200"}, part
        assert site.engine.podman("inspect", "--format", "{{.State.ExitCode}}", site.name(part)) == "0", part
        site.engine.podman("start", site.name(part))
        until(lambda: site.is_ok(part), why=f"{part} is ready again")  # noqa: B023 - called at once


def test_a_part_that_hangs_is_not_ready_and_then_replaced(site: Site) -> None:
    """The other worker continues, and does not hide it. The container itself is not restarted."""
    clusters = [pid for pid in site.engine.processes(site.name("worker")) if _runs(pid, "cluster")]
    assert clusters
    for pid in clusters:
        os.kill(pid, signal.SIGSTOP)
    until(lambda: not site.is_ok("worker"), within=90, why="worker is not ready")
    assert site.is_ok("worker", "live")
    assert site.is_ok("signer")
    until(lambda: site.is_ok("worker"), within=180, why="the supervisor has replaced the cluster")


def _runs(pid: int, word: str) -> bool:
    try:
        return word in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False


def test_a_database_that_is_away_restarts_nothing(site: Site) -> None:
    before = {part: site.engine.podman("inspect", "--format", "{{.State.Pid}}", site.name(part)) for part in PARTS}
    site.engine.podman("stop", "--time", "30", site.name("database"))
    for part in PARTS:
        until(lambda: not site.is_ok(part), why=f"{part} is not ready")  # noqa: B023 - called at once
        assert site.is_ok(part, "live")
    site.engine.podman("start", site.name("database"))
    for part in PARTS:
        until(lambda: site.is_ok(part), why=f"{part} is ready again")  # noqa: B023 - called at once
    after = {part: site.engine.podman("inspect", "--format", "{{.State.Pid}}", site.name(part)) for part in PARTS}
    assert after == before
