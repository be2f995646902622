"""A customer's witness runs as a separate process. The product's task asks it to cosign."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from audit_app import checkpoints, keys, notes, proofs, witnesses
from audit_app.models import AuditEntry, Checkpoint, Cosignature, Witness
from audit_app.notes import Head, Note, Verifier
from requests_app import operations, tasks
from requests_app.domain.errors import LogNotCosigned
from requests_app.models import AccessRequest, Grant
from tests.audit.test_checkpoints import meddle
from tests.cast import Cast
from tests.witness import sign

pytestmark = pytest.mark.django_db

PROGRAM = Path(settings.BASE_DIR) / "verify" / "lockbox_verify.py"
NAME = "witness.contoso.example"


class Process:
    """`lockbox_verify.py witness`, started with the commands that the page about witnesses shows."""

    def __init__(self, folder: Path, log: Verifier) -> None:
        self.folder, self.log = folder, log
        made = self._run("witness-key", "--name", NAME, "--key-file", "witness.key")
        found = re.search(rf"{re.escape(NAME)}\+[0-9a-f]{{8}}\+\S+", made.stdout)
        assert found, made
        self.vkey = found[0]
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROGRAM), *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=30, check=True)

    def start(self) -> None:
        command = [sys.executable, str(PROGRAM), "witness", "--name", NAME, "--key-file", "witness.key"]
        command += ["--state", "witness.sqlite3", "--log", str(self.log), "--listen", f"127.0.0.1:{self.port}"]
        with (self.folder / "diary").open("a+") as diary:
            start = diary.seek(0, 2)
            self.process = subprocess.Popen(command, cwd=self.folder, stderr=diary, text=True)
        for _ in range(200):
            output = (self.folder / "diary").read_text()[start:]
            if found := re.search(r"listens on 127\.0\.0\.1:(\d+)", output):
                self.port = int(found[1])
                return
            assert self.process.poll() is None, output
            time.sleep(0.05)
        raise AssertionError("the witness does not listen")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=120)
            self.process = None

    def forget(self) -> None:
        """Delete everything that the witness has stored about the log."""
        (self.folder / "witness.sqlite3").unlink()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@pytest.fixture
def start(cast: Cast, tmp_path: Path, settings: Any) -> Iterator[Callable[[], Process]]:
    settings.WITNESS_PRIVATE_NETWORK = True
    cast.ticket()
    sign(cast.contoso.pk)
    started: list[Process] = []

    def run() -> Process:
        origin = checkpoints.origin_of(cast.contoso.pk, 0)
        process = Process(tmp_path, keys.log_key(origin, keys.load().publics[0]))
        process.start()
        started.append(process)
        return process

    yield run
    for process in started:
        process.stop()


def register(cast: Cast, process: Process) -> None:
    operations.add_witness(cast.contoso.pk, vkey=process.vkey, url=process.url, actor=cast.as_("ines"))
    sign(cast.contoso.pk)


def due() -> None:
    """Make the witness due now, in spite of the wait after a failure."""
    Witness.objects.update(due_at=AuditEntry.objects.order_by("at").values("at")[:1])


@pytest.mark.slow
def test_windows_open_while_it_cosigns_and_no_longer(cast: Cast, start: Any, travel: Any) -> None:
    process = start()
    register(cast, process)
    assert tasks.cosign() == 1
    operations.set_cosigning(cast.contoso.pk, hours=6, actor=cast.as_("ines"))
    rows = [cast.confirmed(), cast.confirmed()]
    sign(cast.contoso.pk)
    assert tasks.cosign() == 1

    checkpoint = checkpoints.newest(cast.contoso.pk, 0)
    assert checkpoint is not None
    verifier = Verifier.parse(process.vkey)
    assert len(Note.parse(str(proofs.cosigned(checkpoint))).times(verifier)) == 1
    assert Cosignature.objects.filter(vkey=process.vkey).count() == 2
    [standing] = witnesses.of(checkpoints.state(cast.contoso.pk))
    assert (standing.size, standing.behind, standing.problem) == (checkpoint.size, 0, "")
    assert operations.approve_as_customer(rows[0].pk, actor=cast.as_("ada")).state == "OPEN"

    process.stop()
    travel.by(hours=6, minutes=1)
    assert tasks.cosign() == 1
    assert Witness.objects.get().problem == "unreachable"
    with pytest.raises(LogNotCosigned):
        operations.approve_as_customer(rows[1].pk, actor=cast.as_("ada"))
    assert AccessRequest.objects.get(pk=rows[1].pk).state == "PENDING_CUSTOMER"
    assert Grant.objects.count() == 1

    # The process uses the real time.
    travel.back()
    process.start()
    due()
    assert tasks.cosign() == 1
    assert Witness.objects.get().problem == ""


@pytest.mark.slow
def test_a_witness_refuses_a_log_without_a_configured_key(cast: Cast, start: Any) -> None:
    process = start()
    cast.ticket("fabrikam", by="fred")
    operations.add_witness(cast.fabrikam.pk, vkey=process.vkey, url=process.url, actor=cast.as_("finn"))
    sign(cast.fabrikam.pk)
    assert tasks.cosign() == 1
    assert Witness.objects.get().problem == "unknown_log"
    assert Cosignature.objects.count() == 0


@pytest.mark.slow
def test_a_witness_notices_a_cut_and_a_forked_log(cast: Cast, start: Any) -> None:
    process = start()
    register(cast, process)
    tasks.cosign()
    seen = Checkpoint.objects.get(size=2)
    # The witness does not change. It is shown a fork of the log: the same size with another root.
    forged = Note.parse(seen.note).text.splitlines()
    origin, size = forged[0], forged[1]
    assert (origin, size) == (checkpoints.origin_of(cast.contoso.pk, 0), "2")
    other = _signed(origin, 2)
    Checkpoint.objects.filter(pk=seen.pk).update(note=other)
    due()
    assert tasks.cosign() == 1
    assert Witness.objects.get().problem == "other_root"
    # Then it is shown a log that is shorter than the one that it has cosigned.
    Checkpoint.objects.filter(pk=seen.pk).update(note=seen.note)
    for _ in range(3):
        cast.ticket()
    sign(cast.contoso.pk)
    due()
    tasks.cosign()
    assert Witness.objects.get().problem == ""
    _forget_checkpoints_above(2)
    due()
    assert tasks.cosign() == 1
    assert Witness.objects.get().problem == "longer 5"
    assert witnesses.of(checkpoints.state(cast.contoso.pk))[0].is_alarm


@pytest.mark.slow
def test_a_witness_that_lost_its_state_begins_again(cast: Cast, start: Any) -> None:
    process = start()
    register(cast, process)
    tasks.cosign()
    process.stop()
    process.forget()
    process.start()
    cast.ticket()
    sign(cast.contoso.pk)
    assert tasks.cosign() == 1
    assert Witness.objects.get().problem == ""
    assert Witness.objects.get().held_size == 3


def _signed(origin: str, size: int) -> str:
    """Return a checkpoint of another tree with this size, signed with the log's key. A dishonest log could make it."""
    text = Head(origin, size, bytes(range(32))).text
    return str(Note(text, (notes.sign(text, origin, keys.load().current),)))


def _forget_checkpoints_above(size: int) -> None:
    """Delete the checkpoints above this size, as if an earlier backup had been restored."""
    above = "SELECT id FROM audit_app_checkpoint WHERE size > %s"
    meddle(f"DELETE FROM audit_app_cosignature WHERE checkpoint_id IN ({above})", size)
    meddle("DELETE FROM audit_app_checkpoint WHERE size > %s", size)


@pytest.mark.slow
def test_reading_the_state_neither_waits_for_a_cosigning_nor_delays_it(cast: Cast, start: Any) -> None:
    process = start()
    register(cast, process)
    assert tasks.cosign() == 1
    state = sqlite3.connect(process.folder / "witness.sqlite3", isolation_level=None)
    try:
        state.execute("BEGIN IMMEDIATE")  # as in the middle of a cosignature
        with urllib.request.urlopen(f"{process.url}status", timeout=5) as answer:
            assert checkpoints.origin_of(cast.contoso.pk, 0) in answer.read().decode()
    finally:
        state.close()
