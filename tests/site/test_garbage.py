"""The web server collects garbage after a request, if there can be much of it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import count
from typing import Any
from weakref import ref

import pytest
from django.core.signals import request_finished

from lockbox_site.serving import garbage


class Node:
    """Refers to itself, so only a collection frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def only_after_requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Collect nothing but at the end of requests, and free nothing that other tests use."""
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(garbage, "_turns", count(1))
    garbage.collect_after_requests()
    gc.disable()
    gc.collect(0)
    yield
    gc.enable()
    request_finished.disconnect(dispatch_uid="garbage")


def made(nodes: int) -> Any:
    """Make garbage, and return a reference to a part of it."""
    found = [Node() for _ in range(nodes)]
    return ref(found[0])


def finished() -> None:
    # Without the receivers that close the connection of a test.
    for _key, receiver, *_ in request_finished.receivers:
        if (found := receiver()) is garbage._collect:
            found(sender=None)


def test_garbage_is_collected_at_the_end_of_a_request() -> None:
    node = made(garbage.ENOUGH)
    finished()
    assert node() is None


def test_little_garbage_waits_for_a_later_request() -> None:
    node = made(garbage.ENOUGH // 10)
    finished()
    assert node() is not None
    made(garbage.ENOUGH)
    finished()
    assert node() is None


@pytest.mark.parametrize(("turns", "older"), [(garbage.OLDER, 1), (garbage.ALL, 2)])
def test_garbage_that_was_in_use_at_a_collection_is_collected_later(turns: int, older: int) -> None:
    nodes = [Node()]
    node = ref(nodes[0])
    for generation in range(older):
        gc.collect(generation)
    nodes.clear()
    for turn in range(1, turns + 1):
        assert node() is not None, turn
        made(garbage.ENOUGH)
        finished()
    assert node() is None
