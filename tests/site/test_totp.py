"""The codes of authenticator apps, compared with the examples of the standard."""

from __future__ import annotations

import base64
import datetime as dt

import pytest

from lockbox_site.demo.browser import SENT_WITHIN, App
from requests_app.platform import totp
from tests.conftest import Traveller

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    """RFC 6238, appendix B: the rows for SHA-1, with the last six digits of each code."""
    at = dt.datetime.fromtimestamp(seconds, dt.UTC)
    assert totp.code(SECRET, totp.step_at(at)) == code
    assert totp.step_of(SECRET, f" {code[:3]} {code[3:]}", at=at) == seconds // 30


def test_the_code_before_and_after_count_and_none_further_off() -> None:
    at = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
    now = totp.step_at(at)
    found = [totp.step_of(SECRET, totp.code(SECRET, now + off), at=at) for off in (-2, -1, 0, 1, 2)]
    assert found == [None, now - 1, now, now + 1, None]


def test_a_code_counts_once_and_none_before_it_counts_any_more() -> None:
    at = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
    now = totp.step_at(at)
    assert totp.step_of(SECRET, totp.code(SECRET, now), at=at, after=now) is None
    assert totp.step_of(SECRET, totp.code(SECRET, now - 1), at=at, after=now) is None
    assert totp.step_of(SECRET, totp.code(SECRET, now + 1), at=at, after=now) == now + 1


def test_secrets_are_long_and_never_the_same() -> None:
    made = {totp.new_secret() for _ in range(50)}
    assert len(made) == 50
    assert {len(base64.b32decode(secret)) for secret in made} == {20}


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "１２３４５６"])
def test_a_malformed_code_is_wrong(typed: str) -> None:
    at = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
    assert totp.step_of(SECRET, typed, at=at) is None


@pytest.mark.parametrize("second", [0, 19, 20, 21, 29])
def test_the_demos_app_gives_two_codes_in_a_row_that_still_count_when_they_arrive(
    second: int, travel: Traveller
) -> None:
    at = travel.to(dt.datetime.fromtimestamp(1_800_000_000 + second, dt.UTC))
    app, after = App(SECRET), -1
    for typed in (app(), app()):
        now, last = (totp.step_of(SECRET, typed, at=at + late, after=after) for late in (dt.timedelta(), SENT_WITHIN))
        assert now == last
        assert now is not None
        after = now


def test_the_next_code_comes_at_the_next_half_minute() -> None:
    at = dt.datetime(2026, 3, 1, 12, 0, 30, tzinfo=dt.UTC)
    step = totp.step_at(at)
    waits = [(0, 30), (0.001, 30), (1, 29), (29, 1), (29.999, 1), (30, 0)]
    assert [totp.seconds_to_next(step, at=at + dt.timedelta(seconds=later)) for later, _wait in waits] == [
        wait for _later, wait in waits
    ]
    # If the telephone's clock is fast, the code of the next half minute may be the one that was used.
    assert totp.seconds_to_next(step + 1, at=at) == 30
    assert totp.seconds_to_next(step - 1, at=at) == 0
