"""A process of the web server that no longer works is killed and replaced. A process that works is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockbox_site.serving.pool import Pool
from requests_app.domain import clock
from requests_app.work import notify, signs
from requests_app.work.processes import is_stopped
from requests_app.work.signs import Signs
from tests.ports import free_port
from tests.stopwatch import in_time
from tests.tasks.conftest import Running, Start, runs, wait_for

STALLED = 45.0


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the monotonic clock by a list with its value, which the test changes: `now[0] += 1`."""
    now = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def heard(now: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Signs]:
    made = Signs()
    monkeypatch.setenv(signs.VARIABLE, made.address)
    yield made
    made.close()


def send(heard: Signs, words: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain:
        plain.sendto(words.encode(), heard.address)


def after(heard: Signs, now: list[float], seconds: int, *words: str) -> list[int]:
    """Move the clock by `seconds`. Each second, send these datagrams, and listen twice.

    Return the silent processes at the end.
    """
    for _ in range(seconds):
        for each in words:
            send(heard, each)
        for _ in range(2):
            now[0] += 0.5
            heard.listen()
    return heard.silent(stalled_after=STALLED)


def test_a_process_that_says_nothing_for_five_seconds_is_silent(heard: Signs, now: list[float]) -> None:
    assert after(heard, now, 10, "7 0.0", "8 0.0") == []
    assert after(heard, now, 4, "7 0.0") == []
    assert after(heard, now, 2, "7 0.0") == [8]
    heard.forget(8)
    assert after(heard, now, 10, "7 0.0") == []


def test_a_process_that_has_not_begun_to_speak_is_not_watched(heard: Signs, now: list[float]) -> None:
    assert after(heard, now, 60) == []


def test_nobody_is_silent_where_the_supervisor_was_away(heard: Signs, now: list[float]) -> None:
    """For example, a laptop was asleep, or a virtual machine was paused."""
    after(heard, now, 3, "7 0.0")
    now[0] += 3600
    assert heard.listen() == 3600
    assert heard.silent(stalled_after=STALLED) == []
    assert after(heard, now, 4) == []
    assert after(heard, now, 2) == [7]


def test_threads_that_finish_nothing_count_after_the_longest_work(heard: Signs, now: list[float]) -> None:
    assert after(heard, now, 3, f"7 {STALLED - 1}") == []
    assert after(heard, now, 3, f"7 {STALLED + 1}") == [7]


@pytest.mark.parametrize("nonsense", ["", "x", "7", "7 x", "7 1 2", "\udcff".encode("utf8", "surrogateescape")])
def test_nonsense_is_passed_over(heard: Signs, now: list[float], nonsense: str | bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain:
        plain.sendto(nonsense if isinstance(nonsense, bytes) else nonsense.encode(), heard.address)
    heard.listen()
    assert heard.known() == set()


def test_signs_of_ended_processes_are_forgotten_though_unread(heard: Signs) -> None:
    send(heard, "7 0.0")
    heard.listen()
    send(heard, "8 0.0")
    heard.forget_all()
    heard.listen()
    assert heard.known() == set()


def test_the_socket_is_this_accounts_own_and_goes_with_it(heard: Signs) -> None:
    place = Path(heard.address).parent
    assert place.stat().st_mode & 0o777 == 0o700
    heard.close()
    assert not place.exists()


def test_without_a_place_for_the_socket_nobody_is_watched(
    tmp_path: Path, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk has no room for a temporary directory, and a socket's name can have only about 100 characters."""
    for place in (tmp_path / "none", tmp_path / ("a" * 120)):
        if place.name != "none":
            place.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        made = Signs()
        assert (made.address, bool(made.trouble)) == ("", True)
        now[0] += 60.0
        made.listen()
        assert (made.known(), made.silent(stalled_after=STALLED)) == (set(), [])
        made.close()
        if place.exists():
            assert list(place.iterdir()) == []


@pytest.mark.real_clock
def test_an_event_loop_gives_a_sign_each_second_and_says_how_long_its_threads_stall(
    heard: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "EVERY_SECONDS", 0.01)

    async def run() -> None:
        signs.keep_giving(asyncio.get_running_loop(), lambda: 3.25)
        await asyncio.sleep(0.2)

    asyncio.run(run())
    heard.listen()
    assert heard.known() == {os.getpid()}
    assert heard.silent(stalled_after=3.0) == [os.getpid()]


@pytest.mark.real_clock
def test_threads_stall_only_where_all_are_at_work_and_none_ends() -> None:
    release = [threading.Event() for _ in range(3)]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        pool = Pool("test", threads=2)
        jobs = [pool.submit(release[0].wait, loop)]
        await asyncio.sleep(0.1)
        assert pool.stalled_for == 0
        jobs += [pool.submit(each.wait, loop) for each in release[1:]]
        await asyncio.sleep(0.2)
        assert 0.1 < pool.stalled_for < 5
        release[0].set()
        await jobs[0].future
        await asyncio.sleep(0.05)
        assert pool.stalled_for < 0.15, "one has ended, though the next has taken its place"
        for each, job in zip(release[1:], jobs[1:], strict=True):
            each.set()
            await job.future
        await asyncio.sleep(0.05)
        assert pool.stalled_for == 0

    asyncio.run(run())


def test_a_sender_without_a_listener_continues(heard: Signs) -> None:
    heard.close()
    signs.send(heard.address, 0.0)


@pytest.mark.real_clock
def test_a_process_without_a_free_descriptor_gives_signs(heard: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients may use up all descriptors. If the process were killed for that, all its requests would end."""
    monkeypatch.setattr(signs, "EVERY_SECONDS", 0.01)

    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def run() -> None:
        signs.keep_giving(asyncio.get_running_loop(), lambda: 0.0)
        await asyncio.sleep(0.05)
        heard.listen()
        heard.forget(os.getpid())
        with monkeypatch.context() as full:
            full.setattr(signs.socket, "socket", none_left)
            await asyncio.sleep(0.2)
        heard.listen()

    asyncio.run(run())
    assert heard.known() == {os.getpid()}


def test_systemd_is_notified_if_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.tell("WATCHDOG=1")
    for place, name in (
        (str(tmp_path / "n"), str(tmp_path / "n")),
        (f"\0lockbox-{os.getpid()}", f"@lockbox-{os.getpid()}"),
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain:
            plain.bind(place)
            monkeypatch.setenv("NOTIFY_SOCKET", name)
            notify.tell("WATCHDOG=1")
            assert plain.recv(100) == b"WATCHDOG=1"
    notify.tell("WATCHDOG=1")


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_a_stopped_process_is_seen() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert not is_stopped(child.pid)
        child.send_signal(signal.SIGSTOP)
        wait_for(lambda: is_stopped(child.pid), within=2)
    finally:
        child.kill()
        child.wait()
    assert not is_stopped(child.pid)


# --- The real web server ---------------------------------------------------------------------------------


class Site:
    def __init__(self, port: int, running: Running) -> None:
        self.port, self.running = port, running

    @property
    def main(self) -> int:
        """Return the id of the web server's main process, or 0 if it does not run."""
        for pid in self.running.family():
            with contextlib.suppress(OSError):
                if runs(pid, "granian") and os.getsid(pid) == pid:
                    return pid
        return 0

    @property
    def workers(self) -> set[int]:
        main = self.main
        return {pid for pid in self.running.family() if parent_of(pid) == main}

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def answers_always(self, times: int = 20) -> bool:
        return all(self.answers() for _ in range(times))


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.fixture
def site(start: Start) -> Iterator[Site]:
    port = free_port()
    running = start("lockbox", "--no-beat", "--clusters", "0", PORT=str(port), BASE_URL=f"http://127.0.0.1:{port}")
    running.until("Ready:")
    site = Site(port, running)
    wait_for(lambda: len(site.workers) == 2, within=20)
    # By now, each worker has given a sign and is watched.
    time.sleep(3)
    yield site
    running.stop()
    assert running.orphans() == []


def replaced(site: Site, frozen: set[int]) -> bool:
    return not site.workers & frozen and len(site.workers) == 2


REAL = [
    pytest.mark.deep,
    pytest.mark.real_clock,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]


def real(test):
    for mark in REAL:
        test = mark(test)
    return test


@real
@pytest.mark.timed
@pytest.mark.parametrize("count", [1, 2])
def test_processes_that_are_stopped_are_killed_and_replaced(site: Site, count: int) -> None:
    frozen, main = set(sorted(site.workers)[:count]), site.main
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: site.running.log.count("is killed and replaced") == count, within=9)
    in_time(time.monotonic() - began > 4, "one that is slow for a moment is left alone")
    wait_for(lambda: replaced(site, frozen), within=20)
    wait_for(site.answers_always, within=15)
    assert site.main == main, "the main process has replaced them"


@real
@pytest.mark.parametrize("with_workers", [False, True])
def test_a_web_server_whose_main_process_is_stopped_is_started_again(site: Site, with_workers: bool) -> None:
    frozen, main = site.workers, site.main
    for pid in ([*frozen] if with_workers else []) + [main]:
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: "does not replace its processes" in site.running.log, within=12)
    wait_for(lambda: site.main != main and replaced(site, frozen), within=25)
    wait_for(site.answers_always, within=15)


@real
def test_a_supervisor_that_was_stopped_kills_no_process_when_it_continues(site: Site) -> None:
    workers, main = site.workers, site.main
    family = [site.running.pid, main, *workers]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(8)
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    time.sleep(7)
    assert (site.main, site.workers) == (main, workers)
    assert "killed" not in site.running.log
    assert site.answers_always()
