"""Real processes that use the test's database. Each has a time limit, and is ended by its process id."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from django.conf import settings
from django.test import override_settings

from requests_app.models import Heartbeat
from requests_app.work import supervisor
from requests_app.work.processes import kill_tree, tree
from requests_app.work.supervisor import web_answers
from tests.ground import database_url

T = TypeVar("T")


class Running:
    """A running command in a session of its own. Its output is in a file."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self.log_path = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=settings.BASE_DIR, env=env, stdout=output, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._known: set[int] = set()

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self.process.pid

    def family(self) -> list[int]:
        """Return the process and its present descendants.

        They are remembered, to find those that are left over later.
        """
        members = tree(self.pid)
        self._known |= set(members)
        return members

    def orphans(self) -> list[int]:
        return [pid for pid in self._known if pid != self.pid and _is_alive(pid)]

    def stop(self, number: int = signal.SIGTERM, *, within: float = 120.0, is_cut_short: bool = False) -> float:
        """Send a signal to the main process only, and wait for the end.

        Return how many seconds this took. Fail if a process had to be killed, or with `is_cut_short`, if none had
        to be.
        """
        self.family()
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=within)
        took = time.monotonic() - started
        assert ("did not stop in time" in self.log) == is_cut_short, self.log[-3000:]
        return took

    def until(self, words: str) -> None:
        """Wait until these words are in the output. Fail immediately if the process has ended."""
        wait_for(lambda: words in self.log or self.process.poll() is not None, within=60, why=words)
        assert words in self.log, self.log[-3000:]

    def clean_up(self) -> None:
        self.family()
        for pid in [self.pid, *self._known]:
            kill_tree(pid)
        self.process.wait(timeout=120)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


#: How many seconds a supervisor gives its processes to stop. A web server alone has as many.
STOP_SECONDS = 18
#: Each wait can take this many times longer than on a machine without other work.
PATIENCE = 8
#: The shortest limit of a wait, in seconds. A short task may wait long for a processor.
LEAST_PATIENCE = 60.0


def wait_for(what: Callable[[], T], *, within: float, why: str = "") -> T:
    """Call `what` again and again until its result is true. Return the result.

    If this takes too long, fail with `why`. `within` is the time that it may take on an idle machine.
    """
    within = max(within * PATIENCE, LEAST_PATIENCE)
    until = time.monotonic() + within
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {within} s: {why or what}")


def runs(pid: int, command: str) -> bool:
    """Return whether the command line of the process has this word. A process that has just ended runs nothing."""
    try:
        return command in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return False


def beats() -> dict[str, dt.datetime]:
    """Return when each cluster last wrote its heartbeat."""
    return dict(Heartbeat.objects.workers().values_list("name", "at"))


def in_service(count: int = 1) -> dict[str, dt.datetime]:
    """Wait until this number of clusters have written a heartbeat. Return their heartbeats."""

    def enough() -> dict[str, dt.datetime]:
        return found if len(found := beats()) >= count else {}

    return wait_for(enough, within=30, why=f"{count} heartbeats")


Start = Callable[..., Running]


def web_alone(start: Start, port: int, workers: int = 1, **env: str) -> Running:
    """Start the web server with one process, or with more, and without its supervisor. Wait until it answers."""
    with override_settings(HOST="127.0.0.1", PORT=port, WEB_WORKERS=workers):
        command = supervisor.web_command()
    running = start(command=command, PORT=str(port), BASE_URL=f"http://127.0.0.1:{port}", **env)
    wait_for(lambda: web_answers("127.0.0.1", port) or running.process.poll() is not None, within=60)
    assert running.process.poll() is None, running.log[-3000:]
    return running


@pytest.fixture
def start(transactional_db: None, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts `manage.py …`, or another command, with short time limits.

    For example: `start("lockbox", "--no-web", CLUSTERS="2")`. A process loads all pages for Django's checks, so only
    one that `is_checked` runs the checks. The supervisor starts its processes without them, too.
    """
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
    short = {
        "DJANGO_SETTINGS_MODULE": "tests.tasks.process_settings", "DATABASE_URL": database_url(),
        "DATA_DIR": str(tmp_path / "data"), "TASK_SIGNING_KEY": settings.TASK_SIGNING_KEY, "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "json", "HEARTBEAT_SECONDS": "1", "HEARTBEAT_MAX_AGE_SECONDS": "30", "SWEEP_SECONDS": "1",
        "TASK_ATTEMPTS": "2", "STOP_SECONDS": str(STOP_SECONDS), "WORKERS": "2", "HOST": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    (tmp_path / "data" / "static").mkdir(parents=True)
    begun: list[Running] = []

    def begin(*arguments: str, command: Sequence[str] = (), is_checked: bool = False, **env: str) -> Running:
        log = tmp_path / f"{len(begun)}.log"
        manage = [sys.executable, "manage.py", *arguments, *([] if is_checked else ["--skip-checks"])]
        begun.append(Running([*command, *arguments] if command else manage, {**inherited, **short, **env}, log))
        return begun[-1]

    yield begin
    for running in begun:
        running.clean_up()


class Notes:
    """The file to which the chores write their lines. Pass `notes.path` to a chore. `notes()` returns the lines."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __call__(self) -> list[str]:
        path = Path(self.path)
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")
