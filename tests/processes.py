"""Runs the tests in several processes: `pytest --processes 3`.

This process imports and collects all tests, and then forks the others. So they begin at once, and share the memory of
what is imported. When a process has finished a test, it takes the next one. So all end at nearly the same time.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import cached_property
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.junitxml import xml_key
from _pytest.unraisableexception import collect_unraisable
from django.conf import settings

from tests import settings as of_tests

FORK = get_context("fork")
#: Seconds that a process has for its end, after it was asked to end.
PATIENCE = 10
PR_SET_PDEATHSIG = 1
#: From madvise(2). Smaller areas of memory have no room for huge pages of 2 MiB.
MADV_HUGEPAGE, MADV_COLLAPSE, HUGE_AREA = 14, 25, 4 * 1024 * 1024


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processes", type=int, default=1, metavar="N", help="run the tests in N processes")


def are_several(config: pytest.Config) -> bool:
    return int(config.getoption("processes")) > 1 and not config.getoption("collectonly")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in several processes. With one process, or after an error, pytest's loop does the rest."""
    if not are_several(session.config) or session.testsfailed or not session.items:
        return None
    _Run(session).to_the_end()
    return True


#: Tests that mostly wait: for programs, servers, locks and time limits.
WAITING = (
    "tests/tasks/", "tests/docs/test_commands.py", "tests/docs/test_postgresql.py", "tests/database/",
    "tests/concurrency/", "tests/site/", "tests/clients/", "tests/guard/",
    "tests/proxies/",
)  # fmt: skip


def is_waiting(nodeid: str) -> bool:
    return nodeid.startswith(WAITING)


class _Coming:
    """The next test of a process, which is chosen only when the test before it is taken down.

    pytest asks for the next test to learn which fixtures must stay. If a process chose it earlier, a test could wait
    behind a long one while another process has nothing to do.
    """

    def __init__(self, choose: Callable[[], pytest.Item | None]) -> None:
        self._choose = choose

    @cached_property
    def item(self) -> pytest.Item | None:
        return self._choose()

    def listchain(self) -> list[Any]:
        return self.item.listchain() if self.item else []


class _Sender:
    """Sends what happens in a process to the process that reports it.

    That a test begins is sent at once, because the process can die in it. The rest is sent when the test has ended,
    because each message wakes the other process.
    """

    def __init__(self, config: pytest.Config, reports: Connection) -> None:
        self._config, self._reports = config, reports
        self._messages: list[tuple[Any, ...]] = []

    def send(self, *message: Any) -> None:
        self._reports.send([*self._messages, message])
        self._messages.clear()

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.send("logstart", nodeid, location)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._messages.append(("logreport", data))

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self.send("logfinish", nodeid, location)

    def pytest_warning_recorded(self, warning_message: Any, when: Any, nodeid: str, location: Any) -> None:
        self.send("warning", str(warning_message), nodeid)


class _Queue:
    """The numbers of tests, in a pipe that all processes read from.

    A process that is killed leaves nothing locked, as it could with a number in shared memory.
    """

    def __init__(self, numbers: list[int]) -> None:
        self._reading, writing = os.pipe()
        waiting = struct.pack(f"{len(numbers)}I", *numbers)
        os.set_blocking(writing, False)
        if waiting and os.write(writing, waiting) < len(waiting):
            raise RuntimeError(f"There are too many tests for one pipe: {len(numbers)}.")
        os.close(writing)

    def next(self) -> int | None:
        """Take the next number. Return None if the pipe is empty."""
        taken = os.read(self._reading, struct.calcsize("I"))
        return struct.unpack("I", taken)[0] if taken else None


