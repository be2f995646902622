"""Runs every command in the documents. A command that a test can't run is checked as far as possible."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import pytest

from bench import __main__ as bench
from tests import ground
from tests.docs.clone import Clone
from tests.docs.documents import ROOT, Block, blocks, commands
from tests.outbox.conftest import Postbox, Server
from tests.ports import free_port

ALL = sorted({(block.document, command) for block in blocks("sh") for command in commands(block)})

#: The installation on a production machine. Its commands depend on each other, so they run in order.
INSTALLATION = "deploy/README.md"
#: The two commands of the road. They ask, or run until they are ended.
ROAD = re.compile(r"bin/customer-lockbox (init|serve)$")
SERVES = re.compile(r"bin/run$")
SERVES_EMPTY = re.compile(r"bin/run --empty$")
#: The tests themselves.
TESTS = re.compile(r"^bin/test\b")
DEMO = re.compile(r"^bin/demo$")
#: Compiling the lock files needs a package index, and a test has no network.
NEEDS_INDEX = re.compile(r"^uv ")
#: Commands for PostgreSQL. test_postgresql runs them.
POSTGRESQL = re.compile(r"^pg_")
#: Measurements of minutes, in worlds of gigabytes. tests/bench/test_parts.py runs all parts in small worlds.
BENCH = re.compile(r"^bin/bench\b")
#: What a customer does without the provider. Some of these commands depend on earlier ones.
AT_HOME = re.compile(r"lockbox_verify\.py|\bevidence/")

#: Commands that call the API. tests/clients runs them against a server, as the people for whom they are written.
CALLS = re.compile(r"^(curl|lockbox)\b")

TESTED_ELSEWHERE = (ROAD, SERVES, SERVES_EMPTY, TESTS, DEMO, NEEDS_INDEX, POSTGRESQL, BENCH, AT_HOME, CALLS)


def kind(pattern: re.Pattern[str]) -> list[str]:
    return sorted({command for document, command in ALL if document != INSTALLATION and pattern.search(command)})


PLAIN = sorted(
    {command for document, command in ALL if document != INSTALLATION}
    - {command for pattern in TESTED_ELSEWHERE for command in kind(pattern)}
)


def test_the_documents_have_commands() -> None:
    assert "bin/run" in kind(SERVES)
    assert kind(DEMO) == ["bin/demo"]
    assert any("demo_people" in command for command in PLAIN)


def test_a_comment_and_a_continued_line_are_read_as_a_shell_reads_them() -> None:
    block = Block("x.md", 1, "sh", "# first\none \\\n  two   # why\n\nthree 'a#b'")
    assert commands(block) == ["one    two", "three 'a#b'"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Return a copy with a database, the people of the demo world, and their signed logs."""
    made = Clone.make(tmp_path_factory.mktemp("docs") / "clone")
    (made.path / "var").mkdir()
    shutil.copy(ground.sqlite(), made.path / "var" / "lockbox.sqlite3")
    made.done(".venv/bin/python manage.py migrate --noinput")
    made.done(".venv/bin/python manage.py log_key create")
    made.done(".venv/bin/python manage.py demo_world --bare")
    # Sign the logs once. This writes the file of heads, which some commands copy.
    made.done(".venv/bin/python manage.py checkpoint")
    return made


@pytest.mark.deep
@pytest.mark.parametrize("command", PLAIN)
def test_a_command_succeeds(clone: Clone, command: str) -> None:
    clone.done(command)


