"""The guard refuses when Lockbox ended a grant, and when it can't know whether it did."""

from __future__ import annotations

import time

import pytest

from lockbox_guard import Guard, Refused, feed
from tests.guard.conftest import NewGuard, until
from tests.guard.fake import FakeLockbox, stamp
from tests.guard.test_tokens import asked, code_of

GRANT = FakeLockbox.grant


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    plain = time.clock_gettime
    monkeypatch.setattr(feed, "clock", lambda: plain(feed._CLOCK) + seconds)


def test_nothing_is_allowed_before_the_first_state(new_guard: NewGuard, lockbox: FakeLockbox) -> None:
    lockbox.is_feed_cut = True
    assert code_of(new_guard(), lockbox.token()) == "feed_silent"


def test_an_event_before_the_state_does_not_count(new_guard: NewGuard, lockbox: FakeLockbox) -> None:
    lockbox.has_no_state = True
    guard = new_guard()
    assert not guard.feed.ready.wait(2 * lockbox.sign_every)
    assert lockbox.streams
    assert code_of(guard, lockbox.token()) == "feed_silent"


def test_an_ended_grant_is_refused_within_a_second(guard: Guard, lockbox: FakeLockbox) -> None:
    token = lockbox.token()
    assert code_of(guard, token) == "allowed"
    lockbox.close(GRANT)
    until(lambda: code_of(guard, token) == "window_closed", 1)


def test_a_grant_that_ended_before_the_guard_began_is_refused(new_guard: NewGuard, lockbox: FakeLockbox) -> None:
    lockbox.close(GRANT)
    guard = new_guard()
    guard.wait_for_feed()
    assert code_of(guard, lockbox.token()) == "window_closed"


def test_after_fifteen_seconds_without_a_sign_nothing_is_allowed(
    guard: Guard, lockbox: FakeLockbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = lockbox.token()
    lockbox.cut_feed()
    until(lambda: not lockbox.streams)
    pass_time(monkeypatch, 14)
    assert code_of(guard, token) == "allowed"
    pass_time(monkeypatch, 15)
    assert code_of(guard, token) == "feed_silent"


def test_the_guard_comes_back_when_the_feed_does(guard: Guard, lockbox: FakeLockbox) -> None:
    lockbox.cut_feed()
    until(lambda: not lockbox.streams)
    lockbox.closed.append({"grant_id": GRANT, "closed_at": stamp(lockbox.now()), "reason": "revoked"})
    lockbox.is_feed_cut = False
    until(lambda: code_of(guard, lockbox.token()) == "window_closed")
    assert lockbox.last_ids[-1] in lockbox.sent_ids


@pytest.mark.parametrize("ahead", [3600, -3600], ids=["an hour behind", "an hour ahead"])
def test_a_wrong_clock_of_this_machine_changes_nothing(new_guard: NewGuard, lockbox: FakeLockbox, ahead: float) -> None:
    lockbox.ahead = ahead
    guard = new_guard()
    guard.wait_for_feed()
    assert code_of(guard, lockbox.token()) == "allowed"
    assert code_of(guard, lockbox.token(iat=int(lockbox.now()) - 310, exp=int(lockbox.now()) - 10)) == "token_ended"
    assert code_of(guard, lockbox.token(window_end=lockbox.now() - 1, exp=int(lockbox.now()) + 99)) == "window_ended"


def test_a_clock_that_is_set_while_the_guard_runs_changes_nothing(
    guard: Guard, lockbox: FakeLockbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, wall = lockbox.token(), time.time()
    lockbox.now = lambda: wall  # type: ignore[method-assign]
    monkeypatch.setattr(time, "time", lambda: wall + 3600)
    assert code_of(guard, token) == "allowed"


def test_delayed_signs_do_not_count(guard: Guard, lockbox: FakeLockbox) -> None:
    """Otherwise a proxy that collects the feed would keep an ended grant alive."""
    connections = len(lockbox.last_ids)
    lockbox.send("sign", at=stamp(lockbox.now() - 20))
    until(lambda: len(lockbox.last_ids) > connections)
    assert code_of(guard, lockbox.token()) == "allowed"


def test_the_time_is_that_of_the_least_delayed_sign(guard: Guard, lockbox: FakeLockbox) -> None:
    lockbox.sign_every = 60
    before = guard.feed.now()
    lockbox.send("sign", at=stamp(lockbox.now() - 9))
    time.sleep(0.1)
    assert guard.feed.now() >= before


def test_a_slow_first_answer_makes_the_guard_early_never_late(new_guard: NewGuard, lockbox: FakeLockbox) -> None:
    lockbox.before_feed = lambda: time.sleep(0.5)
    guard = new_guard()
    guard.wait_for_feed()
    assert guard.feed.now() >= lockbox.now()


def test_a_refused_access_token_is_replaced(guard: Guard, lockbox: FakeLockbox) -> None:
    lockbox.bearer = "another"
    lockbox.cut_feed()
    until(lambda: not lockbox.streams)
    lockbox.is_feed_cut = False
    until(lambda: lockbox.streams)


def test_a_closed_guard_allows_nothing(guard: Guard, lockbox: FakeLockbox) -> None:
    guard.close()
    with pytest.raises(Refused, match="feed_silent"):
        guard.decide(lockbox.token(), **asked())
