"""`customer-lockbox init` makes an installation, finishes a half-done one, and never replaces what is there."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from audit_app import keys
from lockbox_site import command_line, django_commands
from lockbox_site.installing import answers, deploy_files, environment_file, initialising, questions
from lockbox_site.installing.answers import WrongAnswer
from lockbox_site.installing.questions import QUESTIONS, Interview, Question
from tests.outbox.conftest import Postbox, Server
from tests.ports import free_port
from tests.sources import ROOT

WITHIN = 120
SECRETS = ("SECRET_KEY", "TASK_SIGNING_KEY", "WEBHOOK_KEY", "SECOND_FACTOR_KEY")


def command(data: Path, *words: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run customer-lockbox with this data directory. `code` runs before it, in the same process."""
    script = f"import sys\nfrom lockbox_site import command_line\n{code}\nsys.argv = sys.argv[:1] + sys.argv[2:]\n"
    stored = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-P", "-c", f"{script}command_line.main()", "-", *words, "--data-dir", str(data)],
        cwd=data.parent,
        env=stored | {"PYTHONPATH": str(ROOT)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )


@pytest.fixture
def flags() -> Iterator[list[str]]:
    """Return the flags for an installation on this machine, with a real mail server."""
    server = Server(Postbox(), hostname="127.0.0.1", port=0)
    server.start()
    port, mail = str(free_port()), f"smtp://127.0.0.1:{server.port}"
    yield ["--address", f"http://localhost:{port}", "--provider", "Example, Inc", "--mail", mail]
    server.stop()


def link_in(output: str) -> str:
    [found] = re.findall(r"^http://localhost:\d+/set-up/([\w-]{43})/$", output, flags=re.MULTILINE)
    return str(found)


def opens(data: Path, passphrase: str) -> bool:
    """Return whether the passphrase opens the encrypted copy of the log's key."""
    words = ["openssl", "pkey", "-in", str(data / "log_key_copy.pem"), "-passin", f"pass:{passphrase}", "-noout"]
    return subprocess.run(words, capture_output=True).returncode == 0


