"""Checks of a log that people request: one at a time, in steps, even if workers are killed at any point."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.db.utils import OperationalError

from audit_app import checkpoints, recorder, second_process
from audit_app.models import AuditEntry, LogCheck
from audit_app.verify import Verification
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.errors import NotAllowed, NotFound, StoreUnavailable, WrongState
from requests_app.models import TaskAttempt, Tenant
from requests_app.operations import checks
from requests_app.platform import bell
from tests.audit.test_checkpoints import meddle
from tests.cast import Cast
from tests.web.pages import nothing_happens

pytestmark = pytest.mark.django_db


def filled(cast: Cast, count: int, tenant: str = "contoso") -> None:
    entry = recorder.Witnessed(
        tenant_id=getattr(cast, tenant).pk,
        event="ticket.commented",
        door="pages",
        actor={"kind": "person", "id": str(cast.mia.pk), "name": "Mia", "side": "customer", "email": "m@c.example"},
        subject_type="ticket",
        subject_id="1",
    )
    with transaction.atomic():
        recorder.record([entry] * count, at=clock.now())


def started_check(cast: Cast, by: str = "otto", tenant: str = "contoso") -> LogCheck:
    check, is_new = operations.ask_for_check(getattr(cast, tenant).pk, actor=cast.as_(by))
    assert is_new
    return check


def done() -> int:
    rounds = 0
    while checks.work_off_check():
        rounds += 1
    return rounds


def verdict(check: LogCheck) -> tuple[bool, int, int | None, str]:
    check.refresh_from_db()
    return check.ended_at is not None, check.done, check.flaw_seq, check.flaw


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each step check two entries, and each slice do one step."""
    monkeypatch.setattr(checks, "STEP", 2)
    monkeypatch.setattr(checks, "KEEP_EVERY", 0.0)
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(clock, "monotonic", lambda: next(ticks) * checks.SLICE / 2)


# --- Starting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ada", "alan", "otto", "ines", "stella"])
def test_a_reader_of_the_log_can_ask_for_a_check(cast: Cast, name: str) -> None:
    filled(cast, 3)
    with nothing_happens():
        check = started_check(cast, name)
        assert done() == 1
    assert check.asked_by == cast.people[name].pk
    assert verdict(check) == (True, 3, None, "")


def test_nobody_else_has_it_checked(cast: Cast) -> None:
    filled(cast, 3)
    with nothing_happens():
        for name, refusal in (("mia", NotAllowed), ("frida", NotFound), ("priya", NotAllowed), ("pat", NotAllowed)):
            with pytest.raises(refusal):
                operations.ask_for_check(cast.contoso.pk, actor=cast.as_(name))
    assert not LogCheck.objects.exists()


def test_an_empty_log_has_nothing_to_check(cast: Cast) -> None:
    with pytest.raises(WrongState, match="The log is empty"):
        operations.ask_for_check(cast.contoso.pk, actor=cast.as_("otto"))
    assert not LogCheck.objects.exists()


def test_a_second_click_gets_the_check_that_runs(cast: Cast) -> None:
    filled(cast, 3)
    filled(cast, 3, "fabrikam")
    first = started_check(cast)
    assert operations.ask_for_check(cast.contoso.pk, actor=cast.as_("ada")) == (first, False)
    # Another tenant's check does not count.
    started_check(cast, "fatima", "fabrikam")
    assert LogCheck.objects.count() == 2


def test_a_check_that_has_just_ended_is_not_repeated_at_once(cast: Cast, travel: Any) -> None:
    travel.freeze()
    filled(cast, 3)
    first = started_check(cast)
    done()
    travel.by(seconds=29)
    assert operations.ask_for_check(cast.contoso.pk, actor=cast.as_("ada")) == (first, False)
    travel.by(seconds=1)
    second = started_check(cast)
    assert second != first


def test_a_check_that_took_long_rests_as_long(cast: Cast, travel: Any) -> None:
    travel.freeze()
    filled(cast, 3)
    check = started_check(cast)
    travel.by(minutes=10)
    done()
    check.refresh_from_db()
    assert check.ended_at is not None
    assert checks.rests_until(check) == check.ended_at + dt.timedelta(minutes=10)


def test_only_the_newest_verdicts_are_stored(cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "VERDICTS_STORED", 2)
    travel.freeze()
    filled(cast, 1)
    found = []
    for _ in range(4):
        found.append(started_check(cast))
        done()
        travel.by(minutes=1)
    assert list(LogCheck.objects.order_by("asked_at")) == found[-2:]


