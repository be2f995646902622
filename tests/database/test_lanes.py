"""One thread does the work of all callers: those who come meanwhile are served together, and each limit holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import count
from time import sleep
from typing import Any

import pytest

from requests_app.platform import lanes
from requests_app.platform.database import bounds
from requests_app.platform.database.turns import TurnRefused
from requests_app.platform.lanes import GaveUp, Lane, LaneFull

SECONDS = 20


class Piece:
    def __init__(self, name: object, *, size: int = 1, is_gone: bool = False) -> None:
        self.name, self.size, self.is_gone = name, size, is_gone
        self.is_done, self.error = threading.Event(), Exception("none")

    def begin(self) -> bool:
        return not self.is_gone

    def fail(self, error: Exception) -> None:
        self.error = error
        self.is_done.set()


class Work:
    """Records the portions. The first one waits for `go`, so that a test can let others gather."""

    def __init__(self) -> None:
        self.portions: list[list[object]] = []
        self.has_begun, self.go = threading.Event(), threading.Event()

    def __call__(self, pieces: list[Piece]) -> None:
        self.portions.append([piece.name for piece in pieces])
        self.has_begun.set()
        assert self.go.wait(SECONDS)
        for piece in pieces:
            if piece.name == "wrong":
                raise ValueError("wrong")
            piece.is_done.set()


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.go.set()


def _lane(work: Work, **limits: Any) -> Lane[Any]:
    return Lane("test", work, **{"most": 4, "crowd": 6, "patience": SECONDS, **limits})


def _begun(lane: Lane[Any], work: Work) -> Piece:
    """Submit a piece, and return it when the thread works on it."""
    first = Piece("first")
    lane.submit(first)
    assert work.has_begun.wait(SECONDS)
    return first


def test_who_comes_alone_is_served_alone_and_those_who_come_meanwhile_are_served_together(work: Work) -> None:
    lane = _lane(work)
    others = [Piece(n) for n in range(6)]
    first = _begun(lane, work)
    for each in others:
        lane.submit(each)
    work.go.set()
    assert all(each.is_done.wait(SECONDS) for each in (first, *others))
    assert work.portions == [["first"], [0, 1, 2, 3], [4, 5]]


def _served(lane: Lane[Any], pieces: list[Piece]) -> None:
    for each in pieces:
        lane.submit(each)
    assert all(each.is_done.wait(SECONDS) for each in pieces)


@pytest.fixture
def lasting(work: Work, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Make each portion last so long that only GATHERS_FOR limits the wait after it."""
    monkeypatch.setattr(lanes, "monotonic", count(step=SECONDS).__next__)
    return work


