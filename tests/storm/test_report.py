"""The numbers in a storm's report: when acts succeed again, and how many calls got an expected response."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.storm import drill, faults, report, storm, table
from bench.storm.faults import Fault
from bench.storm.journal import Call, IntendedAct, Outcome

ROOT = Path(__file__).resolve().parents[2]


def call(begun: float, ended: float, outcome: Outcome = Outcome.DONE) -> Call:
    return Call(begun, ended, 200, "", outcome.value)


def act(*calls: Call, event: str = "ticket.opened") -> IntendedAct:
    return IntendedAct(1, 0, "api", "open ticket", "mia", "contoso", event, "K000001Q", "K000001Q", list(calls))


def fault(begun: float, over: float) -> Fault:
    return Fault(0.0, "kill one web worker", 3.0, begun=begun, over=over)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_seed_decides_what_breaks_and_when(database: str) -> None:
    first, again = (faults.plan(7, 600, database, has_small_disk=True) for _ in range(2))
    assert first == again
    assert first != faults.plan(8, 600, database, has_small_disk=True)
    assert {each.kind for each in first} <= set(faults.BOUNDS)
    gaps = [later.at - earlier.at for earlier, later in zip(first, first[1:], strict=False)]
    assert all(faults.EVERY[0] <= gap <= faults.EVERY[1] for gap in gaps)


def test_each_fault_has_a_bound_and_can_be_made() -> None:
    assert set(faults._HAPPENS) == set(faults.BOUNDS)


def test_recovery_counts_acts_that_were_begun_after_the_fault() -> None:
    before = act(call(9, 11.5))
    read = act(call(10.1, 10.2), event="")
    refused = act(call(10.1, 10.3, Outcome.NOTHING))
    assert report.recovery(fault(9.5, 10), [before, read, refused]) is None
    assert report.recovery(fault(9.5, 10), [before, read, refused, act(call(10.5, 12))]) == pytest.approx(2)


def test_a_fault_without_recovery_is_in_the_table() -> None:
    """A fault is left out only if the storm ended before the time limit for its recovery."""
    found = report.numbers(storm.Result(7, 60, "sqlite", [], [fault(5, 10), fault(57, 59)], [], begun=0, ended=60))
    assert found["recoveries"] == {"kill one web worker": [float("inf")]}
    read = json.loads(json.dumps(found))
    assert "| acts again: kill one web worker | not before the end (1 of 1) |" in table.lines({"now": read})


def test_availability_leaves_out_what_overlaps_a_fault() -> None:
    calls = [call(1, 2), call(3, 4, Outcome.LOST), call(10, 11, Outcome.LOST), call(60, 61), call(62, 63)]
    assert report.availability(calls, [fault(9, 12)]) == (3 / 4, 4)


def test_an_answer_that_puts_off_or_refuses_is_a_good_one() -> None:
    calls = [call(1, 2, outcome) for outcome in (Outcome.REFUSED, Outcome.PUT_OFF, Outcome.UNKNOWN, Outcome.WRONG)]
    assert report.availability(calls, []) == (0.5, 4)


def test_the_drill_runs_the_printed_commands() -> None:
    found = drill.commands(ROOT)
    assert found["backup"] == "customer-lockbox backup --to /srv/backups --recipient age1…"
    assert found["copy"] == "customer-lockbox log_heads copy --to /mnt/lockbox-heads"
    assert re.fullmatch(
        r"customer-lockbox restore \S+\.age --identity \S+ --heads /mnt/lockbox-heads", found["restore"]
    )
    assert found["verify"] == "customer-lockbox verify_audit --data-dir /tmp/practice"
