"""Checks how long something takes.

Only tests with such checks are repeated, because a busy machine is sometimes late.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator

import pytest
from _pytest.runner import runtestprotocol


class WrongTime(AssertionError):
    """Something took too long, or not long enough.

    A test marked `timed` is repeated after this error, so raise it for nothing else.
    """


def in_time(is_so: bool, found: object = "") -> None:
    """Raise WrongTime if a condition that depends on the machine's speed is false. The message shows `found`."""
    if not is_so:
        raise WrongTime(found)


@contextlib.contextmanager
def takes(*, least: float = 0.0, most: float) -> Iterator[None]:
    """Raise WrongTime unless the block takes between `least` and `most` seconds."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    in_time(least <= seconds < most, f"{seconds:.2f} s are not between {least} s and {most} s")


#: How often a `timed` test is tried. A busy machine is sometimes late, but a product that is too slow is late each
#: time.
TRIES = 3
#: The errors in the current try of such a test.
_FAILURES = pytest.StashKey[list[type[BaseException]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store the error with which a test marked `timed` fails."""
    report = yield
    if report.failed and call.excinfo is not None and _FAILURES in item.stash:
        item.stash[_FAILURES].append(call.excinfo.type)
    return report


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test marked `timed` again if it fails with WrongTime.

    It fails if the time is wrong in every try, and immediately on any other error.
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