class _Run:
    """The run of all collected tests. This process only reports."""

    def __init__(self, session: pytest.Session) -> None:
        self._session, self._config = session, session.config
        waiting = [number for number, item in enumerate(session.items) if is_waiting(item.nodeid)]
        others = [number for number, item in enumerate(session.items) if not is_waiting(item.nodeid)]
        self._queues = [_Queue(waiting), _Queue(others)]
        #: By the connection of each process: the process, and the test that it runs now.
        self._processes: dict[Connection, Any] = {}
        self._running: dict[Connection, tuple[str, Any]] = {}
        self._finished = 0

    def to_the_end(self) -> None:
        base = self._config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # pytest's own
        try:
            for number in range(self._config.getoption("processes")):
                reports, sending = FORK.Pipe(duplex=False)
                process = FORK.Process(target=self._work, args=(number, sending, base / f"gw{number}"))
                process.start()
                sending.close()
                self._processes[reports] = process
            while self._processes:
                ready = wait(list(self._processes), timeout=1)
                for connection, process in list(self._processes.items()):
                    # Programs of a killed process can keep its end of the connection open.
                    if connection in ready or (not process.is_alive() and connection.poll()):
                        self._receive(connection)
                    elif not process.is_alive():
                        self._lost(connection)
        finally:
            self._end_all()
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)
        if self._finished < len(self._session.items):
            raise RuntimeError(f"{len(self._session.items) - self._finished} tests have not run.")

    # --- In this process ---------------------------------------------------------------------------------

    def _receive(self, reports: Connection) -> None:
        try:
            messages = reports.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            # A killed process has closed the connection, perhaps inside a message.
            self._lost(reports)
            return
        for kind, *facts in messages:
            self._take(reports, kind, facts)
        if self._session.shouldfail or self._session.shouldstop:
            for queue in self._queues:
                while queue.next() is not None:
                    pass

    def _take(self, reports: Connection, kind: str, facts: list[Any]) -> None:
        hook = self._config.hook
        if kind == "logstart":
            self._running[reports] = (facts[0], facts[1])
            hook.pytest_runtest_logstart(nodeid=facts[0], location=facts[1])
        elif kind == "logreport":
            report = hook.pytest_report_from_serializable(config=self._config, data=facts[0])
            hook.pytest_runtest_logreport(report=report)
        elif kind == "logfinish":
            del self._running[reports]
            self._finished += 1
            hook.pytest_runtest_logfinish(nodeid=facts[0], location=facts[1])
        elif kind == "warning":
            sys.stderr.write(f"{facts[1]}: {facts[0]}\n")
        elif kind == "exit":
            pytest.exit(facts[0], facts[1])
        elif kind == "error":
            raise RuntimeError(facts[0])
        else:
            self._ended(self._processes.pop(reports))

    def _lost(self, reports: Connection) -> None:
        """Report the test whose process has died. The other processes continue."""
        process = self._processes.pop(reports)
        process.join(PATIENCE)
        nodeid, location = self._running.pop(reports, (process.name, ("tests", None, process.name)))
        self._fail(nodeid, location, f"The process that ran this test ended with status {process.exitcode}.")
        self._finished += 1

    def _ended(self, process: Any) -> None:
        """Wait for a process that has no test left. A thread that does not end must not delay the run for ever."""
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
        if process.exitcode:
            words = f"This process had run all of its tests, and ended with status {process.exitcode}."
            self._fail(process.name, ("tests", None, process.name), words)

    def _fail(self, nodeid: str, location: Any, words: str) -> None:
        report = pytest.TestReport(nodeid, location, {}, "failed", words, "call")
        self._config.hook.pytest_runtest_logreport(report=report)

    def _end_all(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()

    # --- In each of the other processes ------------------------------------------------------------------

    def _work(self, number: int, reports: Connection, temporary: Path) -> None:
        _end_with_parent()
        self._be_another_process(number, temporary)
        sender = _Sender(self._config, reports)
        self._config.pluginmanager.register(sender)
        try:
            # The first process begins with the tests that wait. Meanwhile the others use the processors.
            queues = self._queues if number == 0 else self._queues[::-1]
            item = self._chosen(queues)
            while item is not None:
                coming = _Coming(lambda: self._chosen(queues))
                self._config.hook.pytest_runtest_protocol(item=item, nextitem=coming)
                item = coming.item
            # As at the end of pytest: an error in an object that is deleted only now must be seen.
            gc.collect()
            collect_unraisable(self._config)
            sender.send("done")
        except pytest.exit.Exception as wish:
            sender.send("exit", wish.msg, wish.returncode)
        except KeyboardInterrupt:
            os._exit(signal.SIGINT)
        except BaseException:
            sender.send("error", traceback.format_exc())
        reports.close()

    def _chosen(self, queues: list[_Queue]) -> pytest.Item | None:
        number = next((found for queue in queues if (found := queue.next()) is not None), None)
        return None if number is None else self._session.items[number]

    def _be_another_process(self, number: int, temporary: Path) -> None:
        """Give this process what it must not share with the others: output, directories and a database."""
        config = self._config
        config.workerinput = {"workerid": f"gw{number}"}  # type: ignore[attr-defined]  # read by pytest-django
        _capture_into_other_files(config.pluginmanager.getplugin("capturemanager"))
        terminal: Any = config.pluginmanager.unregister(name="terminalreporter")
        terminal._tw._file = open(os.devnull, "w")  # noqa: SIM115 - until the end of the process
        # Only pytest-timeout asks for it.
        config.pluginmanager.register(SimpleNamespace(_tw=terminal._tw), "terminalreporter")
        if (xml := config.stash.get(xml_key, None)) is not None:
            config.pluginmanager.unregister(xml)
        temporary.mkdir()
        config._tmp_path_factory._basetemp = temporary  # type: ignore[attr-defined]  # pytest's own
        _move_data(of_tests._scratch, of_tests._scratch / f"gw{number}")
        use_huge_pages()


def _move_data(before: Path, after: Path) -> None:
    """Use another data directory, in the settings and for programs that tests start."""
    after.mkdir()
    (after / "static").mkdir()
    for name in dir(settings):
        value = getattr(settings, name) if name.isupper() else None
        if isinstance(value, Path) and value.is_relative_to(before):
            setattr(settings, name, after / value.relative_to(before))
    for name in ("DATA_DIR", "CONTENT_ROOT"):
        os.environ[name] = str(getattr(settings, name))
    database = settings.DATABASES["default"]
    for place in (database, database.get("TEST", {})):
        if str(place.get("NAME", "")).startswith(str(before)):
            place["NAME"] = str(after / Path(place["NAME"]).relative_to(before))


def _capture_into_other_files(manager: Any) -> None:
    """Make pytest capture the output of this process in new files.

    The stream objects stay the same, because loggers have them.
    """
    manager.read_global_capture()
    for capture in (manager._global_capturing.out, manager._global_capturing.err):
        if not hasattr(capture, "targetfd"):
            continue
        with tempfile.TemporaryFile(buffering=0) as other:
            os.dup2(other.fileno(), capture.tmpfile.fileno())
            if capture._state == "started":
                os.dup2(other.fileno(), capture.targetfd)


def use_huge_pages() -> None:
    """Ask Linux to keep the memory that this process has now in huge pages.

    All tests read this memory again and again. With small pages, a twentieth of the processor's time is spent on
    finding them. Where the kernel can't do it, nothing changes.
    """
    if sys.platform != "linux":
        return
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, access, _offset, _device, inode, *name = line.split()
        begin, end = (int(address, 16) for address in place.split("-"))
        if access == "rw-p" and inode == "0" and name in ([], ["[heap]"]) and end - begin >= HUGE_AREA:
            for advice in (MADV_HUGEPAGE, MADV_COLLAPSE):
                madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), advice)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