def row_of(data: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(data / "lockbox.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        return dict(database.execute("SELECT * FROM requests_app_installation").fetchone())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_init_makes_an_installation_and_a_second_one_replaces_nothing(tmp_path: Path, flags: list[str]) -> None:
    data = tmp_path / "data"
    first = command(data, "init", *flags)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "No backup is made yet." in first.stdout
    stored = environment_file.read(data / ".env")
    assert (stored["PRODUCTION"], stored["PROVIDER_NAME"]) == ("on", "Example, Inc")
    assert stored["DATABASE_URL"] == f"sqlite:///{data}/lockbox.sqlite3"
    assert len({stored[name] for name in SECRETS}) == len(SECRETS)
    assert min(len(stored[name]) for name in SECRETS) > 80
    for name in (".env", "log_key", "log_key_copy.pem"):
        assert (data / name).stat().st_mode & 0o777 == 0o600, name
    assert (data / "static" / "staticfiles.json").is_file()
    assert (data / "content").is_dir(), "the place for the content of customers"
    assert not any(stored[name] in first.stdout + first.stderr for name in SECRETS)
    # The encrypted copy of the log's key opens with the passphrase that was shown.
    [passphrase] = re.findall(r"shown only now: (\S+)", first.stdout)
    assert opens(data, passphrase)
    row, copy = row_of(data), (data / "log_key_copy.pem").read_bytes()
    assert row["key_copy_hash"] == hashlib.sha256(copy).hexdigest()
    assert row["setup_link_hash"] == hashlib.sha256(link_in(first.stdout).encode()).hexdigest()

    key = (data / "log_key").read_bytes()
    again = command(data, "init", "--provider", "Other")
    assert again.returncode == 0, again.stdout + again.stderr
    assert environment_file.read(data / ".env") == stored
    assert ((data / "log_key").read_bytes(), (data / "log_key_copy.pem").read_bytes()) == (key, copy)
    assert row_of(data)["key_copy_hash"] == row["key_copy_hash"]
    assert "shown only now" not in again.stdout
    assert "--provider is not used" in again.stdout
    # The former link works no longer.
    assert row_of(data)["setup_link_hash"] == hashlib.sha256(link_in(again.stdout).encode()).hexdigest()

    made = command(data, "createsuperuser", "--noinput", "--email", "s@example.com", "--name", "Stella")
    assert made.returncode == 0, made.stderr
    for words in (["init"], ["setup-link"]):
        done = command(data, *words)
        assert "/set-up/" not in done.stdout
        assert done.returncode == (2 if words == ["setup-link"] else 0)
        assert "There is a staff member already" in done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.django_db
@pytest.mark.timeout(600)
def test_init_prepares_an_empty_postgresql_database_behind_a_proxy(tmp_path: Path, flags: list[str]) -> None:
    """The password of the database comes from the environment. The settings pass Django's own check of a deployment."""
    data, name, server = tmp_path / "data", f"init_{os.getpid()}", connection.settings_dict
    where = {"user": server["USER"], "password": server["PASSWORD"], "host": server["HOST"], "port": server["PORT"]}
    words = ["--address", "https://lockbox.example.com", *flags[2:], "--port", str(free_port())]
    with closing(psycopg.connect(dbname=server["NAME"], autocommit=True, **where)) as role:
        role.execute(f"CREATE DATABASE {name}")
        try:
            account = f"{server['USER']}:{server['PASSWORD']}" if server["PASSWORD"] else server["USER"]
            url = f"postgres://{account}@{server['HOST']}:{server['PORT']}/{name}"
            done = command(data, "init", *words, DATABASE_URL=url)
            assert done.returncode == 0, done.stdout + done.stderr
            assert re.search(r"^https://lockbox\.example\.com/set-up/[\w-]{43}/$", done.stdout, flags=re.MULTILINE)
            assert environment_file.read(data / ".env")["DATABASE_URL"] == url
            assert not list(data.glob("*.sqlite3"))
            checked = command(data, "migrate", "--check")
            assert checked.returncode == 0, checked.stderr
        finally:
            role.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_init_that_is_killed_at_each_step_is_finished_by_the_next(tmp_path: Path, flags: list[str]) -> None:
    """Each run dies one step later than the run before. All of them together make one sound installation."""
    data = tmp_path / "data"
    kill = (
        "import os\nfrom lockbox_site.installing import initialising\nsay = initialising._say\n"
        "def dying(text):\n    say(text)\n    if {words!r} in text: os._exit(9)\n"
        "initialising._say = dying\n"
    )
    seen: dict[str, str] = {}
    for words in ("EMAIL_URL", "database up to date", "log's key", "static files", "schedules", "is ready"):
        done = command(data, "init", *flags, code=kill.format(words=words))
        assert done.returncode == 9, done.stdout + done.stderr
        stored = environment_file.read(data / ".env")
        assert words != "EMAIL_URL" or not stored
        assert not seen or {name: stored[name] for name in SECRETS} == seen, "a secret was replaced"
        seen = {name: stored[name] for name in SECRETS} if stored else {}
        assert not [path.name for path in data.iterdir() if path.name.startswith(".") and path.name != ".env"]
    last = command(data, "init")
    assert last.returncode == 0, last.stdout + last.stderr
    assert link_in(last.stdout)
    assert {name: environment_file.read(data / ".env")[name] for name in SECRETS} == seen
    checked = command(data, "log_key", "show")
    assert checked.returncode == 0, checked.stderr


#: Kills the process just before it records a migration of this app, after so many records of it.
KILL_AT_A_RECORD = (
    "import os\n"
    "from django.db.migrations.recorder import MigrationRecorder\n"
    "record, left = MigrationRecorder.record_applied, [{after}]\n"
    "def dying(self, app, name):\n"
    "    if app == {app!r}:\n"
    "        if not left[0]: os._exit(9)\n"
    "        left[0] -= 1\n"
    "    record(self, app, name)\n"
    "MigrationRecorder.record_applied = dying\n"
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("app", "after"), [("requests_app", 0), ("requests_app", 20), ("audit_app", 5)])
def test_an_init_that_is_killed_while_it_records_a_migration_is_finished_by_the_next(
    tmp_path: Path, flags: list[str], app: str, after: int
) -> None:
    """A squashed migration has many records. If only some of them were there, no later run could migrate."""
    data = tmp_path / "data"
    died = command(data, "init", *flags, code=KILL_AT_A_RECORD.format(app=app, after=after))
    assert died.returncode == 9, died.stdout + died.stderr
    done = command(data, "init")
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(sqlite3.connect(data / "lockbox.sqlite3")) as database:
        recorded = {name for (name,) in database.execute("SELECT name FROM django_migrations WHERE app = ?", [app])}
        broken = database.execute("PRAGMA foreign_key_check").fetchall()
    on_disk = {path.stem for path in (ROOT / app / "migrations").glob("0*.py")}
    assert (on_disk - recorded, broken) == (set(), [])


#: Kills the process while it records the encrypted copy of the log's key.
KILL_AT_THE_RECORD = (
    "import os, signal\n"
    "from django.db.models import signals\n"
    "def kill(sender, instance, update_fields=None, **more):\n"
    "    if 'key_copy_hash' in (update_fields or ()): os.kill(os.getpid(), signal.SIGKILL)\n"
    "signals.pre_save.connect(kill, weak=False)"
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_init_that_is_killed_before_the_copy_of_the_key_is_recorded_leads_to_a_copy_that_opens(
    tmp_path: Path, flags: list[str]
) -> None:
    data = tmp_path / "data"
    killed = command(data, "init", *flags, code=KILL_AT_THE_RECORD)
    assert killed.returncode == -9
    # The output is a pipe here. What was shown has left the process.
    [former] = re.findall(r"shown only now: (\S+)", killed.stdout)
    assert opens(data, former)
    again = command(data, "init")
    assert again.returncode == 0, again.stdout + again.stderr
    [passphrase] = re.findall(r"shown only now: (\S+)", again.stdout)
    assert "A copy that was at this place is replaced." in again.stderr
    assert (opens(data, passphrase), opens(data, former)) == (True, False)
    copy = (data / "log_key_copy.pem").read_bytes()
    assert row_of(data)["key_copy_hash"] == hashlib.sha256(copy).hexdigest()
    # Later, init makes no other copy, but says how to.
    third = command(data, "init")
    assert "shown only now" not in third.stdout
    [words] = re.findall(r"make another copy: \S*customer-lockbox (.*)", third.stdout)
    other = command(data, *words.split(" --data-dir")[0].split())
    [passphrase] = re.findall(r"shown only now: (\S+)", other.stdout)
    assert opens(data, passphrase)


@pytest.mark.slow
def test_a_wrong_answer_without_a_terminal_is_one_line_and_status_2(tmp_path: Path) -> None:
    data = tmp_path / "data"
    address, provider = ["--address", "https://lockbox.example.com"], ["--provider", "Example"]
    for words, why in (
        ([], "--address is missing"),
        (["--address", "http://lockbox.example.com"], "--address: http://lockbox.example.com has no TLS"),
        (address, "--provider is missing"),
        ([*address, *provider, "--database", "mysql://x"], "--database: The database's address must begin with"),
        ([*address, *provider], "--mail is missing"),
        ([*address, *provider, "--mail", f"smtp://127.0.0.1:{free_port()}"], "--mail: The mail server 127.0.0.1"),
    ):
        done = command(data, "init", *words)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert why in done.stderr
        assert list(data.iterdir()) == []


@pytest.mark.parametrize("settings_of_trial", ["", "PROVIDER_NAME=Acme\n"])
def test_a_directory_of_a_trial_or_without_its_settings_is_refused(tmp_path: Path, settings_of_trial: str) -> None:
    data = tmp_path / "data"
    data.mkdir(0o700)
    if settings_of_trial:
        (data / ".env").write_text(settings_of_trial)
    (data / "lockbox.sqlite3").write_text("")
    done = command(data, "init", "--address", "https://lockbox.example.com")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "has lockbox.sqlite3 but no SECRET_KEY in .env" in done.stderr
    assert sorted(path.name for path in data.iterdir()) == [*[".env"][: len(settings_of_trial)], "lockbox.sqlite3"]
    if settings_of_trial:
        assert (data / ".env").read_text() == settings_of_trial


@pytest.mark.parametrize("word", ["serve", "setup-link", "migrate"])
def test_without_an_installation_nothing_runs(tmp_path: Path, word: str) -> None:
    done = command(tmp_path / "nothing", word)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("customer-lockbox: There is no installation in ")
    assert not (tmp_path / "nothing").exists()


# --- The questions ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_message_names_a_command_that_runs_here(tmp_path: Path) -> None:
    """Also if `manage.py` was called: it would not find the installation from everywhere."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "secret_key").write_text("x" * 60)
    words = [sys.executable, str(ROOT / "manage.py"), "log_key", "show"]
    base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {"DATA_DIR": str(data)}
    named = f"{ROOT}/bin/customer-lockbox log_key create --data-dir {data}"
    for line in (
        command(data, "log_key", "show").stderr,
        subprocess.run(words, env=base, capture_output=True, text=True).stderr,
    ):
        assert line.strip() == f"CommandError: There is no log key yet; make one with “{named}”."


def a_question(**changed: Any) -> Question:
    def check(text: str, _known: Any) -> str:
        if text != "right":
            raise WrongAnswer(f"{text} is wrong.")
        return text

    return Question(**{"setting": "WORD", "flag": "--word", "asks": "A word", "check": check, **changed})


def interview(tmp_path: Path, *typed: str, terminal: bool = True, **given: str) -> tuple[Interview, list[str]]:
    lines, asked = iter(typed), list[str]()

    def read(prompt: str) -> str:
        asked.append(prompt)
        return next(lines)

    return Interview(given, data=tmp_path, is_terminal=terminal, read=read), asked


def test_at_a_terminal_a_wrong_answer_is_explained_and_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk, asked = interview(tmp_path, "wrong", "", "right", WORD="flag")
    assert talk.answer(a_question(), {}, None) == "right"
    assert asked == ["A word: "] * 3
    assert capsys.readouterr().err.split("\n") == ["  flag is wrong.", "  wrong is wrong.", "   is wrong.", ""]


def test_an_empty_line_takes_the_proposal(tmp_path: Path) -> None:
    talk, asked = interview(tmp_path, "")
    assert talk.answer(a_question(proposal=lambda known, data: "right"), {}, None) == "right"
    assert asked == ["A word [right]: "]


def test_a_stored_answer_is_tested_again_and_a_fixed_one_is_never_replaced(tmp_path: Path) -> None:
    talk, asked = interview(tmp_path, "right")
    assert talk.answer(a_question(), {}, "right") == "right"
    assert talk.answer(a_question(is_checked_again=False), {}, "old") == "old"
    assert asked == []
    with pytest.raises(WrongAnswer, match=r"WORD in .*\.env: old is wrong\."):
        talk.answer(a_question(is_fixed=True), {}, "old")
    assert talk.answer(a_question(), {}, "old") == "right"
    alone, _asked = interview(tmp_path, terminal=False)
    with pytest.raises(WrongAnswer, match=r"WORD in .*\.env: old is wrong\."):
        alone.answer(a_question(), {}, "old")
    replaced, _asked = interview(tmp_path, terminal=False, WORD="right")
    assert replaced.answer(a_question(), {}, "old") == "right"


def test_what_is_proposed_for_a_site_behind_a_proxy_and_for_this_machine(tmp_path: Path) -> None:
    def proposed(base_url: str) -> dict[str, str]:
        known = {"BASE_URL": base_url, "PROVIDER_NAME": "Example, Inc"}
        return {each.setting: each.proposal(known, tmp_path) for each in QUESTIONS} | questions.derived(known)

    real, here = proposed("https://lockbox.example.com"), proposed("http://localhost:8321")
    assert (real["HOST"], real["PORT"], real["TRUSTED_PROXY_COUNT"]) == ("127.0.0.1", "8000", "1")
    assert (here["HOST"], here["PORT"], here["TRUSTED_PROXY_COUNT"]) == ("localhost", "8321", "0")
    assert real["DEFAULT_FROM_EMAIL"] == '"Example, Inc Customer Lockbox" <lockbox@lockbox.example.com>'
    for base_url in ("http://127.0.0.1:8501", "http://[::1]:8501"):
        sender = proposed(base_url)["DEFAULT_FROM_EMAIL"]
        assert sender == '"Example, Inc Customer Lockbox" <lockbox@localhost>'
        assert answers.sender(sender) == sender
    assert (real["ALLOWED_HOSTS"], "SSL_REDIRECT" in real) == ("lockbox.example.com", False)
    assert (here["SSL_REDIRECT"], here["SECURE_COOKIES"]) == ("off", "off")


# --- The file of settings -----------------------------------------------------------------------------------


def test_the_file_gives_back_what_was_written_and_keeps_all_other_lines(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# by hand\nWORKERS=6\nexport PORT=1\n")
    values = {
        "PORT": "8000",
        "A": '"Example, Inc" <a@b.example>',
        "B": "it's",
        "C": "a b#c $d",
        "D": "postgres://u:p%40@h/d?x=1&y=2",
    }
    environment_file.write(path, values)
    assert environment_file.read(path) == {"WORKERS": "6", **values}
    assert path.read_text().startswith("# by hand\nWORKERS=6\nPORT=8000\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [".env"]


# --- The command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "flags_of_lockbox"),
    [
        ("serve", []),
        ("web", ["--no-beat", "--no-tools", "--clusters", "0"]),
        ("worker", ["--no-web", "--no-beat", "--no-tools"]),
        ("beat", ["--no-web", "--no-tools", "--clusters", "0"]),
        ("tools", ["--no-web", "--no-beat", "--clusters", "0"]),
    ],
)
def test_serve_runs_everything_and_other_words_run_one_part(word: str, flags_of_lockbox: list[str]) -> None:
    assert command_line._serving(word, []) == ["lockbox", *flags_of_lockbox]


def test_a_part_after_serve_is_refused_with_the_word_that_runs_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command_line._serving("serve", ["web"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "customer-lockbox: To run only this part: customer-lockbox web\n"


def test_the_data_directory_can_stand_anywhere_in_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", "/from/environment")
    assert command_line._data_directory(["serve", "--data-dir", "/x", "web"]) == (["serve", "web"], Path("/x"))
    assert command_line._data_directory(["--data-dir=/x", "migrate"]) == (["migrate"], Path("/x"))
    assert command_line._data_directory(["log_key", "show"]) == (["log_key", "show"], Path("/from/environment"))
    monkeypatch.delenv("DATA_DIR")
    assert command_line._data_directory([]) == ([], Path("/var/lib/lockbox"))
    assert command_line._data_directory(["--data-dir", "here"])[1] == Path.cwd() / "here"


def test_no_setting_of_the_environment_leads_the_demo_to_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, the environment names the real database in a file, the shared heads, and the mail server."""
    given = {
        "PRODUCTION": "on", "DATABASE_URL_FILE": "/run/secrets/database_url", "LOG_HEADS": "s3://lockbox-heads/live",
        "LOG_HEADS_S3_SECRET_KEY_FILE": "/run/secrets/s3", "EMAIL_URL_FILE": "/run/secrets/email_url",
        "SECRET_KEY_FILE": "/run/secrets/secret_key", "SSO_ISSUER": "https://login.example.com", "PORT": "80",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://traces.example.com", "STATIC_ROOT": "/opt/lockbox/static",
    }  # fmt: skip
    seen: dict[str, str] = {}
    monkeypatch.setattr(django_commands, "run", lambda program, words: seen.update(os.environ))
    for name, value in {**given, "HTTP_PROXY": "http://proxy", "DJANGO_SETTINGS_MODULE": "", "DATA_DIR": "/x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENGINEER_SECOND_FACTOR", "on")
    assert command_line._run(["demo", "--data-dir", str(tmp_path)]) == 0
    assert set(seen) & set(given) == set()
    assert (seen["DATA_DIR"], seen["HTTP_PROXY"], seen["ENGINEER_SECOND_FACTOR"]) == (
        str(tmp_path), "http://proxy", "off",
    )  # fmt: skip


def _ended_by_ctrl_c(child: int, terminal: int) -> int:
    """Press Ctrl-C until the process ends, and return its exit status.

    If Python gets the signal just before it begins to read, it notices it only when the read returns. So once is not
    always enough, here as for a person.
    """
    for _ in range(60):
        os.write(terminal, b"\x03")
        for _ in range(20):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("Ctrl-C did not end it.")


def test_init_asks_at_a_terminal(tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.environ["PYTHONPATH"] = str(ROOT)
        line = [sys.executable, "-P", "-m", "lockbox_site.command_line", "init", "--data-dir", str(tmp_path / "data")]
        os.execv(sys.executable, line)
    shown = b""
    while b"Name of the provider" not in shown:
        shown += os.read(terminal, 1024)
        if shown.endswith(b".com): ") and shown.count(b"): ") <= 2:
            os.write(terminal, b"http://a.example\n" if shown.count(b"): ") == 1 else b"https://a.example\n")
    assert b"has no TLS" in shown
    assert _ended_by_ctrl_c(child, terminal) == 130
    os.close(terminal)
    assert list((tmp_path / "data").iterdir()) == []


def test_of_two_inits_the_second_asks_nothing_and_replaces_no_key(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with answers.alone(data):
        second = command(data, "init", "--address", "http://localhost:8123")
        assert (second.returncode, second.stdout) == (2, "")
        assert "Another init works on" in second.stderr
        assert second.stderr.count("\n") == 1
    assert list(data.iterdir()) == []
    with answers.alone(data):
        """The one before has ended, so this one has the directory."""


def test_keys_that_came_into_the_file_during_the_questions_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: f"{name}-of-the-other" for name in SECRETS}

    def answer(_self: Interview, question: Question, _known: object, _was: object) -> str:
        environment_file.write(tmp_path / ".env", keys)
        return question.setting.lower()

    monkeypatch.setattr(Interview, "answer", answer)
    monkeypatch.setattr(initialising, "derived", lambda _known: {})
    initialising._settings({}, tmp_path)
    stored = environment_file.read(tmp_path / ".env")
    assert {name: stored[name] for name in SECRETS} == keys
    assert stored["BASE_URL"] == "base_url"


def test_ctrl_c_says_whether_the_next_init_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o700)

    def interrupted(*_words: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Interview, "answer", interrupted)
    assert initialising.run([], data=tmp_path, program="customer-lockbox") == 130
    assert capsys.readouterr().err.endswith("No new answer is stored, so the next init asks again.\n")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(Interview, "answer", lambda _self, question, _known, _was: question.setting.lower())
    monkeypatch.setattr(initialising, "derived", lambda _known: {})
    monkeypatch.setattr(initialising, "_prepare", interrupted)
    assert initialising.run([], data=tmp_path, program="customer-lockbox") == 130
    assert capsys.readouterr().err.endswith("The answers are stored. To continue, run init again.\n")
    assert environment_file.read(tmp_path / ".env")["BASE_URL"] == "base_url"


@pytest.mark.parametrize("kind", ["written", "migrated"])
def test_a_full_disk_is_one_line_with_its_reason(tmp_path: Path, flags: list[str], kind: str) -> None:
    data = tmp_path / "data"
    full = {
        "written": "import os\ndef full(_descriptor): raise OSError(28, 'No space left on device')\nos.fsync = full\n",
        "migrated": (
            "from django.db import OperationalError\n"
            "from django.db.migrations.executor import MigrationExecutor\n"
            "def full(*_words, **_more): raise OperationalError('database or disk is full')\n"
            "MigrationExecutor.apply_migration = full\n"
            "import lockbox_site.installing\n"
        ),
    }
    done = command(data, "init", *flags, code=full[kind])
    assert done.returncode == 1, done.stdout
    assert {"written": "No space left on device", "migrated": "database or disk is full"}[kind] in done.stderr
    assert "To continue, run init again." in done.stderr
    assert "customer-lockbox migrate" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [path.name for path in data.iterdir() if path.name.startswith("..")]


def test_drafts_of_processes_that_were_killed_are_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = [f"..env.{gone.pid}.0123abcd", f".log_key.{gone.pid}.0123abcd", f".log_key_copy.pem.{gone.pid}.0123abcd"]
    stay = [".env", "log_key", f"..env.{os.getpid()}.0123abcd", f".other.{gone.pid}.0123abcd"]
    for name in (*dead, *stay):
        (tmp_path / name).touch()
    keys.remove_drafts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)


def test_files_for_deployment_replace_a_link_and_never_write_through_it(tmp_path: Path) -> None:
    """Root may write them into a directory in which somebody else has put a link."""
    assert deploy_files.run([str(tmp_path / "first")], program="lockbox") == 0
    [made, *_rest] = sorted(path for path in (tmp_path / "first").rglob("*") if path.is_file())
    victim, link = tmp_path / "victim", tmp_path / "second" / made.relative_to(tmp_path / "first")
    victim.write_text("stays")
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    assert deploy_files.run([str(tmp_path / "second")], program="lockbox") == 0
    assert victim.read_text() == "stays"
    assert (link.is_symlink(), link.read_bytes()) == (False, made.read_bytes())
