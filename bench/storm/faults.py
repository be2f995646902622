"""The faults of a storm. The seed determines them before the storm. Each is recorded when it happens."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bench.storm import processes
from bench.storm.installation import Installation
from bench.storm.postgres import Server
from bench.storm.receivers import Hooks, MailServer

#: The least and the most seconds between two faults.
EVERY = (10.0, 20.0)
#: How many seconds after a fault acts must succeed again. None if the fault delays no act.
BOUNDS: dict[str, float | None] = {
    # The time begins with the kill, or with the new start or first connection if something must be started.
    "kill one web worker": 2.0,
    "freeze one web worker": 10.0,
    "kill all web workers": 10.0,
    "kill the web master": 10.0,
    "kill the supervisor": 10.0,
    "kill the cluster": None,
    "freeze the cluster": None,
    "kill an idle worker": None,
    "kill the beat": None,
    "mail server hangs": None,
    "mail server cuts": None,
    "mail server puts off": None,
    "webhook receiver is hostile": None,
    "webhook receiver cuts": None,
    "PostgreSQL crashes": 2.0,
    "PostgreSQL restarts": 2.0,
    "PostgreSQL hangs": 2.0,
    "network hangs": 2.0,
    "sessions are ended": 2.0,
    "connections are cut": 2.0,
    "cut at COMMIT's answer": 2.0,
    "cut before COMMIT": 2.0,
    "the disk is full": 2.0,
    "SQLite is locked": 2.0,
}
_PROCESSES = (
    "kill one web worker", "kill one web worker", "freeze one web worker", "kill all web workers",
    "kill the web master", "kill the supervisor", "kill the cluster", "freeze the cluster", "kill an idle worker",
    "kill the beat", "mail server hangs", "mail server cuts", "mail server puts off", "webhook receiver is hostile",
    "webhook receiver cuts",
)  # fmt: skip
_POSTGRES = (
    "PostgreSQL crashes", "PostgreSQL restarts", "PostgreSQL hangs", "network hangs", "sessions are ended",
    "connections are cut", "cut at COMMIT's answer", "cut at COMMIT's answer", "cut before COMMIT",
    "the disk is full",
)  # fmt: skip
_SQLITE = ("SQLite is locked", "SQLite is locked", "kill one web worker", "kill all web workers", "the disk is full")


@dataclass
class Fault:
    """One fault. `over` is the time at which its cause has gone, so that acts can succeed again.

    Recovery is measured from `over`.
    """

    at: float
    kind: str
    lasts: float
    begun: float = 0.0
    over: float = 0.0
    note: str = ""

    @property
    def bound(self) -> float | None:
        return BOUNDS[self.kind]


def plan(
    seed: int, seconds: float, database: str, *, kinds: Sequence[str] = (), has_small_disk: bool = False
) -> list[Fault]:
    """Choose the faults of a storm. The same seed gives the same faults at the same times.

    With `kinds`, exactly these faults happen, in this order and evenly spread over the storm.
    """
    dice = random.Random(f"faults {seed}")
    if kinds:
        step = seconds / (len(kinds) + 1)
        return [Fault(step * number, kind, 3.0) for number, kind in enumerate(kinds, 1)]
    every = [*_PROCESSES, *(_POSTGRES if database == "postgres" else _SQLITE)]
    if not has_small_disk:
        every = [kind for kind in every if "disk" not in kind]
    found: list[Fault] = []
    at = dice.uniform(5.0, 8.0)
    bag: list[str] = []
    # No fault begins in the last seconds, so that each fault can be observed to its end.
    while at < seconds - 12.0:
        if not bag:
            # Every kind happens once before a kind happens again.
            bag = dice.sample(every, len(every))
        found.append(Fault(at, bag.pop(), round(dice.uniform(3.0, 8.0), 1)))
        at += dice.uniform(*EVERY)
    return found


@dataclass
class Weather:
    """Makes the planned faults happen in one installation, one after another."""

    installation: Installation
    mail: MailServer
    hooks: Hooks
    server: Server | None = None
    proxy: subprocess.Popen[str] | None = None
    small_disk: Path | None = None
    seed: int = 0
    happened: list[Fault] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"weather {self.seed}")

    def run(self, faults: list[Fault], begun: float, stop: threading.Event) -> None:
        for fault in faults:
            if stop.wait(max(0.0, begun + fault.at - time.monotonic())):
                return
            fault.begun = time.time()
            print(f"{fault.at:7.1f} s  {fault.kind}", flush=True)
            try:
                _HAPPENS[fault.kind](self, fault)
            except Exception as failure:  # a fault that could not be caused does not end the storm
                self.problems.append(f"{fault.kind}: {failure!r}")
                traceback.print_exc()
            fault.over = fault.over or time.time()
            self.happened.append(fault)

    # --- Processes ---------------------------------------------------------------------------------------------

    def kill_one_worker(self, fault: Fault) -> None:
        workers = self.installation.web_workers()
        if workers:
            processes.send(signal.SIGKILL, self.dice.choice(workers))
        fault.note = f"one of {len(workers)}"

    def freeze_one_worker(self, fault: Fault) -> None:
        """Stop a worker with a signal. Continue it only when the supervisor has had time to notice."""
        workers = self.installation.web_workers()
        if not workers:
            return
        chosen = self.dice.choice(workers)
        processes.send(signal.SIGSTOP, chosen)
        time.sleep(fault.lasts + 5)
        is_there = chosen in self.installation.web_workers()
        fault.note = "it was still there" if is_there else "it was replaced"
        processes.send(signal.SIGCONT, chosen)

    def kill_all_workers(self, fault: Fault) -> None:
        workers = self.installation.web_workers()
        processes.send(signal.SIGKILL, *workers)
        fault.note = f"{len(workers)} of them"

    def kill_master(self, fault: Fault) -> None:
        master = self.installation.part("web")
        if master:
            processes.send(signal.SIGKILL, master)

    def kill_supervisor(self, fault: Fault) -> None:
        self.installation.kill_supervisor()
        time.sleep(1)
        fault.over = time.time()
        self.installation.start()

    def kill_cluster(self, fault: Fault) -> None:
        cluster = self.installation.part("cluster")
        if cluster:
            processes.send(signal.SIGKILL, *processes.tree(cluster))

    def freeze_cluster(self, fault: Fault) -> None:
        cluster = self.installation.part("cluster")
        family = processes.tree(cluster) if cluster else []
        processes.send(signal.SIGSTOP, *family)
        time.sleep(fault.lasts)
        processes.send(signal.SIGCONT, *family)

    def kill_idle_worker(self, fault: Fault) -> None:
        workers = self.installation.cluster_workers()
        if workers:
            processes.send(signal.SIGKILL, self.dice.choice(workers))

    def kill_beat(self, fault: Fault) -> None:
        beat = self.installation.part("beat")
        if beat:
            processes.send(signal.SIGKILL, beat)

    # --- Mail server and webhook receivers ---------------------------------------------------------------------

    def mail_is(self, manner: str) -> Callable[[Fault], None]:
        def happens(fault: Fault) -> None:
            self.mail.manner = manner
            time.sleep(fault.lasts)
            self.mail.manner = "well"

        return happens

    def hooks_are(self, manner: str) -> Callable[[Fault], None]:
        def happens(fault: Fault) -> None:
            self.hooks.manner = manner
            time.sleep(fault.lasts)
            self.hooks.manner = "well"

        return happens

    # --- The database ------------------------------------------------------------------------------------------

    def crash(self, fault: Fault) -> None:
        assert self.server is not None
        self.server.crash()
        time.sleep(1)
        fault.over = self.server.start()

    def restart(self, fault: Fault) -> None:
        assert self.server is not None
        fault.over = self.server.restart()

    def hang(self, fault: Fault) -> None:
        """Stop the server without killing it. Its kernel still acknowledges data, so no time limit of TCP helps."""
        assert self.server is not None
        family = self.server.freeze()
        self._probe(fault)
        time.sleep(fault.lasts)
        processes.send(signal.SIGCONT, *family)

    def _probe(self, fault: Fault) -> None:
        """Record how long /healthz takes to answer while the database hangs."""
        time.sleep(0.5)
        status, seconds, _body = self.installation.probe("/healthz", timeout=30.0)
        fault.note = f"/healthz {status} in {seconds:.2f} s"

    def end_sessions(self, fault: Fault) -> None:
        assert self.server is not None
        until, ended = time.monotonic() + fault.lasts / 2, 0
        while time.monotonic() < until:
            ended += self.server.terminate_sessions(0.4, self.dice)
            time.sleep(0.4)
        fault.note = f"{ended} sessions"

    def _order(self, words: str) -> None:
        assert self.proxy is not None
        pipe: IO[str] | None = self.proxy.stdin
        assert pipe is not None
        pipe.write(words + "\n")
        pipe.flush()

    def network_hangs(self, fault: Fault) -> None:
        self._order(f"hold {fault.lasts}")
        self._probe(fault)
        time.sleep(max(0.0, fault.lasts - 0.5))

    def cut(self, fault: Fault) -> None:
        self._order("cut 0.7")
        time.sleep(1)

    def cut_at_commit(self, fault: Fault) -> None:
        self._order("cut-at-commit 40")
        time.sleep(fault.lasts)
        self._order("cut-at-commit 0")

    def cut_before_commit(self, fault: Fault) -> None:
        self._order("cut-before-commit 15")
        time.sleep(fault.lasts)
        self._order("cut-before-commit 0")

    def fill_disk(self, fault: Fault) -> None:
        """Fill the disk of the database completely. If the database server ends, start it when there is space again."""
        assert self.small_disk is not None
        filler = self.small_disk / "filler"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 1_000_000)
                    file.flush()
            except OSError:
                pass
        try:
            time.sleep(fault.lasts)
        finally:
            filler.unlink(missing_ok=True)
        if self.server is None:
            return
        if self.server.process is not None and self.server.process.poll() is not None:
            fault.note = "PostgreSQL ended itself"
            fault.over = self.server.start()
        else:
            fault.over = self.server.wait_until_up()

    def lock_sqlite(self, fault: Fault) -> None:
        """Hold SQLite's write lock for some seconds, as a copy program or a careless operator might."""
        path = Path(self.installation.env["DATA_DIR"]) / "lockbox.sqlite3"
        holder = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            holder.execute("BEGIN IMMEDIATE")
            self._probe(fault)
            time.sleep(fault.lasts)
            holder.execute("ROLLBACK")
        finally:
            holder.close()


