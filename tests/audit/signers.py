"""Signers as real processes, with one journal, and the judgement of all that they have signed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from audit_app import checkpoints, heads, keys, log_name, proofs, signing_round, tree
from audit_app.models import Checkpoint, LogAlarm
from audit_app.notes import Head, Note
from requests_app.domain import clock
from tests.audit.test_checkpoints import append, leaves

TENANTS = [UUID(int=number) for number in (1, 2, 3)]
#: Seconds after which the work of a lost host must have been taken over.
TAKEN_OVER = 60


@dataclass(frozen=True)
class Reach:
    """How one signer reaches the database and the store: by other addresses, or in a network namespace."""

    database: str
    chosen: dict[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()


class Signers:
    """Two processes that sign, with one journal."""

    def __init__(
        self, folder: Path, chosen: dict[str, Any], reach: dict[str, Reach] | None = None, **more: str
    ) -> None:
        self.journal = folder / "journal"
        self.chosen, self.more = chosen, more
        of = connection.settings_dict
        direct = Reach(f"{of['HOST']}:{of['PORT']}")
        self.processes = {name: self._started(name, (reach or {}).get(name, direct)) for name in ("a", "b")}
        self.wait_for(lambda: self.count("a", "started") + self.count("b", "started") == 2)

    def _started(self, name: str, reach: Reach) -> subprocess.Popen[bytes]:
        of = connection.settings_dict
        env = {
            **os.environ,
            "DATABASE_URL": f"postgres://{of['USER']}:{of['PASSWORD']}@{reach.database}/{of['NAME']}",
            "SIGNER_SETTINGS": json.dumps(self.chosen | reach.chosen),
            "SIGNER_KEY": settings.LOG_KEY or Path(settings.LOG_KEY_FILE).read_text(),
            **self.more,
        }
        command = [*reach.command, sys.executable, "-m", "tests.audit.signer_process", name, str(self.journal)]
        return subprocess.Popen(command, cwd=settings.BASE_DIR, env=env)

    def lines(self) -> list[dict[str, Any]]:
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def count(self, name: str, what: str = "moved") -> int:
        return sum(line["by"] == name and line["what"] == what for line in self.lines())

    def wait_for(self, is_so: Callable[[], bool], *, seconds: float = TAKEN_OVER) -> float:
        start = time.monotonic()
        while not is_so():
            for name, process in self.processes.items():
                assert process.poll() is None, f"signer {name} has ended"
            assert time.monotonic() < start + seconds, self.lines()[-5:]
            time.sleep(0.02)
        return time.monotonic() - start

    def send(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def wait_until_it_signs(self, name: str, *, seconds: float = TAKEN_OVER) -> float:
        done = self.count(name)
        return self.wait_for(lambda: self.count(name) > done + 2, seconds=seconds)

    def end(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@contextmanager
def load() -> Iterator[None]:
    """Append entries to two logs all the time. The third log is idle, so it is only dated."""
    stopping = threading.Event()

    def append_all() -> None:
        try:
            while not stopping.is_set():
                for tenant in TENANTS[:2]:
                    append(random.randint(1, 3), tenant=tenant, at=clock.now())
                stopping.wait(0.02)
        finally:
            connection.close()

    thread = threading.Thread(target=append_all)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def judge(lines: list[dict[str, Any]]) -> None:
    """Every note that was ever signed is good and fits all others, and no head ever went back."""
    known = {checkpoints.origin_of(tenant, 0): leaves(tenant) for tenant in TENANTS}
    public = keys.load().publics[0]
    notes = [line["note"] for line in lines if line["what"] == "signed"]
    notes += Checkpoint.objects.values_list("note", flat=True)
    for raw in notes:
        note = Note.parse(raw)
        head = Head.parse(note.text)
        assert head.root == tree.root_of(known[head.origin][: head.size])
        assert note.times(keys.log_key(head.origin, public)) == [None]
        assert note.times(log_name.clock_key(public))[0]
    for tenant in TENANTS:
        rows = list(Checkpoint.objects.filter(tenant_id=tenant).order_by("pk"))
        assert [row.size for row in rows] == sorted({row.size for row in rows})
        for older, newer in zip(rows, rows[1:], strict=False):
            assert proofs.consistency(older, newer) is not None
            assert older.signed_at <= newer.signed_at


def offences(lines: list[dict[str, Any]]) -> list[str]:
    """Return the generations that two signers have moved to, and those whose size is smaller than the one before."""
    moves: dict[str, dict[int, int]] = {}
    found = []
    for line in lines:
        if line["what"] == "moved":
            seen = moves.setdefault(line["origin"], {})
            if line["generation"] in seen:
                found.append(f"generation {line['generation']} of {line['origin']} twice")
            seen[line["generation"]] = line["size"]
    for origin, seen in moves.items():
        sizes = [seen[generation] for generation in sorted(seen)]
        found += [f"{origin} went back" for before, after in zip(sizes, sizes[1:], strict=False) if after < before]
    return found


def sign_the_rest() -> None:
    """Sign what is left, when the lease of the killed processes has ended."""
    until = time.monotonic() + TAKEN_OVER
    while any(checkpoints.state(tenant).unsigned for tenant in TENANTS):
        assert time.monotonic() < until
        signing_round.work(clock.now, limit=100)
        time.sleep(0.05)


def require_sound(signers: Signers) -> None:
    """End the signers. All that they signed fits, no log was refused, and what is left can be signed."""
    lines = signers.lines()
    signers.end()
    assert not [line for line in lines if line["what"] == "trouble" and line.get("refused")]
    assert offences(lines) == []
    sign_the_rest()
    judge(lines)
    for tenant in TENANTS:
        state = checkpoints.state(tenant)
        assert heads.get(state.origin).head.size == state.checkpoint.size
    assert not LogAlarm.objects.exists()