def test_those_who_were_served_together_come_again_together(lasting: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a portion would begin with the first one who comes back."""
    monkeypatch.setattr(lanes, "GATHERS_FOR", 100 * SECONDS)
    lane = _lane(lasting, most=8, crowd=8, patience=float("inf"))
    first, again = _begun(lane, lasting), [Piece(f"{n} again") for n in range(5)]
    others = [Piece(n) for n in range(4)]
    for each in others:
        lane.submit(each)
    lasting.go.set()
    assert first.is_done.wait(SECONDS)
    sleep(0.1)
    _served(lane, [Piece("first again")])
    assert all(each.is_done.wait(SECONDS) for each in others)
    for each in again:
        sleep(0.02)
        lane.submit(each)
    assert all(each.is_done.wait(SECONDS) for each in again)
    assert [len(portion) for portion in lasting.portions] == [1, 5, 5]


def test_the_thread_does_not_wait_for_long_for_those_who_do_not_come_again(
    lasting: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who asks alone never waits for a timer."""
    monkeypatch.setattr(lanes, "GATHERS_FOR", 0.0)
    lane = _lane(lasting, most=8, crowd=8, patience=float("inf"))
    _begun(lane, lasting)
    others = [Piece(n) for n in range(4)]
    for each in others:
        lane.submit(each)
    lasting.go.set()
    assert all(each.is_done.wait(SECONDS) for each in others)
    for name in ("last", "alone"):
        _served(lane, [Piece(name)])
    assert lasting.portions == [["first"], [0, 1, 2, 3], ["last"], ["alone"]]


def test_those_who_are_late_together_are_served_together(lasting: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, nobody may have come back when the wait ends. The first one then does not begin alone."""
    monkeypatch.setattr(lanes, "GATHERS_FOR", 0.0)
    monkeypatch.setattr(lanes, "LATE_FOR", SECONDS)
    lane = _lane(lasting, most=8, crowd=8, patience=float("inf"))
    _begun(lane, lasting)
    others, late = ([Piece(f"{n}{when}") for n in range(4)] for when in ("", " late"))
    for each in others:
        lane.submit(each)
    lasting.go.set()
    assert all(each.is_done.wait(SECONDS) for each in others)
    monkeypatch.setattr(lanes, "GATHERS_FOR", 100 * SECONDS)
    for each in late:
        sleep(0.05)
        lane.submit(each)
    assert all(each.is_done.wait(SECONDS) for each in late)
    assert [len(portion) for portion in lasting.portions] == [1, 4, 4]


def test_few_callers_do_not_wait_for_each_other(lasting: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "GATHERS_FOR", float("inf"))
    lane = _lane(lasting, most=8, crowd=8, patience=float("inf"))
    _begun(lane, lasting)
    second = Piece("second")
    lane.submit(second)
    lasting.go.set()
    assert second.is_done.wait(SECONDS)
    _served(lane, [Piece("third")])
    assert lasting.portions == [["first"], ["second"], ["third"]]


def test_a_large_piece_is_not_cut(work: Work) -> None:
    lane = _lane(work)
    _begun(lane, work)
    others = [Piece("large", size=5), Piece("small")]
    for each in others:
        lane.submit(each)
    work.go.set()
    assert all(each.is_done.wait(SECONDS) for each in others)
    assert work.portions == [["first"], ["large"], ["small"]]


def test_no_more_wait_than_may(work: Work) -> None:
    lane = _lane(work)
    _begun(lane, work)
    for n in range(6):
        lane.submit(Piece(n))
    with pytest.raises(LaneFull):
        lane.submit(Piece("one too many"))
    work.go.set()


def test_a_piece_that_has_waited_too_long_fails_and_is_not_begun(work: Work) -> None:
    lane = _lane(work, patience=0.05)
    _begun(lane, work)
    late = Piece("late")
    lane.submit(late)
    sleep(0.1)
    work.go.set()
    assert late.is_done.wait(SECONDS)
    assert isinstance(late.error, LaneFull)
    assert work.portions == [["first"]]


def test_nothing_is_begun_for_a_caller_who_has_gone(work: Work) -> None:
    lane = _lane(work)
    _begun(lane, work)
    last = Piece("last")
    for each in (Piece("gone", is_gone=True), last):
        lane.submit(each)
    work.go.set()
    assert last.is_done.wait(SECONDS)
    assert work.portions == [["first"], ["last"]]


def test_work_that_fails_ends_no_thread(work: Work) -> None:
    lane = _lane(work)
    work.go.set()
    for name in ("wrong", "right"):
        piece = Piece(name)
        lane.submit(piece)
        assert piece.is_done.wait(SECONDS)
        assert isinstance(piece.error, ValueError) is (name == "wrong")


def test_an_idle_thread_ends_and_the_next_piece_begins_another(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.01)
    lane = _lane(work)
    work.go.set()
    for n in range(3):
        piece = Piece(n)
        lane.submit(piece)
        assert piece.is_done.wait(SECONDS)
        sleep(0.05)
    assert work.portions == [[0], [1], [2]]


def test_a_lane_that_closes_finishes_what_it_has_begun_and_refuses_the_rest(work: Work) -> None:
    lane = _lane(work)
    first, last = _begun(lane, work), Piece("last")
    lane.submit(last)
    assert lane.load == 2
    lane.close()
    assert last.is_done.wait(0), "nobody waits for the thread"
    assert isinstance(last.error, LaneFull)
    assert not lane.join(seconds=0)
    work.go.set()
    assert lane.join(seconds=SECONDS)
    assert first.is_done.is_set()
    assert last.is_done.is_set()
    with pytest.raises(LaneFull):
        lane.submit(Piece("late"))


def test_a_thread_waits_for_its_result_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    future = Future[str]()
    threading.Timer(0.1, future.set_result, args=["done"]).start()
    lanes.wait("key", future)
    assert future.result(0) == "done"
    monkeypatch.setattr(lanes, "PATIENCE", 0.1)
    with pytest.raises(GaveUp):
        lanes.wait("key", Future[str]())


def test_only_a_part_of_the_threads_waits_with_one_key() -> None:
    """Otherwise one log that is locked for long would hold all threads of a web server."""
    held, refused = Future[str](), list[Exception]()

    def call() -> None:
        with bounds.within(bounds.web(statement_seconds=15, threads=4)):
            try:
                lanes.wait("key", held)
            except (TurnRefused, GaveUp) as error:
                refused.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert any(isinstance(error, TurnRefused) for error in refused)
    assert len(refused) == 4
