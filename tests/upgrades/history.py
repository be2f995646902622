"""What the tests need of the repository's history."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from bench.previous_release import NotHere

Result = TypeVar("Result")


def here(ask: Callable[[], Result]) -> Result:
    """Return the answer. If the history is not in this copy, the test fails with one line that says how to get it."""
    try:
        return ask()
    except NotHere as missing:
        pytest.fail(str(missing), pytrace=False)
