"""How many calls a caller can make."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from requests_app.domain import clock
from requests_app.doors.api.quota import Quota
from tests.caller import Caller
from tests.cast import Cast


@pytest.mark.django_db
def test_each_answer_says_what_is_left_and_the_last_one_is_refused(
    cast: Cast, calling: Callable[..., Caller], settings: Any
) -> None:
    settings.API_CALLS_PER_MINUTE = 2
    ada, alan = calling("ada"), calling("alan")
    answers = [ada.get("me") for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert [each["RateLimit"].partition(";t=")[0] for each in answers] == ['"calls";r=1', '"calls";r=0', '"calls";r=0']
    assert {each["RateLimit-Policy"] for each in answers} == {'"calls";q=2;w=60'}
    assert answers[-1].json()["code"] == "rate_limited"
    assert 1 <= int(answers[-1]["Retry-After"]) <= 61
    assert alan.get("me").status_code == 200


def test_no_two_calls_take_the_last_place() -> None:
    quota, passed = Quota("test"), []
    gate = threading.Barrier(20)

    def call() -> None:
        gate.wait(timeout=120)
        for _ in range(50):
            if not quota.take("ada", 100).is_over:
                passed.append(1)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert len(passed) == 100


def test_after_a_minute_all_are_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    quota, now = Quota("test"), [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    assert [quota.take("ada", 1).is_over for _ in range(2)] == [False, True]
    now[0] += 59.9
    assert quota.take("ada", 1).is_over
    now[0] += 0.1
    assert not quota.take("ada", 1).is_over
