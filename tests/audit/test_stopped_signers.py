"""Two signers as real processes: one is stopped at any moment (SIGSTOP), the other signs, the first continues."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from audit_app.models import SignerLease
from requests_app.domain import clock
from tests import object_store
from tests.audit.signers import TAKEN_OVER, TENANTS, Signers, load, offences, require_sound
from tests.audit.test_checkpoints import append

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(1800),
]

#: Seconds of a lease in these tests, and of the interval in which an idle log is dated.
LEASE, HEARTBEAT = 0.5, 1
#: How often a signer is stopped.
STOPS = 200 if os.environ.get("DEEP") else 12


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


@pytest.fixture
def signers(tmp_path: Path, place: dict[str, Any]) -> Iterator[Signers]:
    append(1, tenant=TENANTS[2], at=clock.now())
    both = Signers(tmp_path, place)
    try:
        yield both
    finally:
        both.end()


def stop_and_continue(signers: Signers, stops: int, *, seconds: float = TAKEN_OVER) -> list[float]:
    """Stop the signer that has the lease at a random moment, until the other has signed. Return how long that took."""
    waits = []
    for _ in range(stops):
        first = stop_in_its_turn(signers)
        other = "b" if first == "a" else "a"
        waits.append(signers.wait_until_it_signs(other, seconds=seconds))
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


def test_signers_that_are_stopped_continued_and_killed_never_sign_two_checkpoints_that_do_not_fit(
    signers: Signers,
) -> None:
    with load():
        waits = stop_and_continue(signers, STOPS)
        first = SignerLease.objects.get().host
        other = "b" if first == "a" else "a"
        signers.send(first, signal.SIGKILL)
        signers.processes.pop(first).wait()
        waits.append(signers.wait_until_it_signs(other))
    assert max(waits) < TAKEN_OVER
    assert min(signers.count("a"), signers.count("b")) > STOPS / 3
    # What a stopped signer leaves behind is no reason for an alarm either.
    require_sound(signers)


@pytest.mark.deep
@pytest.mark.parametrize("place", ["directory"], indirect=True)
def test_signers_that_overwrite_each_others_heads_are_found(tmp_path: Path, place: dict[str, Any]) -> None:
    """Without compare-and-set, the test above fails."""
    both = Signers(tmp_path, place, SIGNER_OVERWRITES="yes")
    try:
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
