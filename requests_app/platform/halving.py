"""Does work for many together. If it fails, halves find those that fail, and the others are still done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def halves(items: list[T]) -> list[list[T]]:
    """Return both halves. A single item is not cut."""
    middle = len(items) // 2
    return [half for half in (items[:middle], items[middle:]) if half]


def halved(
    items: list[T],
    work: Callable[[list[T]], R],
    *,
    failed: Callable[[Exception, list[T]], R],
    is_final: Callable[[Exception], bool],
) -> Iterator[R]:
    """Yield the result for all items, or if the work fails, the results for each half of them, and so on.

    `failed` makes the result for an item that fails alone. If the error is final, nothing is tried again, and `failed`
    gets all items of this attempt.
    """
    try:
        found = work(items)
    except Exception as error:
        if len(items) > 1 and not is_final(error):
            for half in halves(items):
                yield from halved(half, work, failed=failed, is_final=is_final)
            return
        found = failed(error, items)
    yield found