_HAPPENS: dict[str, Callable[[Weather, Fault], None]] = {
    "kill one web worker": Weather.kill_one_worker,
    "freeze one web worker": Weather.freeze_one_worker,
    "kill all web workers": Weather.kill_all_workers,
    "kill the web master": Weather.kill_master,
    "kill the supervisor": Weather.kill_supervisor,
    "kill the cluster": Weather.kill_cluster,
    "freeze the cluster": Weather.freeze_cluster,
    "kill an idle worker": Weather.kill_idle_worker,
    "kill the beat": Weather.kill_beat,
    "mail server hangs": lambda weather, fault: weather.mail_is("hang")(fault),
    "mail server cuts": lambda weather, fault: weather.mail_is("deaf")(fault),
    "mail server puts off": lambda weather, fault: weather.mail_is("busy")(fault),
    "webhook receiver is hostile": lambda weather, fault: weather.hooks_are("endless")(fault),
    "webhook receiver cuts": lambda weather, fault: weather.hooks_are("cut")(fault),
    "PostgreSQL crashes": Weather.crash,
    "PostgreSQL restarts": Weather.restart,
    "PostgreSQL hangs": Weather.hang,
    "network hangs": Weather.network_hangs,
    "sessions are ended": Weather.end_sessions,
    "connections are cut": Weather.cut,
    "cut at COMMIT's answer": Weather.cut_at_commit,
    "cut before COMMIT": Weather.cut_before_commit,
    "the disk is full": Weather.fill_disk,
    "SQLite is locked": Weather.lock_sqlite,
}


def start_proxy(port: int, server_port: int) -> subprocess.Popen[str]:
    program = str(Path(__file__).with_name("proxy.py"))
    process = subprocess.Popen(
        [sys.executable, program, str(port), str(server_port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    # Only this thread reads the output from now on, so that the pipe never fills.
    threading.Thread(target=lambda: list(process.stdout or ()), daemon=True).start()
    return process