@pytest.mark.deep
def test_a_command_that_fails_is_noticed(clone: Clone) -> None:
    """If failures were not noticed, the test above could pass without running anything."""
    assert clone.sh(".venv/bin/python manage.py no_such_command").returncode != 0
    assert clone.sh("systemctl restart lockbox-nothing").returncode != 0


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_the_product_runs_and_ends_as_the_documents_say(tmp_path: Path) -> None:
    """The first start creates everything, and a later start uses it. Each start ends cleanly when it is stopped."""
    fresh = Clone.make(tmp_path / "clone")
    for command in kind(SERVES):
        running = fresh.start(command, PORT=str(free_port()))
        try:
            output = running.until("Ready: ", within=150)
            address = output.rpartition("Ready: ")[2].split()[0]
            with urllib.request.urlopen(f"{address}/accounts/login/", timeout=10) as answer:
                assert answer.status == 200
            assert "ada.keller@contoso.example" in output
        finally:
            status = running.end()
        assert status == 0, running.output.read_text()[-1500:]
    assert (fresh.path / "var" / "lockbox.sqlite3").exists()
    key = fresh.path / "var" / "log_key"
    assert (key.read_text().split()[0], key.stat().st_mode & 0o777) == ("lockbox-log-key-v1", 0o600)
    assert not [line for line in fresh.called() if not line.startswith("pip ")]


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", kind(SERVES_EMPTY))
def test_the_empty_trial_begins_with_a_link_that_works(tmp_path: Path, command: str) -> None:
    fresh = Clone.make(tmp_path / "clone")
    running = fresh.start(command, PORT=str(free_port()))
    try:
        output = running.until("/set-up/", within=150)
        # The link is the last line, and nothing before it looks like a mistake.
        assert "Nobody can sign in yet" not in output
        [link] = re.findall(
            r"^    (http://localhost:\d+/set-up/[\w-]{43}/)$", output.partition("Ready: ")[2], re.MULTILINE
        )
        with urllib.request.urlopen(link, timeout=10) as answer:
            assert (answer.status, b"Begin" in answer.read()) == (200, True)
        with sqlite3.connect(f"file:{fresh.path}/var/empty/lockbox.sqlite3?mode=ro", uri=True) as database:
            assert database.execute("SELECT count(*) FROM requests_app_person").fetchone() == (0,)
        database.close()
    finally:
        status = running.end()
    assert status == 0, running.output.read_text()[-1500:]
    assert not (fresh.path / "var" / "lockbox.sqlite3").exists()


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_the_demo_plays_to_its_end_and_leaves_its_evidence(tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "clone")
    output = clone.done("bin/demo", within=200)
    assert output.endswith("Every step was observed.\n")
    assert (clone.path / "var" / "demo" / "evidence.zip").stat().st_size > 10_000


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_the_benchmark_measures_what_it_names_on_both_databases() -> None:
    # The account of PostgreSQL's server can't enter the directories of pytest.
    with tempfile.TemporaryDirectory(prefix="lockbox-bench-") as place:
        Path(place).chmod(0o755)
        clone = Clone.make(Path(place) / "clone")
        output = clone.done("bin/bench --part acts sweeps --grants 4200 --due 60 --acts 3", within=500)
    tables = re.split(r"^([\w-]+, [\w-]+: \d+ cores, .*)$", output, flags=re.MULTILINE)
    conditions, results = tables[1::2], tables[2::2]
    assert [re.sub(r": .*, (\w+) .*", r": \1", line) for line in conditions] == [
        f"{part}, grants-4200: {database}" for database in ("SQLite", "PostgreSQL") for part in ("acts", "sweeps")
    ]
    last, aims = results[-1].split("| what |")
    measured = [re.findall(r"^\| (\w.*?) \|.* \|$", text, flags=re.MULTILINE) for text in (*results[:-1], last)]
    # With PostgreSQL, two workers share a sweep that finds much.
    sqlite, postgresql = (
        [
            line
            for name in ("access requests", "windows")
            for line in (
                f"sweep that finds nothing: {name}",
                f"sweep in batches of 500{workers}: 60 {name}",
                f"sweep by two processes: 600 {name}",
            )
        ]
        for workers in ("", ", by two workers")
    )
    acts = ["customer's yes, committed with its entry", "content open, with its committed entry"]
    assert measured == [acts, sqlite, acts, postgresql]
    # The table of the aims comes once, at the end.
    assert re.findall(r"^\| (\w.*?) \|", aims, flags=re.MULTILINE) == [
        "customer's approval",
        "content opened, with its entry",
        "sweep without work",
        "60 due among 4,200: expired, windows closed",
        "ten times as many with two clusters: windows closed",
    ]
    figure = r"[\d.–]+ m?s \(SQLite\), [\d.–]+ m?s \(PostgreSQL\)"
    assert len(re.findall(rf"^\|.*\| {figure} \| (?:yes|no|only \w+) \|.*\|$", aims, flags=re.MULTILINE)) == 5
    ending = (
        r"Other programs used .* meanwhile\.\n\nSeconds, on SQLite \+ PostgreSQL: acts \d+ \+ \d+, sweeps \d+ \+ \d+\."
    )
    assert re.search(ending, aims), aims


