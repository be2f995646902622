"""`verify_audit`: its output for each log, and its exit status."""

import datetime as dt
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from audit_app import checkpoints
from tests.audit import care
from tests.audit.test_checkpoints import AT, TENANT, append, cut_to, meddle, uuid_sql

pytestmark = pytest.mark.django_db

OTHER = UUID(int=5)


def lines(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> list[str]:
    if status:
        with pytest.raises(SystemExit) as end:
            call_command("verify_audit", *words)
        assert end.value.code == status
    else:
        call_command("verify_audit", *words)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("words", [(), ("--all",)])
def test_each_log_has_a_line_with_its_size_and_how_far_it_is_signed(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    append(40)
    checkpoints.sign(TENANT, at=AT)
    append(2)
    append(3, tenant=OTHER)
    assert lines(capsys, *words) == [
        f"{OTHER}          3 entries  good  (0 signed)",
        f"{TENANT}         42 entries  good  (40 signed)",
        "2 logs, 0 bad",
    ]


def test_one_log_is_verified_alone(capsys: pytest.CaptureFixture[str]) -> None:
    append(2)
    append(3, tenant=OTHER)
    assert lines(capsys, "--tenant", str(OTHER))[-1] == "1 logs, 0 bad"
    with pytest.raises(CommandError) as caught:
        call_command("verify_audit", "--tenant", str(uuid4()))
    assert caught.value.returncode == 2


def test_a_bad_log_among_good_ones_is_named_with_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    append(2, tenant=OTHER)
    append(40)
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq = 20", uuid_sql(TENANT))
    found = lines(capsys, status=1)
    assert found[1].startswith(f"{TENANT}         40 entries  BAD  {TENANT} entry 20: missing")
    assert found[-1] == "2 logs, 1 bad"


def test_a_log_that_was_set_back_is_bad_although_it_agrees_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    append(5)
    checkpoints.sign(TENANT, at=AT)
    cut_to(10)
    assert (
        lines(capsys, status=1)[0] == f"{TENANT}         10 entries  BAD  missing: 15 entries were signed  (10 signed)"
    )
    Path(settings.LOG_HEADS_FILE).unlink()
    assert lines(capsys)[0] == f"{TENANT}         10 entries  good  (10 signed)", (
        "a machine without the file can't know"
    )


def test_a_log_that_the_signer_refuses_is_bad(capsys: pytest.CaptureFixture[str]) -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    Path(settings.LOG_HEADS_FILE).unlink()
    append(1)
    with pytest.raises(checkpoints.Refusal):
        checkpoints.sign(TENANT, at=AT)
    assert "BAD  the signer refuses it: outside_behind" in lines(capsys, status=1)[0]


def test_parts_and_removed_entries_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    care.tombstone(TENANT, at=AT)
    append(18, at=AT + dt.timedelta(days=1))
    checkpoints.sign(TENANT, at=AT)
    care.prune(TENANT, 15)
    checkpoints.sign(TENANT, at=AT)
    assert lines(capsys)[0] == (
        f"{TENANT}         30 entries  good  "
        "(20 signed of part 2; part 1 was closed, not checked; those before 15 were removed)"
    )
