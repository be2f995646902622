"""Measures how long forty people wait while an import writes. `bench.imports --clients 40` runs it.

A whole installation serves them over HTTP, and its database is the default one, SQLite, or a PostgreSQL server of its
own. The same clients act before the import, during it and after it, so the report shows what the import adds. Each
process of clients has few of them, so that a wait is never the client's own.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.held import renamed_rows
from bench.imports import csv_of
from bench.storm.acts import Client, StormTarget
from bench.storm.installation import WINDOWS, CannotStart
from bench.storm.journal import Journal, Outcome
from bench.storm.people import Board, Cast, Person
from bench.storm.report import machine, percentile
from bench.storm.storm import Storm

ROOT = Path(__file__).resolve().parents[1]
#: How many clients one process has at most, and how many tenants belong to it.
CLIENTS_OF_PROCESS, TENANTS_OF_PROCESS = 10, 3
#: What the clients do not do: a command starts a process first, and a long poll waits on purpose.
NOT_DONE = frozenset({"comment_cli", "decide_cli", "manage_export", "long_poll"})
#: What they do and the report leaves out, because a password is slow to check on purpose.
NOT_MEASURED = frozenset({"sign in", "step up"})
#: In seconds: how long the clients act without an import, before it and after it, and how long they may take to arrive.
CALM, ARRIVE_WITHIN = 60.0, 300.0
IMPORT_WITHIN = 1800.0
#: The plan and the service of the storm's world.
PLAN, SERVICE = "E5", "exchange-online"
#: The call did its act, or somebody else was faster. All other calls are acts that the installation did not do.
SERVED = frozenset(map(str, (Outcome.DONE, Outcome.REFUSED)))


class Visitor(Client):
    """A client of the storm. It does only what a person waits for."""

    def _chores(self, person: Person) -> Sequence[tuple[Callable[[Person], None], int]]:
        chores = super()._chores(person)
        return [(act, weight) for act, weight in chores if getattr(act, "__name__", "") not in NOT_DONE]


@dataclass(frozen=True)
class Wait:
    """One call as its client saw it."""

    begun: float
    ended: float
    name: str
    changes: bool
    outcome: str

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    def __str__(self) -> str:
        return f"{self.name} {self.seconds:.2f} s" + ("" if self.outcome in SERVED else f" ({self.outcome})")


@dataclass(frozen=True)
class Visit:
    """What one process of clients needs."""

    target: StormTarget
    facts: Path
    directory: Path
    number: int
    processes: int
    clients: int

    def people(self) -> list[Person]:
        """Return the people of this process: those of its tenants, and its share of the provider's."""
        cast = Cast.read(self.facts)
        of_provider = [person for person in cast.people.values() if not person.tenant]
        slugs = set(list(cast.tenants)[self.number :: self.processes])
        of_tenants = [person for person in cast.people.values() if person.tenant in slugs]
        return of_provider[self.number :: self.processes] + of_tenants


def _visit(visit: Visit, is_ready: Any, is_over: Any, pipe: Any) -> None:
    """Sign the people of this process in, act until the end, and send every wait to the first process."""
    journal, stop, board = Journal(visit.directory / f"acts-{visit.number}.jsonl"), threading.Event(), Board()
    people, cast = visit.people(), Cast.read(visit.facts)
    clients = [
        Visitor(visit.number + at * visit.processes, 1, visit.target, cast, board, journal, some, stop)
        for at in range(visit.clients)
        if (some := people[at :: visit.clients])
    ]
    with ThreadPoolExecutor(2) as arriving:
        list(arriving.map(Client.arrive, clients))
    is_ready.release()
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    is_over.wait()
    stop.set()
    for thread in threads:
        thread.join(60)
    waits = [
        Wait(call.begun, call.ended, f"{act.name} ({act.door})", act.changes, call.outcome)
        for act in journal.acts
        if act.name not in NOT_MEASURED
        for call in act.calls
    ]
    pipe.send((waits, [crash for client in clients for crash in client.crashes]))


@dataclass(frozen=True)
class Phase:
    name: str
    begun: float
    ended: float

    def lines(self, waits: Sequence[Wait]) -> list[str]:
        """Return what the clients waited in this phase. A call that only overlaps it belongs to it, too."""
        overlapping = [wait for wait in waits if wait.begun < self.ended and wait.ended > self.begun]
        seconds = self.ended - self.begun
        found = [f"{self.name}: {seconds:.0f} s, {len(overlapping) / seconds:.1f} calls a second"]
        changing = [wait for wait in overlapping if wait.changes]
        for what, some in (("all calls", overlapping), ("calls that change something", changing)):
            taken = [wait.seconds for wait in some]
            found.append(
                f"  {what}: {len(some)}, median {percentile(taken, 0.5):.3f} s, p99 {percentile(taken, 0.99):.3f} s, "
                f"longest {max(taken, default=0.0):.3f} s, over a second {sum(each > 1 for each in taken)}"
            )
        longest = sorted(overlapping, key=lambda wait: wait.seconds)[-3:]
        found.append(f"  longest: {', '.join(map(str, reversed(longest)))}")
        outcomes = Counter(wait.outcome for wait in overlapping)
        not_served = [wait for wait in overlapping if wait.outcome not in SERVED]
        found.append(f"  {', '.join(f'{outcome} {count}' for outcome, count in sorted(outcomes.items()))}")
        found.append(f"  not served: {', '.join(map(str, not_served[:5])) or 'none'}")
        return found