def test_the_benchmark_knows_the_arguments_of_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kind(BENCH)
    for command in kind(BENCH):
        monkeypatch.setattr("sys.argv", ["bench", *shlex.split(command)[1:]])
        # It ends the process if it does not know one.
        assert bench._arguments().part


@pytest.mark.parametrize("command", kind(TESTS))
def test_the_test_run_is_called_as_it_wants(command: str) -> None:
    name, *words = command.split()
    script = ROOT / name
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", script], capture_output=True).returncode == 0
    if words:
        [offered] = re.findall(r"^# Usage: bin/test \[([a-z|]+)\]", script.read_text(), flags=re.MULTILINE)
        assert words[0] in offered.split("|")


@pytest.mark.parametrize("command", kind(NEEDS_INDEX))
def test_the_locks_are_compiled_from_what_is_there(command: str) -> None:
    assert subprocess.run(["sh", "-nc", command], capture_output=True).returncode == 0
    files = [word for word in command.split() if word.startswith("requirements")]
    assert len(files) == 2
    assert all((ROOT / name).is_file() for name in files)


@pytest.mark.deep
def test_a_customer_checks_the_log_at_home_as_the_documents_say(clone: Clone) -> None:
    """The commands run in the document's order, because later commands read files that earlier commands make."""
    clone.done(".venv/bin/python manage.py log_key create --if-missing")
    clone.done(".venv/bin/python manage.py checkpoint")
    clone.done(".venv/bin/python manage.py evidence contoso -o evidence.zip")
    clone.done("mkdir -p var/demo/contoso-at-home && cp evidence.zip var/demo && cp verify/lockbox_verify.py .")
    clone.done("python3 -m zipfile -e evidence.zip first/")
    keys = json.loads((clone.path / "first" / "keys.json").read_text())["log"]
    for place in (clone.path, clone.path / "var" / "demo" / "contoso-at-home"):
        (place / "log.key").write_text("\n".join(keys) + "\n")
    shutil.copy(clone.path / "first" / "checkpoint-0.txt", clone.path / "checkpoint-2026-10.txt")
    done = []
    for command in at_home():
        if " witness " in command:
            running = clone.start(f"{command} --listen 127.0.0.1:{free_port()}")
            try:
                running.until("127.0.0.1", within=120)
            finally:
                assert running.end() == 0, running.output.read_text()
        elif " previous " in command or " --witness " in command:
            # The witness has just been started, and has cosigned nothing.
            assert clone.sh(command).returncode == 2, command
        else:
            clone.done(command)
        done.append(command)
    assert len(done) >= 7
    assert (clone.path / "checkpoint-2026-11.txt").read_text() == (clone.path / "checkpoint-2026-10.txt").read_text()


