"""The image is built, and deploy/compose.yaml runs, with real containers: what is killed, frozen or away stops nothing
else, and no secret is found anywhere."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from django.conf import settings

from tests.deploy.engine import Engine
from tests.deploy.installation import IMAGE, OTHERS, SITE, Site, until, use, while_asked
from tests.sources import ROOT

pytestmark = [pytest.mark.deep, pytest.mark.timeout(3600)]

PARTS = ("web1", "web2", "worker", "signer", "beat")
KEY = re.compile(rb"lockbox-log-key-v1 [A-Za-z0-9+/]{40}|-----BEGIN [A-Z ]*PRIVATE")
MOST_MEGABYTES = 450
#: Of the memory of one service under a small load, and of the processor for all services when nobody uses them.
MOST_MEGABYTES_OF_A_SERVICE, MOST_CORES_WHEN_IDLE = 450, 0.6
TOOLS = re.compile(r"(^|/)bin/(pip3?|gcc|git|make)$|^src/|^tools/|^root/\.cache/")
SECRET_FILES = re.compile(r"(^|/)(\.env|secret_key|log_key|log_key_copy\.pem|lockbox\.sqlite3|email_url|database_url)$")


# --- What is left of a run that was killed ---------------------------------------------------------------

#: Runs a container with a network and a port, tells which process it is, and ends by a signal.
KILLED = """
import os, pathlib, sys
from tests.deploy.engine import Engine
engine = Engine(pathlib.Path(sys.argv[1]))
engine.podman("network", "create", "of-a-killed-run")
engine.podman(
    "run", "--detach", "--name", "left", "--network", "of-a-killed-run", "--publish", "8099:80", "--rootfs", "/:O",
    "sleep", "600",
)
print(*engine.processes("left"), flush=True)
os.kill(os.getpid(), int(sys.argv[2]))
"""


def _bridges_and_rules() -> str:
    return "".join(
        subprocess.run(words, capture_output=True, text=True, check=True).stdout
        for words in (["ip", "-brief", "link"], ["nft", "list", "ruleset"])
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_run_that_was_killed(how: signal.Signals, tmp_path: Path) -> None:
    before = _bridges_and_rules()
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(int(how))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -how, done.stderr
    [pid] = done.stdout.split()
    until(lambda: not Path(f"/proc/{pid}").exists(), within=20, why="the container has ended")
    until(lambda: not (tmp_path / "storage").exists(), within=20, why="the images are deleted")
    assert _bridges_and_rules() == before


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


def test_extras_are_in_the_image_only_if_the_build_asks_for_them(engine: Engine) -> None:
    def has(image: str, module: str) -> bool:
        words = [
            "--rm",
            "--network",
            "none",
            "--entrypoint",
            "/opt/lockbox/bin/python3",
            image,
            "-c",
            f"import {module}",
        ]
        return engine.try_to("podman", "run", *words).returncode == 0

    modules = ("pkcs11", "opentelemetry.exporter.otlp.proto.http")
    assert [has(IMAGE, module) for module in ("django", *modules)] == [True, False, False]
    base, file = "localhost/debian:trixie", ROOT / "deploy" / "Containerfile"
    with_extras = engine.build("localhost/extras:test", file, ROOT, target="build", BASE=base, EXTRAS="otel pkcs11")
    assert [has(with_extras, module) for module in ("django", *modules)] == [True, True, True]
    with pytest.raises(AssertionError, match=r"EXTRAS can name otel and pkcs11, not hsm\."):
        engine.build("localhost/wrong:test", file, ROOT, target="build", BASE=base, EXTRAS="hsm")


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


def test_from_nothing_to_the_first_staff_link(site: Site) -> None:
    assert "The log's key was made" in site.run_in("signer", "customer-lockbox", "log_key", "create")
    assert "passphrase" in site.run_in("signer", "customer-lockbox", "log_key", "copy")
    [link] = re.findall(rf"https://{SITE}/set-up/\S+", site.run_in("web1", "customer-lockbox", "setup-link"))
    status, page = site.get(link.removeprefix(f"https://{SITE}"))
    assert status == 200
    [style, *_] = re.findall(r"/static/[^\"]+\.css", page)
    assert site.get(style)[0] == 200
    until(site.signs, why="it signs")


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


# --- The other services, another user, and what all this needs --------------------------------------------------


def test_each_service_stays_within_the_memory_and_the_processor_time_of_the_docs(site: Site) -> None:
    """docs/containers.md has a table of these numbers. The load: a page ten times a second, one after the other."""
    names = (*PARTS, "proxy", "database")
    seconds = 30.0
    measured: dict[str, list[float]] = {name: [] for name in names}
    for is_used in (False, True):
        before = {name: use(site, name).processor for name in names}
        if is_used:
            print(while_asked(site, lambda: time.sleep(seconds)))
        else:
            time.sleep(seconds)
        for name in names:
            after = use(site, name)
            measured[name] += [after.memory / 1e6, (after.processor - before[name]) / seconds]
    print(f"{'service':<12}{'idle MB':>9}{'cores':>8}{'busy MB':>9}{'cores':>8}")
    for name, (idle, little, busy, more) in measured.items():
        print(f"{name:<12}{idle:>9.0f}{little:>8.3f}{busy:>9.0f}{more:>8.3f}")
    probe = site.run_in("beat", "sh", "-c", "customer-lockbox probe ready; times")
    print(f"a probe: {probe}")
    assert all(numbers[2] < MOST_MEGABYTES_OF_A_SERVICE for numbers in measured.values()), measured
    assert sum(numbers[1] for numbers in measured.values()) < MOST_CORES_WHEN_IDLE, measured


#: Reads the metrics of another container, as Prometheus does, with the token and without it.
SCRAPE = """
import sys, urllib.error, urllib.request
url = f"http://{sys.argv[1]}:9464/metrics"
token = open("/run/secrets/metrics_token").read()
print(urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": "Bearer " + token})).read().decode())
try:
    urllib.request.urlopen(url)
except urllib.error.HTTPError as refusal:
    print("without a token:", refusal.code)
"""


def test_prometheus_reaches_the_counters_of_each_part(site: Site) -> None:
    """The states come from the web servers, and the counters of tasks from the containers that run them."""

    def read(part: str) -> str:
        return site.run_in("web1", "python3", "-c", SCRAPE, part)

    for part in ("worker", "signer"):
        until(lambda: "lockbox_tasks_total{" in read(part), why=f"{part} counts its tasks")  # noqa: B023 - called at once
    assert 'lockbox_processes{part="beat"} 1.0' in read("beat")
    for part in ("worker", "signer", "beat"):
        assert "without a token: 401" in read(part)
    assert site.engine.try_to("podman", "exec", site.name("web1"), "python3", "-c", SCRAPE, "web2").returncode != 0


def test_the_proxy_for_tools_runs_and_is_reached_from_the_proxy(site: Site) -> None:
    site.compose("--profile", "tools", "up", "-d", "--no-deps", "tools")
    until(lambda: site.is_ok("tools"), why="tools is ready")
    print(f"tools: {use(site, 'tools').memory / 1e6:.0f} MB")
    # It answers, and refuses a name that is no tool's.
    answer = site.engine.try_to(
        "podman",
        "exec",
        site.name("proxy"),
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "http://tools:8001/",
    )
    assert answer.stdout == "421", answer


def test_backups_are_made_and_the_heads_are_copied(site: Site, tmp_path: Path) -> None:
    site.run_in("signer", "customer-lockbox", "log_key", "create", "--if-missing")
    until(site.signs, why="it signs")
    site.compose("--profile", "backup", "up", "-d", "--no-deps", "backup", "heads")

    def files(service: str, place: str) -> list[str]:
        return site.engine.try_to("podman", "exec", site.name(service), "ls", place).stdout.split()

    until(lambda: any(name.endswith(".age") for name in files("backup", "/backups")), why="a backup is there")
    # A site without tenants has no logs yet, so it has no heads.
    until(lambda: "heads were copied" in site.engine.podman("logs", site.name("heads")), why="the heads are copied")
    site.run_in("heads", "touch", "/heads/it-can-be-written")
    print(f"backup: {use(site, 'backup').memory / 1e6:.0f} MB, heads: {use(site, 'heads').memory / 1e6:.0f} MB")
    [name] = [each for each in files("backup", "/backups") if each.endswith(".age")]
    site.engine.podman("cp", f"{site.name('backup')}:/backups/{name}", tmp_path)
    packed = pyrage.decrypt((tmp_path / name).read_bytes(), [site.identity])
    with tarfile.open(fileobj=io.BytesIO(packed)) as backup:
        assert {"settings/keys", "settings/log_key", "heads", "tables/requests_app_installation/1"} <= set(
            backup.getnames()
        )


def test_the_doctor_finds_nothing_wrong_but_what_this_site_lacks(site: Site) -> None:
    """The site has no name that leads to it, and no mail server."""
    site.run_in("signer", "customer-lockbox", "log_key", "create", "--if-missing")
    for part in ("web1", "worker", "signer", "beat"):
        done = site.engine.try_to("podman", "exec", site.name(part), "customer-lockbox", "doctor", "--json")
        findings = json.loads(done.stdout)["findings"]
        levels = {each["check"]: each["level"] for each in findings}
        assert levels["address"] == "unknown"
        wrong = {name for name, level in levels.items() if level == "problem"}
        print(part, [each for each in findings if each["level"] != "ok"])
        assert wrong == {"mail"}, (part, wrong)
        assert "systemctl" not in done.stdout


def test_another_user_can_be_chosen(engine: Engine, tmp_path: Path) -> None:
    """Only the secrets must belong to it: docs/containers.md names the setting LOCKBOX_UID."""
    other = Site(engine, tmp_path, name="lockboxother", user=20_001)
    services = ("database", "migrate", "web1", "signer", "beat")
    try:
        other.up(*services)
        for part in ("web1", "signer", "beat"):
            until(lambda: other.is_ok(part), why=f"{part} is ready")  # noqa: B023 - called at once
            assert other.run_in(part, "id", "-u").strip() == "20001"
        assert "The log's key was made" in other.run_in("signer", "customer-lockbox", "log_key", "create")
        until(other.signs, why="it signs")
    finally:
        for part in services:
            print(part, engine.try_to("podman", "logs", other.name(part)).stderr[-800:])
        other.down()