class Crowd(Storm):
    """An installation without faults, with clients in processes of their own, while a file is imported."""

    def measure(self, steps: Sequence[tuple[str, Step]], *, calm: float) -> None:
        try:
            self.set_up()
            self._measure(steps, calm)
        finally:
            self.clean_up()

    def _measure(self, steps: Sequence[tuple[str, Step]], calm: float) -> None:
        # Not a fork, because the receivers of this process have threads.
        context = multiprocessing.get_context("spawn")
        is_ready, is_over = context.Semaphore(0), context.Event()
        running = [self._started(context, visit, is_ready, is_over) for visit in self._visits()]
        for _ in running:
            if not is_ready.acquire(timeout=ARRIVE_WITHIN):
                raise CannotStart("The clients could not sign in.")
        # The first window opens only after two decisions.
        time.sleep(calm / 2)
        phases = [_timed("before the import", partial(time.sleep, calm))]
        phases += [_timed(name, partial(step, self)) for name, step in steps]
        phases.append(_timed("after the import", partial(time.sleep, calm)))
        is_over.set()
        found = [pipe.recv() for _child, pipe in running]
        for child, _pipe in running:
            child.join(60)
        waits = [wait for some, _crashes in found for wait in some]
        for phase in phases:
            print("\n".join(phase.lines(waits)))
        for crash in {crash for _some, crashes in found for crash in crashes}:
            print(f"a client failed: {crash}")

    def _visits(self) -> list[Visit]:
        here, processes = self.installation, processes_for(self.clients)
        target = StormTarget(here.port, self.tree, here.client, here.env, WINDOWS, self.pace)
        shares = [len(range(number, self.clients, processes)) for number in range(processes)]
        return [
            Visit(target, here.facts, self.directory, number, processes, share) for number, share in enumerate(shares)
        ]

    @staticmethod
    def _started(context: Any, visit: Visit, is_ready: Any, is_over: Any) -> tuple[Any, Any]:
        ours, theirs = context.Pipe()
        child = context.Process(target=_visit, args=(visit, is_ready, is_over, theirs), daemon=True)
        child.start()
        # So this process notices when the child ends too early.
        theirs.close()
        return child, ours

    def run_import(self, data: bytes) -> None:
        self._run("manage.py", "import", str(self._file(data)))

    def propose(self, data: bytes) -> None:
        self._run("-m", "bench.staff_acts", "propose", str(self._file(data)))

    def apply(self) -> None:
        self._run("-m", "bench.staff_acts", "apply")

    def _file(self, data: bytes) -> Path:
        path = self.directory / "import.csv"
        path.write_bytes(data)
        return path

    def _run(self, *words: str) -> None:
        self.installation.run([sys.executable, *words], within=IMPORT_WITHIN)


#: Something that is done while the clients act.
Step = Callable[[Crowd], None]


def processes_for(clients: int) -> int:
    return max(1, round(clients / CLIENTS_OF_PROCESS))


def _timed(name: str, act: Callable[[], None]) -> Phase:
    begun = time.time()
    act()
    return Phase(name, begun, time.time())


def plain(tenants: int, resources: int) -> list[tuple[str, Step]]:
    """Import many tenants, then as many resources of one new tenant."""
    rows = tenants * resources
    many = csv_of(tenants, resources, plan=PLAN, service=SERVICE)
    one = csv_of(1, rows, begin=tenants, plan=PLAN, service=SERVICE)
    return [
        (f"import of {tenants} tenants with {resources} resources", lambda crowd: crowd.run_import(many)),
        (f"import of one tenant with {rows} resources", lambda crowd: crowd.run_import(one)),
    ]


def held(tenants: int, resources: int) -> list[tuple[str, Step]]:
    """Import many tenants, and rename all of their resources, which needs a second person."""
    data, rows = csv_of(tenants, resources, plan=PLAN, service=SERVICE), tenants * resources
    return [
        (f"import of {tenants} tenants with {resources} resources", lambda crowd: crowd.run_import(data)),
        (f"write, propose and announce {rows} rows", lambda crowd: crowd.propose(renamed_rows(data))),
        (f"confirm and apply {rows} rows", Crowd.apply),
    ]


def measure(steps: Sequence[tuple[str, Step]], *, clients: int, pace: float, database: str, calm: float = CALM) -> None:
    print(machine(), database)
    with tempfile.TemporaryDirectory(prefix="lockbox-crowd-") as directory:
        crowd = Crowd(
            ROOT, Path(directory), database, seed=1, seconds=0, pace=pace, clients=clients,
            tenants=processes_for(clients) * TENANTS_OF_PROCESS, with_faults=False,
        )  # fmt: skip
        crowd.measure(steps, calm=calm)
