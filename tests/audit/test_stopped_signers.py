"""Two signers as real processes: one is stopped at any moment (SIGSTOP), the other signs, the first continues."""

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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection

from audit_app import checkpoints, heads, keys, log_name, proofs, signing_round, tree
from audit_app.models import Checkpoint, LogAlarm, SignerLease
from audit_app.notes import Head, Note
from requests_app.domain import clock
from tests import object_store
from tests.audit.test_checkpoints import append, leaves

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(1800),
]

TENANTS = [UUID(int=number) for number in (1, 2, 3)]
#: Seconds of a lease in these tests, and of the interval in which an idle log is dated.
LEASE, HEARTBEAT = 0.5, 1
#: How often a signer is stopped.
STOPS = 200 if os.environ.get("DEEP") else 12
#: Seconds after which the work of a lost host must have been taken over.
TAKEN_OVER = 60


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Yield the settings of a place that two hosts share, and use it in this process too."""
    chosen: dict[str, Any] = {"LOG_LEASE_SECONDS": LEASE, "LOG_HEARTBEAT_SECONDS": HEARTBEAT}
    with object_store.seaweedfs() if request.param == "bucket" else _nothing() as endpoint:
        if endpoint:
            chosen |= object_store.settings_of(endpoint) | {"LOG_HEADS": f"s3://{object_store.BUCKET}/log"}
        else:
            (tmp_path / "heads").mkdir()
            chosen["LOG_HEADS"] = f"dir://{tmp_path}/heads"
        for name, value in chosen.items():
            monkeypatch.setattr(settings, name, value)
        yield chosen


@contextmanager
def _nothing() -> Iterator[str]:
    yield ""


class Signers:
    """Two processes that sign, with one journal."""

    def __init__(self, folder: Path, chosen: dict[str, Any], **more: str) -> None:
        self.journal = folder / "journal"
        self.chosen, self.more = chosen, more
        self.processes = {name: self._started(name) for name in ("a", "b")}

    def _started(self, name: str) -> subprocess.Popen[bytes]:
        of = connection.settings_dict
        where = f"{of['USER']}:{of['PASSWORD']}@{of['HOST']}:{of['PORT']}/{of['NAME']}"
        env = {
            **os.environ,
            "DATABASE_URL": f"postgres://{where}",
            "SIGNER_SETTINGS": json.dumps(self.chosen),
            "SIGNER_KEY": settings.LOG_KEY or Path(settings.LOG_KEY_FILE).read_text(),
            **self.more,
        }
        command = [sys.executable, "-m", "tests.audit.signer_process", name, str(self.journal)]
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

    def end(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@pytest.fixture
def signers(tmp_path: Path, place: dict[str, Any]) -> Iterator[Signers]:
    append(1, tenant=TENANTS[2], at=clock.now())
    both = Signers(tmp_path, place)
    try:
        both.wait_for(lambda: both.count("a", "started") + both.count("b", "started") == 2)
        yield both
    finally:
        both.end()


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


def stop_and_continue(signers: Signers, stops: int, *, seconds: float = TAKEN_OVER) -> list[float]:
    """Stop the signer that has the lease at a random moment, until the other has signed. Return how long that took."""
    waits = []
    for _ in range(stops):
        first = stop_in_its_turn(signers)
        other = "b" if first == "a" else "a"
        done = signers.count(other)
        waits.append(signers.wait_for(lambda done=done, other=other: signers.count(other) > done + 2, seconds=seconds))
        signers.send(first, signal.SIGCONT)
    return waits


def stop_in_its_turn(signers: Signers) -> str:
    """Stop a signer that has the lease, and return its name. The other must wait until this lease has ended."""
    while True:
        time.sleep(random.uniform(0, 0.15))
        row = SignerLease.objects.first()
        first = row.host if row else "a"
        signers.send(first, signal.SIGSTOP)
        row = SignerLease.objects.first()
        if row is not None and (row.host, row.released_at) == (first, None):
            return first
        signers.send(first, signal.SIGCONT)


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


def test_signers_that_are_stopped_continued_and_killed_never_sign_two_checkpoints_that_do_not_fit(
    signers: Signers,
) -> None:
    with load():
        waits = stop_and_continue(signers, STOPS)
        first = SignerLease.objects.get().host
        other = "b" if first == "a" else "a"
        signers.send(first, signal.SIGKILL)
        done = signers.count(other)
        signers.processes.pop(first).wait()
        waits.append(signers.wait_for(lambda: signers.count(other) > done + 2))
    lines = signers.lines()
    signers.end()
    assert max(waits) < TAKEN_OVER
    assert min(signers.count("a"), signers.count("b")) > STOPS / 3
    # No log is refused: what a stopped signer leaves behind is no reason for an alarm.
    assert not [line for line in lines if line["what"] == "trouble" and line.get("refused")]
    assert offences(lines) == []
    _sign_the_rest()
    judge(lines)
    for tenant in TENANTS:
        state = checkpoints.state(tenant)
        assert heads.get(state.origin).head.size == state.checkpoint.size
    assert not LogAlarm.objects.exists()


def _sign_the_rest() -> None:
    """Sign what is left, when the lease of the killed processes has ended."""
    until = time.monotonic() + TAKEN_OVER
    while any(checkpoints.state(tenant).unsigned for tenant in TENANTS):
        assert time.monotonic() < until
        signing_round.work(clock.now, limit=100)
        time.sleep(0.05)


@pytest.mark.deep
@pytest.mark.parametrize("place", ["directory"], indirect=True)
def test_signers_that_overwrite_each_others_heads_are_found(tmp_path: Path, place: dict[str, Any]) -> None:
    """Without compare-and-set, the test above fails."""
    both = Signers(tmp_path, place, SIGNER_OVERWRITES="yes")
    try:
        both.wait_for(lambda: both.count("a", "started") + both.count("b", "started") == 2)
        with load():
            for _ in range(200):
                # A head that went back is noticed at the next reading, so the log is refused, and the wait fails.
                with suppress(AssertionError):
                    stop_and_continue(both, 1, seconds=5)
                if any("went back" in each for each in offences(both.lines())):
                    break
        assert [each for each in offences(both.lines()) if "went back" in each]
    finally:
        both.end()
