"""Collects all failures of a loop over cheap cases, so that the first failure does not hide the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
Case = Callable[..., AbstractContextManager[None]]


def _place_of(error: BaseException) -> str:
    """Return the line of the test that failed: its file, its number and its text."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if TESTS in Path(each.filename).parents]
    return f"at {frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}"


@contextmanager
def collected() -> Iterator[Case]:
    """Collect the failures of a loop's cases, and fail at the end with all of them.

    Write `with collected() as case: …`, and inside the loop `with case(name): assert …`. A loop without a case fails
    too. All cases use the same data, so a case must only read, or must be refused and change nothing.
    """
    names: list[str] = []
    offenders: list[str] = []

    @contextmanager
    def case(*about: object) -> Iterator[None]:
        name = ", ".join(f"{each}"[:200] if isinstance(each, str) else f"{each!r}"[:200] for each in about)
        names.append(name)
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:
            offenders.append(f"{name}: {type(error).__name__}: {error}\n{_place_of(error)}")

    yield case
    if not names:
        pytest.fail("The loop had no case.")
    if offenders:
        pytest.fail(f"{len(offenders)} of {len(names)} cases failed:\n\n" + "\n\n".join(offenders))
