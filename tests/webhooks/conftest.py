"""Receivers on loopback. The tests allow loopback, which is a private address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.webhooks.receiver import Receiver


@pytest.fixture(autouse=True)
def _private(settings: Any) -> None:
    settings.WEBHOOK_PRIVATE_NETWORK = True


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    running: list[Receiver] = []

    def start() -> Receiver:
        running.append(Receiver())
        return running[-1]

    yield start
    for receiver in running:
        receiver.close()


@pytest.fixture
def receiver(receivers: Callable[[], Receiver]) -> Receiver:
    return receivers()
