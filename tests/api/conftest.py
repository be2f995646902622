"""Each test of the API begins with a caller and with unused quotas."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from requests_app.doors.api import quota
from tests.caller import Caller, caller_for
from tests.cast import Cast


@pytest.fixture
def calling(cast: Cast) -> Callable[..., Caller]:
    """Return a function that makes callers: `calling("ada", Scope.REQUESTS_READ)` is a person, `calling("contoso")` and
    `calling(None)` are clients.
    """
    return partial(caller_for, cast)


@pytest.fixture(autouse=True)
def _quotas_are_full() -> None:
    quota.CALLS.clear()
