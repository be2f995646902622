"""A long log is checked with a second process. It finds the same as one process, and its end spoils nothing."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from audit_app import batches, checkpoints, second_process, verify
from audit_app.entry_checks import StoredBatch
from audit_app.models import AuditEntry
from audit_app.second_process import NoAnswer, SecondProcess
from audit_app.verify import Verdict, Verification
from tests.audit.test_checkpoints import AT, TENANT, append, meddle, uuid_sql

pytestmark = [pytest.mark.dialect, pytest.mark.django_db]

STEP = 20


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[SecondProcess]:
    """Use a second process for any log. Return those that are started."""
    found: list[SecondProcess] = []
    begin = SecondProcess.__init__

    def noted(self: SecondProcess) -> None:
        begin(self)
        found.append(self)

    monkeypatch.setattr(SecondProcess, "__init__", noted)
    monkeypatch.setattr(verify, "MANY", 2)
    monkeypatch.setattr(second_process, "is_of_use", lambda: True)
    return found


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    found: list[bool] = []
    answer = SecondProcess.answer

    def noted(self: SecondProcess) -> bool:
        found.append(answer(self))
        return found[-1]

    monkeypatch.setattr(SecondProcess, "answer", noted)
    return found


def checked(*, alone: bool, step: Callable[[Verification], int] = lambda found: STEP) -> tuple[Verdict, int]:
    """Return the verdict, and where the check ended."""
    found = Verification.begin(TENANT)
    found._is_alone = alone
    while not found.has_ended:
        found.advance(step(found))
    return Verdict(TENANT, found.size, found.flaw), found.seq


def signed(*sizes: int) -> None:
    for before, size in zip((0, *sizes), sizes, strict=False):
        append(size - before)
        checkpoints.sign(TENANT, at=AT)


def are_over(processes: list[SecondProcess]) -> bool:
    return all(each._process.returncode is not None for each in processes)


def test_a_good_log_is_judged_by_the_second_process(
    processes: list[SecondProcess], answers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    signed(35, 90)
    monkeypatch.setattr(verify.entry_checks, "is_good", None)
    monkeypatch.setattr(verify, "flaws_of", None)
    assert checked(alone=False)[0] == Verdict(TENANT, AuditEntry.objects.count(), None)
    assert answers == [True] * 5
    assert len(processes) == 1
    assert are_over(processes)


_ENTRIES = "UPDATE audit_app_auditentry SET {} WHERE tenant_id = %s AND seq = %s"


@pytest.mark.parametrize("seq", [0, 19, 20, 39, 40, 59, 80, 89])
def test_each_fault_is_found_as_by_one_process(seq: int, processes: list[SecondProcess]) -> None:
    signed(20, 39, 90)
    tenant = uuid_sql(TENANT)
    faults: list[tuple[str, list[Any], str]] = [
        (_ENTRIES.format("door = %s"), ["api", tenant, seq], "the column door"),
        (_ENTRIES.format("leaf_hash = %s"), [bytes(32), tenant, seq], "the hash"),
        (_ENTRIES.format("canonical = %s"), [b"{}", tenant, seq], "the hash"),
        (_ENTRIES.format("seq = %s"), [1000, tenant, seq], "missing"),
        ("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq = %s", [tenant, seq], "missing"),
    ]
    for statement, values, why in faults:
        stored = AuditEntry.objects.get(seq=seq)
        meddle(statement, *values)
        expected = checked(alone=True)
        assert expected[0].flaw is not None
        assert expected[0].flaw.seq == seq
        assert why in expected[0].flaw.why
        assert checked(alone=False) == expected
        meddle("DELETE FROM audit_app_auditentry WHERE id = %s", stored.pk)
        stored.save(force_insert=True)
    assert checked(alone=False) == checked(alone=True)
    assert are_over(processes)


@pytest.mark.parametrize("size", [20, 39, 90])
def test_another_signed_root_is_found_as_by_one_process(size: int, processes: list[SecondProcess]) -> None:
    signed(20, 39, 90)
    meddle("UPDATE audit_app_checkpoint SET root = %s WHERE size = %s", bytes(32), size)
    expected = checked(alone=True)
    assert expected[0].flaw is not None
    assert checked(alone=False) == expected


def test_two_faults_are_found_in_their_order(processes: list[SecondProcess]) -> None:
    signed(90)
    for seq in (41, 33):
        meddle(_ENTRIES.format("door = %s"), "api", uuid_sql(TENANT), seq)
    flaw = checked(alone=False)[0].flaw
    assert flaw is not None
    assert flaw.seq == 33


def test_good_entries_that_are_hard_to_judge_do_not_end_the_check(
    processes: list[SecondProcess], answers: list[bool]
) -> None:
    append(90)
    body = bytes(AuditEntry.objects.get(seq=45).canonical).replace(b'"v":1', b'"v":2')
    leaf = verify.entry_checks.leaves_of([body])[0]
    meddle("UPDATE audit_app_auditentry SET canonical = %s, leaf_hash = %s WHERE seq = 45", body, leaf)
    assert checked(alone=False)[0].is_good
    assert answers == [True, True, False, True, True]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("has_fault", [False, True])
def test_a_second_process_that_ends_or_stops_spoils_nothing(
    number: int, has_fault: bool, processes: list[SecondProcess], answers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    signed(90)
    if has_fault:
        meddle(_ENTRIES.format("door = %s"), "api", uuid_sql(TENANT), 70)

    def step(found: Verification) -> int:
        if found.seq == 20:
            os.kill(processes[0]._process.pid, number)
            monkeypatch.setattr(second_process, "PATIENCE", 0.2)
        return STEP

    assert checked(alone=False, step=step) == checked(alone=True)
    assert 1 <= len(answers) < 5
    assert (len(processes), are_over(processes)) == (1, True)


def test_a_batch_that_a_stopped_process_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_process, "PATIENCE", 0.2)
    nothing = StoredBatch(*[()] * len(StoredBatch._fields))
    batch = nothing._replace(bodies=(bytes(5_000_000),), leaf_hashes=(bytes(32),))
    process = SecondProcess()
    try:
        os.kill(process._process.pid, signal.SIGSTOP)
        with pytest.raises(NoAnswer):
            process.send(batch, TENANT, 0, "")
    finally:
        process.close()
    assert are_over([process])


def test_a_batch_that_is_longer_than_the_pipe_arrives_whole() -> None:
    append(2)
    batch = batches.read(TENANT, 0, 2)
    long = batch._replace(bodies=(batch.bodies[0], bytes(5_000_000)))
    process = SecondProcess()
    try:
        for each in (batch, long, batch):
            process.send(each, TENANT, 0, "")
        assert [process.answer() for _ in range(3)] == [True, False, True]
    finally:
        process.close()


def test_steps_of_another_length_are_checked_by_one_process(processes: list[SecondProcess]) -> None:
    signed(90)
    assert checked(alone=False, step=lambda found: STEP + found.seq) == checked(alone=True)
    assert are_over(processes)


def test_a_machine_with_one_core_uses_no_second_process(
    processes: list[SecondProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_process, "is_of_use", lambda: False)
    append(90)
    assert checked(alone=False)[0].is_good
    assert processes == []


def test_a_short_log_uses_no_second_process(processes: list[SecondProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    append(90)
    monkeypatch.setattr(verify, "MANY", 91)
    assert checked(alone=False)[0].is_good
    assert processes == []


def test_a_machine_that_starts_no_process_checks_with_one(
    processes: list[SecondProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_process.sys, "executable", "/nowhere/python")
    append(90)
    assert checked(alone=False)[0].is_good
    assert processes == []


def test_an_abandoned_check_ends_its_process(processes: list[SecondProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    append(2100)

    def stop(seq: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify.verify(TENANT, progress=stop)
    assert len(processes) == 1
    assert are_over(processes)
