"""A tree of processes ends as a whole, no matter which process started which, and in which session."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from requests_app.work import processes
from requests_app.work.processes import Child, kill_tree, tree
from requests_app.work.undertaker import Undertaker
from tests.tasks.conftest import wait_for

# Ignores SIGTERM, starts one child in its own session and one that has left it, and prints a word when all are running.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
subprocess.Popen(sleeper)
subprocess.Popen(sleeper, start_new_session=True)
print("three", flush=True)
time.sleep(60)
"""


@pytest.fixture
def child(capfd: pytest.CaptureFixture[str]) -> Iterator[Child]:
    made = Child("stubborn", [sys.executable, "-c", STUBBORN], env=dict(os.environ), cwd=settings.BASE_DIR)
    # Counting is not enough: the last process counts before it has left the session.
    wait_for(lambda: "three" in capfd.readouterr().out, within=10)
    assert len(tree(made.pid)) == 3
    yield made
    made.kill()


def test_a_tree_is_the_session_and_every_descendant(child: Child) -> None:
    assert child.pid in tree(child.pid)
    assert os.getpid() not in tree(child.pid)
    assert os.getsid(child.pid) == child.pid


def test_to_ask_reaches_the_main_process_alone_and_to_kill_reaches_all(child: Child) -> None:
    members = tree(child.pid)
    child.ask_to_stop()
    time.sleep(0.3)
    assert tree(child.pid) == members
    child.kill()
    assert not child.is_running
    # A killed process loses its program before it ends.
    wait_for(lambda: tree(child.pid) == [], within=5)


def test_remaining_processes_after_the_main_one_are_found_too(child: Child) -> None:
    child.process.kill()
    child.process.wait(timeout=120)
    assert len(tree(child.pid)) == 1, "the one that left the session has no parent any more"
    child.kill()
    assert tree(child.pid) == []


def test_output_is_passed_on_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    script = "import sys; print('one'); print('two', file=sys.stderr); sys.stdout.buffer.write(b'\\xff rest')"
    made = Child("web", [sys.executable, "-u", "-c", script], env=dict(os.environ), cwd=settings.BASE_DIR)
    made.process.wait(timeout=120)
    made.pump.join(timeout=120)
    assert capsys.readouterr().out.splitlines() == ["web       | one", "web       | two", "web       | � rest"]
    made.kill()


def test_a_reader_who_went_away_does_not_stop_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> None:
            raise BrokenPipeError

        flush = write

    monkeypatch.setattr(processes.sys, "stdout", Gone())
    script = "import sys\nfor number in range(20000): print('x' * 80)\nsys.exit(5)"
    made = Child("web", [sys.executable, "-c", script], env=dict(os.environ), cwd=settings.BASE_DIR)
    assert made.process.wait(timeout=120) == 5
    made.kill()


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)


def _ignores(pid: int, number: int) -> bool:
    (mask,) = re.findall(r"^SigIgn:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_the_undertaker_ends_what_was_not_taken_back() -> None:
    ours, forgotten, taken_back = sleeper(), sleeper(), sleeper()
    undertaker = Undertaker(settings.BASE_DIR)
    for process in (ours, forgotten, taken_back):
        undertaker.watch_over(process.pid)
    undertaker.forget(taken_back.pid)
    wait_for(lambda: _ignores(undertaker._process.pid, signal.SIGTERM), within=10)
    os.kill(undertaker._process.pid, signal.SIGTERM)  # it ignores the signal, because its task has just begun
    undertaker.dismiss()
    assert (ours.wait(timeout=120), forgotten.wait(timeout=120)) == (-signal.SIGKILL, -signal.SIGKILL)
    assert taken_back.poll() is None
    kill_tree(taken_back.pid)
    taken_back.wait(timeout=120)


def test_a_stopped_undertaker_is_still_dismissed() -> None:
    undertaker = Undertaker(settings.BASE_DIR)
    os.kill(undertaker._process.pid, signal.SIGSTOP)
    undertaker.dismiss()
    assert undertaker._process.wait(timeout=120) == -signal.SIGKILL


def test_a_second_undertaker_knows_what_the_first_one_knew() -> None:
    before, after = sleeper(), sleeper()
    undertaker = Undertaker(settings.BASE_DIR)
    undertaker.watch_over(before.pid)
    undertaker._process.kill()
    undertaker._process.wait(timeout=120)
    undertaker.watch_over(after.pid)
    undertaker.keep()
    undertaker.dismiss()
    assert (before.wait(timeout=120), after.wait(timeout=120)) == (-signal.SIGKILL, -signal.SIGKILL)
