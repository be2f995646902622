"""A fake Lockbox and a guard that follows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lockbox_guard import Guard
from tests.guard.fake import FakeLockbox

ORIGIN = "http://localhost:9"
NewGuard = Callable[..., Guard]


def until(is_so: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until something is so, and return it. Fail after these seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = is_so()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


@pytest.fixture(autouse=True)
def _report_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockbox_guard.queue.LOOK_EVERY", 0.05)


@pytest.fixture
def lockbox() -> Iterator[FakeLockbox]:
    fake = FakeLockbox()
    yield fake
    fake.stop()


@pytest.fixture
def new_guard(lockbox: FakeLockbox, tmp_path: Path) -> Iterator[NewGuard]:
    guards: list[Guard] = []

    def new(**changed: Any) -> Guard:
        given: dict[str, Any] = {
            "issuer": lockbox.issuer, "service": "quillo", "client_id": "shop", "client_secret": "secret",
            "queue": tmp_path / "queue", "origin": ORIGIN,
        } | changed  # fmt: skip
        guards.append(Guard(**given))
        return guards[-1]

    yield new
    for guard in guards:
        guard.close()


@pytest.fixture
def guard(new_guard: NewGuard) -> Guard:
    made = new_guard()
    assert made.feed.ready.wait(5)
    return made