def at_home() -> list[str]:
    found = [command for block in blocks("sh") for command in commands(block) if AT_HOME.search(command)]
    return list(dict.fromkeys(found))


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_production_machine_is_installed_as_deploy_says(tmp_path: Path) -> None:
    """Every command runs, in order. `init` asks, and gets its answers at a terminal."""
    machine = Clone.make(tmp_path / "clone")
    machine.data = tmp_path / "data"
    server = Server(Postbox(), hostname="127.0.0.1", port=0)
    server.start()
    answers = {
        "Address of the site": "https://lockbox.example.com",
        "Name of the provider": "Example Cloud",
        "Mail server": f"smtp://127.0.0.1:{server.port}",
        "Port on which": str(free_port()),
    }
    shown = ""
    try:
        for command in [
            command for block in blocks("sh") if block.document == INSTALLATION for command in commands(block)
        ]:
            if command.endswith(" init"):
                status, shown = machine.in_a_terminal(command, answers)
                assert status == 0, shown
            else:
                machine.done(command)
    finally:
        server.stop()
    assert re.search(r"https://lockbox\.example\.com/set-up/[\w-]{43}/", shown)
    assert "shown only now: " in shown
    assert (machine.data / ".env").stat().st_mode & 0o777 == 0o600
    units = {path.stem for path in (machine.path / "deploy" / "systemd").iterdir()}
    assert {path.stem for path in (machine.path / "etc" / "systemd" / "system").iterdir()} == units
    started = {word for line in machine.called() if line.startswith("systemctl") for word in line.split()}
    # One runs before the others, and one is needed only for web tools that have an upstream address.
    assert units - started == {"lockbox-migrate", "lockbox-tools", "lockbox-backup", "lockbox-heads"}
    assert any("--require-hashes" in line for line in machine.called())


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_the_two_commands_of_the_road_lead_to_a_server_with_a_link_that_works(tmp_path: Path) -> None:
    machine = Clone.make(tmp_path / "clone")
    machine.data = tmp_path / "data"
    init, serve = kind(ROAD)
    server = Server(Postbox(), hostname="127.0.0.1", port=0)
    server.start()
    answers = {
        "Address of the site": f"http://localhost:{free_port()}",
        "Name of the provider": "Example Cloud",
        "Mail server": f"smtp://127.0.0.1:{server.port}",
    }
    try:
        status, shown = machine.in_a_terminal(init, answers)
    finally:
        server.stop()
    assert status == 0, shown
    [link] = re.findall(r"http://localhost:\d+/set-up/[\w-]{43}/", shown)
    running = machine.start(serve)
    try:
        running.until("Ready: ", within=150)
        with urllib.request.urlopen(link, timeout=10) as answer:
            assert (answer.status, b"Begin" in answer.read()) == (200, True)
    finally:
        status = running.end()
    assert status == 0, running.output.read_text()[-1500:]


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_the_units_start_commands_that_exist(tmp_path: Path) -> None:
    """What the unit for upgrades runs succeeds. Each of the other units runs one part, or one timer's command."""
    machine = Clone.make(tmp_path / "clone")
    machine.data = tmp_path / "data"
    server = Server(Postbox(), hostname="127.0.0.1", port=0)
    server.start()
    words = f"--address https://lockbox.example.com --provider X --mail smtp://127.0.0.1:{server.port}"
    try:
        machine.done(f"/opt/lockbox/.venv/bin/customer-lockbox init {words} --port {free_port()}")
    finally:
        server.stop()
    started = {}
    for unit in (machine.path / "deploy" / "systemd").glob("*.service"):
        started[unit.stem] = re.findall(r"^ExecStart=(.+)$", unit.read_text(), flags=re.MULTILINE)
    for command in started.pop("lockbox-migrate"):
        machine.done(command)
    assert started == {
        "lockbox-web": ["/opt/lockbox/.venv/bin/customer-lockbox web"],
        "lockbox-cluster": ["/opt/lockbox/.venv/bin/customer-lockbox worker"],
        "lockbox-beat": ["/opt/lockbox/.venv/bin/customer-lockbox beat"],
        "lockbox-tools": ["/opt/lockbox/.venv/bin/customer-lockbox tools"],
        "lockbox-backup": ["/opt/lockbox/.venv/bin/customer-lockbox backup"],
        "lockbox-heads": ["/opt/lockbox/.venv/bin/customer-lockbox log_heads copy --to ${HEADS_TO}"],
    }
