"""The report about how long people wait while an import writes."""

from __future__ import annotations

import json
from pathlib import Path

from bench.crowd import Phase, Visit, Wait
from bench.storm.acts import StormTarget
from bench.storm.journal import Outcome

PHASE = Phase("import", 100.0, 110.0)
TARGET = StormTarget(1, Path(), Path(), {}, (20,), 1.0)


def wait(begun: float, ended: float, *, changes: bool = True, outcome: Outcome = Outcome.DONE) -> Wait:
    return Wait(begun, ended, "open ticket (api)", changes, outcome.value)


def test_a_phase_reports_each_call_that_overlaps_it() -> None:
    waits = [wait(97, 101), wait(102, 102.5, changes=False), wait(109.5, 112), wait(90, 99), wait(110.5, 111)]
    text = "\n".join(PHASE.lines(waits))
    assert "all calls: 3, median 2.500 s, p99 4.000 s, longest 4.000 s, over a second 2" in text
    assert "calls that change something: 2, median 4.000 s" in text
    assert "not served: none" in text


def test_a_phase_names_the_calls_that_were_not_served() -> None:
    waits = [wait(101, 102, outcome=Outcome.REFUSED), wait(103, 105, outcome=Outcome.NOTHING)]
    text = "\n".join(PHASE.lines(waits))
    assert "not served: open ticket (api) 2.00 s (nothing changed)" in text
    assert "refused 1" in text
    assert "not served: none" in "\n".join(PHASE.lines([]))


def test_each_person_acts_in_one_process_together_with_their_tenant(tmp_path: Path) -> None:
    tenants: dict[str, dict[str, str]] = {f"tenant-{number}": {} for number in range(5)}
    someone = {"id": "1", "email": "a@example.com", "roles": []}
    people = {f"engineer-{number}": {**someone, "side": "provider", "tenant": ""} for number in range(3)}
    people |= {f"anna-{slug}": {**someone, "side": "customer", "tenant": slug} for slug in tenants}
    names = list(people)
    callers = {"tokens": dict.fromkeys(names, "t"), "machines": {}, "directories": {}}
    callers["gateway"] = {"id": "1", "secret": "s", "account": "2"}
    facts = tmp_path / "world.json"
    world = {"people": people, "tenants": tenants, "callers": callers, "secret": "s", "password": "p"}
    facts.write_text(json.dumps(world))
    visits = [Visit(TARGET, facts, tmp_path, number, processes=2, clients=3) for number in range(2)]
    found = [person.name for visit in visits for person in visit.people()]
    assert sorted(found) == sorted(names)
    assert [len({person.tenant for person in visit.people()}) for visit in visits] == [4, 3]
