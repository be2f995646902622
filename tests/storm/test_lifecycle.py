"""The storm checks a log against its own copy of the life cycle, and finds each kind of fault.

This copy shares no code with the product.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.storm import lifecycle
from bench.storm.lifecycle import ACCESS_REQUEST, TICKET
from requests_app.domain.lifecycle import TICKET_TRANSITIONS, TRANSITIONS
from tests.offenders import collected
from tests.storm import forged
from tests.storm.forged import ADA, BEGUN, ENGINEER, GRANT, PAT, RESOURCE, at, entry, life

Forge = Callable[[list[dict[str, Any]]], object]


def moved(number: int, seconds: float) -> Forge:
    return lambda entries: entries[number].update(at=at(seconds))


def with_detail(number: int, **detail: Any) -> Forge:
    return lambda entries: entries[number]["detail"].update(detail)


def by(number: int, **actor: str) -> Forge:
    return lambda entries: entries[number]["actor"].update(actor)


def without(number: int) -> Forge:
    return lambda entries: entries.pop(number)


def again(number: int) -> Forge:
    return lambda entries: entries.insert(number, entries[number])


def added(number: int, *one: Any, **detail: Any) -> Forge:
    return lambda entries: entries.insert(number, entry(*one, **detail))


def revoked_late(entries: list[dict[str, Any]]) -> None:
    entries[6] = entry("grant.revoked", ADA, 50, state="CLOSED", grant=GRANT)


CLOSED = {"state": "CLOSED", "grant": GRANT}
FORGERIES: dict[str, tuple[Forge, str]] = {
    "no submission": (without(2), "nobody submitted it"),
    "two submissions": (again(2), "it was submitted before"),
    "a decision twice": (again(3), "it was PENDING_CUSTOMER"),
    "the customer before the provider": (without(3), "it was PENDING_PROVIDER"),
    "a late approval": (moved(4, 61), "it is late"),
    "a late first stage": (moved(3, 56), "it is late"),
    "an early end": (moved(6, 45), "it is early"),
    "a revocation after the end": (revoked_late, "it is late"),
    "two ends": (added(6, "grant.released", ENGINEER, 45, **CLOSED), "it was CLOSED"),
    "another window closed": (with_detail(6, grant="other"), "it closes another window"),
    "a longer window": (with_detail(4, closes_at=at(51)), "longer than what was asked for"),
    "a window that opens later": (with_detail(4, opens_at=at(35)), "opens at another time"),
    "the engineer decides": (by(3, id=ENGINEER), "one human counts twice"),
    "one human at both stages": (by(4, id=PAT), "one human counts twice"),
    "a customer at the provider's stage": (by(3, side="customer"), "may not do this"),
    "a person writes the end": (by(6, side="provider"), "may not do this"),
    "a look without a window": (without(4), "there never was a window"),
    "a look after the end": (moved(5, 50), "not open at this time"),
    "a look after a revocation": (added(5, "grant.revoked", ADA, 35, **CLOSED), "the window was closed before"),
    "a look at what is not covered": (with_detail(5, resource="other"), "does not cover"),
    "a look under another window": (lambda entries: entries[5]["subject"].update(id="other"), "names another window"),
    "an approval that skips the customer": (
        with_detail(3, state="OPEN", grant=GRANT, opens_at=at(20), closes_at=at(40)),
        "where it must be PENDING_CUSTOMER",
    ),
    "a ticket opened twice": (again(0), "it was opened before"),
    "a move of no ticket": (without(0), "it was None"),
    "an answer that nobody waits for": (added(2, "ticket.answered", "mia", 2), "it was ASSIGNED"),
    "a customer takes a ticket": (by(1, side="customer"), "may not do this"),
    "time that goes back": (moved(5, 29), "older than the one before"),
}


def test_a_life_as_it_should_be_has_nothing_wrong() -> None:
    found = forged.replay(life())
    assert found.wrong == []
    assert found.lives[forged.ASKED].state == "CLOSED"
    assert found.tickets == {forged.TICKET: "ASSIGNED"}


def test_the_replay_finds_each_forgery() -> None:
    with collected() as case:
        for name in FORGERIES:
            with case(name):
                forge, words = FORGERIES[name]
                entries = life()
                forge(entries)
                found = forged.replay(entries).wrong
                assert any(words in each for each in found), found


def test_a_gap_in_the_numbers_is_found() -> None:
    lines = forged.log(life())
    del lines[3]
    found = lifecycle.Replay(dt.timedelta(seconds=45), dt.timedelta(seconds=40)).read(lines)
    assert any("stands at place 3" in each for each in found.wrong)


def test_a_line_that_is_no_record_is_found() -> None:
    lines = forged.log(life())
    lines[2]["entry"] = None
    assert "line 2 holds no record" in lifecycle.Replay(dt.timedelta(45), dt.timedelta(40)).read(lines).wrong


@pytest.mark.parametrize(("cut", "words"), [(3, "still waits"), (6, "is still open")])
def test_a_window_that_nobody_ended_is_found(cut: int, words: str) -> None:
    found = forged.replay(life()[:cut])
    grace = dt.timedelta(seconds=30)
    assert found.overdue(BEGUN + dt.timedelta(seconds=50), grace) == []
    assert words in found.overdue(BEGUN + dt.timedelta(seconds=100), grace)[0]


def test_without_lockbox_the_provider_alone_opens() -> None:
    opened = {"state": "OPEN", "grant": GRANT, "opens_at": at(20), "closes_at": at(40)}
    entries = [
        *life()[:3],
        entry("access_request.approved_by_provider", PAT, 20, **opened),
        entry("content.opened", ENGINEER, 30, resource=RESOURCE),
        entry("grant.released", ENGINEER, 35, **CLOSED),
    ]
    assert forged.replay(entries, has_lockbox=False).wrong == []


def test_the_storms_table_and_the_products_have_the_same_moves() -> None:
    """The table exists twice on purpose. Somebody who changes it here must also change it there."""
    for ours, products in ((ACCESS_REQUEST, TRANSITIONS), (TICKET, TICKET_TRANSITIONS)):
        theirs = {str(row.event): (set(row.moves.sources), set(row.moves.targets)) for row in products.values()}
        assert {event: (set(sources), set(targets)) for event, (sources, targets, _who) in ours.items()} == theirs


def test_the_replay_imports_nothing_of_the_product() -> None:
    source = Path(lifecycle.__file__).read_text()
    assert "import requests_app" not in source
    assert "from requests_app" not in source
    assert "from audit_app" not in source
