"""Measure single acts inside their operation, with the commit: a customer's yes, and an item that is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count as numbers
from typing import Any

from bench.measure import Result, timed
from requests_app import operations
from tests.cast import Cast

#: How many acts come before those that are measured.
WARM_UP = 20


def run(cast: Cast, count: int, bar: Any) -> list[Result]:
    ticking = bar.add_task("acts", total=3 * (count + WARM_UP))
    tick = partial(bar.advance, ticking)
    ticket, ada = cast.ticket(), cast.as_("ada")
    rows = []
    for _ in range(count + WARM_UP):
        rows.append(cast.confirmed(ticket=ticket))
        tick()
    yes = [partial(operations.approve_as_customer, row.pk, actor=ada) for row in rows]
    grant, mailbox, priya, items = cast.opened(ticket=ticket), cast.resource(), cast.as_("priya"), numbers()

    def read() -> None:
        item = f"{next(items) % 200}.mail"
        _access, _item, stream = operations.content.open_item(grant.pk, mailbox.pk, item, actor=priya)
        with stream:
            for _chunk in stream.chunks:
                pass

    return [
        _measured("customer's yes, committed with its entry", yes, tick),
        _measured("content open, with its committed entry", [read] * (count + WARM_UP), tick),
    ]


def _measured(name: str, acts: Sequence[Callable[[], Any]], tick: Callable[[], None]) -> Result:
    for act in acts[:WARM_UP]:
        act()
        tick()
    return timed(name, acts[WARM_UP:], aim="median ≤ 4 ms", tick=tick)
