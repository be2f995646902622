"""The report of a storm, in words and numbers: acts by interface, faults and recovery, availability, violations."""

from __future__ import annotations

import os
import platform
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.storm.faults import Fault
from bench.storm.journal import Call, IntendedAct, Outcome
from bench.storm.storm import Result

DOORS = ("pages", "api", "azure", "scim", "admin", "command line")
WELL = frozenset({Outcome.DONE, Outcome.REFUSED, Outcome.PUT_OFF})
#: A failed call counts as part of a fault if it overlaps the fault, or begins within this number of seconds after it.
AFTER = 10.0


def acknowledged(acts: Iterable[IntendedAct]) -> list[IntendedAct]:
    return [act for act in acts if act.changes and act.outcome is Outcome.DONE]


def recovery(fault: Fault, acts: list[IntendedAct]) -> float | None:
    """Return how many seconds after the fault's end an act that changes something first succeeded.

    Only calls that began after the fault's end count.
    """
    ended = [
        call.ended
        for act in acts
        if act.changes
        for call in act.calls
        if call.outcome == Outcome.DONE and call.begun >= fault.over
    ]
    return min(ended) - fault.over if ended else None


def last_failure(fault: Fault, calls: list[Call], until: float) -> float:
    """Return how many seconds after the fault's end the last broken call ended.

    Only calls that ended before `until` count.
    """
    ended = [
        call.ended
        for call in calls
        if call.outcome not in WELL and fault.over - 60 < call.begun and fault.over <= call.ended < until
    ]
    return max(ended) - fault.over if ended else 0.0


def availability(calls: list[Call], faults: list[Fault]) -> tuple[float, int]:
    """Return the share of calls that got an expected response, and their number. Calls during a fault do not count."""
    outside = [
        call
        for call in calls
        if not any(call.ended >= fault.begun and call.begun <= fault.over + AFTER for fault in faults)
    ]
    good = sum(call.outcome in WELL for call in outside)
    return (good / len(outside) if outside else 1.0), len(outside)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def machine() -> str:
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return (
        f"{os.cpu_count()} cores, {cpu}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def numbers(result: Result) -> dict[str, Any]:
    """Return the numbers that the table of docs/reliability.md shows."""
    done = acknowledged(result.acts)
    calls = [call for act in result.acts for call in act.calls]
    lasted = [act.ended - act.begun for act in done]
    recoveries: dict[str, list[float]] = defaultdict(list)
    for fault in result.faults:
        again = recovery(fault, result.acts)
        if again is None and fault.over + (fault.bound or 0) > result.ended:
            # The storm ended too early to know.
            continue
        # If no act succeeded again, the value is infinite, so that the fault stays in the table.
        recoveries[fault.kind].append(again if again is not None else float("inf"))
    return {
        "database": result.database, "seed": result.seed, "seconds": result.seconds, "machine": machine(),
        "acknowledged": len(done), "by_door": {door: sum(act.door == door for act in done) for door in DOORS},
        "entries": result.entries, "faults": len(result.faults),
        "safety": sum(each.safety for each in result.violations),
        "wrong": sum(not each.safety for each in result.violations),
        "availability": availability(calls, result.faults)[0], "median": percentile(lasted, 0.5),
        "p99": percentile(lasted, 0.99), "peak": result.memory_peak, "memory": result.memory_ended,
        "mails": result.mails, "calm": result.calm, "recoveries": recoveries,
    }  # fmt: skip


def lines(result: Result) -> list[str]:
    done = acknowledged(result.acts)
    calls = [call for act in result.acts for call in act.calls]
    rows = [
        f"Storm on {result.database}, seed {result.seed}, {result.seconds:.0f} s, {machine()}",
        "",
        f"{'door':<14}{'acts':>8}{'done':>8}{'refused':>9}{'nothing':>9}{'unknown':>9}{'lost':>7}{'wrong':>7}",
    ]
    for door in DOORS:
        seen = Counter(act.outcome for act in result.acts if act.door == door and act.changes)
        unknown, busy = seen[Outcome.UNKNOWN], seen[Outcome.BUSY]
        rows.append(
            f"{door:<14}{seen.total():>8}{seen[Outcome.DONE]:>8}{seen[Outcome.REFUSED]:>9}{seen[Outcome.NOTHING]:>9}"
            f"{unknown + busy:>9}{seen[Outcome.LOST]:>7}{seen[Outcome.WRONG]:>7}"
        )
    share, outside = availability(calls, result.faults)
    lasted = [act.ended - act.begun for act in done]
    rows += [
        "",
        f"Acknowledged acts: {len(done):,}; calls: {len(calls):,}; entries in the logs: {result.entries:,}; "
        f"mails: {result.mails:,}; webhook messages: {result.hook_messages:,}",
        f"Messages that had piled up left within {result.calm:.0f} s after the storm",
        f"Time of an acknowledged act: median {percentile(lasted, 0.5) * 1000:.0f} ms, "
        f"p99 {percentile(lasted, 0.99) * 1000:.0f} ms",
        f"Answered well outside of faults: {share:.2%} of {outside:,} calls",
        f"Memory of all processes: {result.memory_begun / 1e6:.0f} MB at the beginning, "
        f"{result.memory_peak / 1e6:.0f} MB at most, {result.memory_ended / 1e6:.0f} MB at the end",
        "",
        *_recoveries(result, calls),
        "",
        *_violations(result),
    ]
    return rows


def _recoveries(result: Result, calls: list[Call]) -> list[str]:
    rows = [f"{'fault':<32}{'times':>6}{'acts again (median, most)':>28}{'last failure':>14}{'bound':>8}"]
    found: dict[str, list[float]] = defaultdict(list)
    failures: dict[str, list[float]] = defaultdict(list)
    bounds = {fault.kind: fault.bound for fault in result.faults}
    for number, fault in enumerate(result.faults):
        following = result.faults[number + 1].begun if number + 1 < len(result.faults) else result.ended
        again = recovery(fault, result.acts)
        # None: the storm ended first.
        found[fault.kind].append(again if again is not None else float("inf"))
        failures[fault.kind].append(last_failure(fault, calls, following))
    for kind, seconds in sorted(found.items()):
        bound = bounds[kind]
        late = sum(each > bound for each in seconds) if bound is not None else 0
        rows.append(
            f"{kind:<32}{len(seconds):>6}{statistics.median(seconds):>16.2f} s{max(seconds):>8.2f} s"
            f"{max(failures[kind]):>12.1f} s{f'{bound:.0f} s' if bound is not None else '':>8}"
            f"{f'  {late} LATE' if late else ''}"
        )
    notes = [f"  {fault.kind}: {fault.note}" for fault in result.faults if fault.note]
    return [*rows, *notes]


def _violations(result: Result) -> list[str]:
    safety = [each for each in result.violations if each.safety]
    rest = [each for each in result.violations if not each.safety]
    rows = [f"Violations of safety: {len(safety)}; wrong answers: {len(rest)}"]
    for group in (safety, rest):
        kinds: dict[str, list[str]] = defaultdict(list)
        for each in group:
            kinds[each.kind].append(each.words)
        for kind, words in kinds.items():
            rows.append(f"  {len(words)} x {kind}")
            rows += [f"      {each}" for each in words[:5]]
    if result.problems:
        rows.append(f"Problems of the storm itself: {len(result.problems)}")
        rows += [f"  {each}" for each in result.problems[:8]]
    return rows
