"""How often the benchmark opens a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from bench import pages


def opened(monkeypatch: pytest.MonkeyPatch, *seconds: float, status: int = 200, each: bool = False) -> pages.Page:
    """Measure a page that takes so long, one time after the other. The last time is repeated."""

    def endless() -> Iterator[float]:
        yield from seconds
        while True:
            yield seconds[-1]

    times, calls = endless(), []

    def timed(_handler: Any, page: pages.Page, _environ: Any) -> tuple[int, bytes, bytes]:
        calls.append(next(times))
        for found in (page.wall, page.cpu, page.database):
            found.append(calls[-1])
        return status, b"page", b"page"

    monkeypatch.setattr(pages, "_timed", timed)
    page, nobody = pages.Page("ada", "home", "/"), cast(Any, None)
    pages._measure(nobody, page, {}, each=each)
    page.statements = len(calls)
    return page


@pytest.mark.django_db
def test_a_page_is_opened_as_often_as_it_takes_to_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, calls, measured in (
        ([0.02], 1, [0.02]),
        # The first call may import and compile.
        ([0.03, 0.01], 1 + pages.FEW, [0.01] * pages.FEW),
        ([0.03, 0.06], 1 + pages.TIMES, [0.06] * pages.TIMES),
        ([0.03, 0.06, 0.01], 1 + pages.TIMES, [0.06] + [0.01] * (pages.TIMES - 1)),
        # Very slow ones would take all the time.
        ([0.03, 0.6], 1 + 2, [0.6, 0.6]),
        ([3.0], 1, [3.0]),
    ):
        page = opened(monkeypatch, *seconds)
        assert (page.statements, page.wall, page.cpu) == (calls, measured, measured)


@pytest.mark.django_db
def test_with_each_every_page_is_opened_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(monkeypatch, 3.0, 0.01, each=True).wall == [0.01] * pages.TIMES


@pytest.mark.django_db
def test_what_is_no_page_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(monkeypatch, 0.06, status=404).statements == 1