def test_a_store_that_fails_says_so(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(cast, 1)

    def fails(*_: object, **__: object) -> None:
        raise OperationalError

    monkeypatch.setattr(LogCheck.objects, "create", fails)
    with pytest.raises(StoreUnavailable):
        operations.ask_for_check(cast.contoso.pk, actor=cast.as_("otto"))


def test_asking_rings_the_workers(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    rung: list[str] = []
    monkeypatch.setattr(bell, "_enqueue", rung.append)
    filled(cast, 1)
    with django_capture_on_commit_callbacks(execute=True):
        started_check(cast)
    assert rung == ["requests_app.tasks.check_logs"]


# --- Workers -------------------------------------------------------------------------------------------------


def test_the_task_works_off_all_that_was_asked_for(cast: Cast) -> None:
    filled(cast, 5)
    filled(cast, 7, "fabrikam")
    first, second = started_check(cast), started_check(cast, "fatima", "fabrikam")
    assert tasks.check_logs() == 2
    assert [verdict(check) for check in (first, second)] == [(True, 5, None, ""), (True, 7, None, "")]
    assert tasks.check_logs() == 0


def test_it_checks_the_log_as_it_was_when_the_work_began(cast: Cast) -> None:
    filled(cast, 3)
    check = started_check(cast)
    filled(cast, 2)
    done()
    check.refresh_from_db()
    assert (check.size, check.done) == (5, 5)


@pytest.mark.usefixtures("small_steps")
def test_a_check_continues_step_by_step_and_reports_its_progress(cast: Cast) -> None:
    filled(cast, 9)
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    check, seen = started_check(cast), []
    while checks.work_off_check():
        seen.append(verdict(check)[:2])
    assert seen == [(False, 2), (False, 4), (False, 6), (False, 8), (True, 9)]
    assert verdict(check) == (True, 9, None, "")


@pytest.mark.usefixtures("small_steps")
def test_a_long_check_holds_up_no_other(cast: Cast, travel: Any) -> None:
    travel.freeze()
    filled(cast, 20)
    filled(cast, 1, "fabrikam")
    long = started_check(cast)
    checks.work_off_check()
    travel.by(seconds=1)
    short = started_check(cast, "fatima", "fabrikam")
    checks.work_off_check()
    assert verdict(short)[0]
    assert not verdict(long)[0]


@pytest.mark.usefixtures("small_steps")
def test_a_flaw_far_behind_is_found_after_many_steps(cast: Cast) -> None:
    filled(cast, 9)
    meddle("UPDATE audit_app_auditentry SET actor_name = 'Somebody' WHERE seq = 7")
    check = started_check(cast)
    assert done() == 4
    assert verdict(check) == (True, 7, 7, "the column actor_name says something else than the bytes")


@pytest.mark.usefixtures("small_steps")
def test_another_root_than_the_signed_one_is_found_across_a_pause(cast: Cast) -> None:
    filled(cast, 5)
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    meddle("UPDATE audit_app_checkpoint SET root = %s", bytes(32))
    check = started_check(cast)
    done()
    assert verdict(check)[2:] == (4, "the signed root is another one: an entry up to here was changed")


# --- Killed workers ------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Raised in place of a SIGKILL. No code of the product catches it."""


@pytest.mark.usefixtures("small_steps")
def test_a_killed_workers_check_continues_where_it_was(
    cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    travel.freeze()
    filled(cast, 9)
    check = started_check(cast)
    checks.work_off_check()
    plain = Verification.advance

    def kill(self: Verification, limit: int) -> None:
        raise Killed

    monkeypatch.setattr(Verification, "advance", kill)
    with pytest.raises(Killed):
        checks.work_off_check()
    read: list[int] = []

    def watched(self: Verification, limit: int) -> None:
        read.append(self.seq)
        plain(self, limit)

    monkeypatch.setattr(Verification, "advance", watched)
    # Until the lease has expired, another worker may still be working on the check.
    travel.by(seconds=checks.LEASE.total_seconds() - 1)
    assert checks.work_off_check() == 0
    travel.by(seconds=1)
    assert done() == 4
    assert read[0] == 2
    assert verdict(check) == (True, 9, None, "")


@pytest.mark.usefixtures("small_steps")
def test_a_worker_that_was_thought_dead_leaves_the_check_to_its_successor(
    cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    travel.freeze()
    filled(cast, 9)
    check = started_check(cast)
    plain = Verification.advance

    def slow(self: Verification, limit: int) -> None:
        monkeypatch.setattr(Verification, "advance", plain)
        plain(self, limit)
        travel.by(seconds=checks.LEASE.total_seconds())
        assert done() == 5  # another worker takes over meanwhile, and finishes the check

    monkeypatch.setattr(Verification, "advance", slow)
    assert checks.work_off_check() == 1
    assert verdict(check) == (True, 9, None, "")


def test_a_check_that_breaks_every_worker_is_given_up_and_blocks_nobody(
    cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    travel.freeze()
    filled(cast, 3)
    check = started_check(cast)

    def breaks(self: Verification, limit: int) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(Verification, "advance", breaks)
        for _ in range(checks.MOST_TRIES):
            with pytest.raises(RuntimeError):
                checks.work_off_check()
            travel.by(seconds=checks.LEASE.total_seconds())
    assert checks.work_off_check() == 0
    assert verdict(check) == (True, 0, None, checks.GIVEN_UP)
    travel.by(minutes=11)
    second = started_check(cast)
    done()
    assert verdict(second) == (True, 3, None, "")


def test_a_lost_ring_is_made_good_by_the_schedule(cast: Cast) -> None:
    from requests_app.work import schedules

    assert bell.CHECK_LOGS in {periodic.func for periodic in schedules.PERIODIC}


def test_a_check_leaves_nothing_but_its_verdict(cast: Cast) -> None:
    filled(cast, 3)
    entries = list(AuditEntry.objects.values_list("pk", flat=True))
    started_check(cast)
    tasks.check_logs()
    assert list(AuditEntry.objects.values_list("pk", flat=True)) == entries
    assert not TaskAttempt.objects.exists()
    assert Tenant.objects.get(pk=cast.contoso.pk).name == "Contoso"


def test_a_worker_that_waits_for_a_stopped_process_still_has_its_lease_and_its_task() -> None:
    waits = checks.SLICE + second_process.PATIENCE
    assert waits < checks.LEASE.total_seconds()
    assert tasks.LONGEST_SECONDS + waits < settings.Q_CLUSTER["timeout"]
