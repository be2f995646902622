"""Judges how long things take. Only these judgements are tried again, because a busy machine is late sometimes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator

import pytest
from _pytest.runner import runtestprotocol


class WrongTime(AssertionError):
    """Raised if something took too long, or not long enough. Raise it for nothing else: `timed` tests are tried again
    after it.
    """


def in_time(is_so: bool, found: object = "") -> None:
    """Assert something that depends on the speed of the machine; `found` is shown if it is not so."""
    if not is_so:
        raise WrongTime(found)


@contextlib.contextmanager
def takes(*, least: float = 0.0, most: float) -> Iterator[None]:
    """Assert how many seconds the block takes."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    in_time(least <= seconds < most, f"{seconds:.2f} s are not between {least} s and {most} s")


#: How often a test of a time limit is tried. A busy machine is late now and then; a product that is late always is.
TRIES = 3
#: What the present try of such a test has failed with.
_FAILURES = pytest.StashKey[list[type[BaseException]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what a `timed` test fails with."""
    report = yield
    if report.failed and call.excinfo is not None and _FAILURES in item.stash:
        item.stash[_FAILURES].append(call.excinfo.type)
    return report


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Fail a test that measures time only if the time is wrong each time that it is tried. Any other failure counts
    immediately.
    """
    if item.get_closest_marker("timed") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for number in range(1, TRIES + 1):
        failures: list[type[BaseException]] = []
        item.stash[_FAILURES] = failures
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if number == TRIES or not failures or not all(issubclass(each, WrongTime) for each in failures):
            break
    for report in reports:
        if number > 1:
            report.user_properties.append(("tries", number))
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
