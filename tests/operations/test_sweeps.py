"""What the system records and sends regularly: each thing once, even late after an outage, and never a decision."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest
from django.db import OperationalError

from requests_app import operations, tasks
from requests_app.domain.errors import StoreUnavailable
from requests_app.domain.states import State
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, Grant, OutboxMessage
from requests_app.operations import _batches, _change, sweeps
from requests_app.platform.database import bounds
from requests_app.work import outbox
from tests.cast import Cast, events_of, outbox_topics
from tests.database.test_bounds import held
from tests.stopwatch import takes

pytestmark = pytest.mark.django_db


def remind(cast: Cast) -> int:
    return sweeps.remind_deciders(actor=cast.system("remind"), limit=10)


def announce(cast: Cast) -> int:
    return sweeps.announce_closing_soon(actor=cast.system("closing-soon"), limit=10)


def reminders() -> list[str]:
    """Return each reminder's mark (when it was due, in seconds), oldest first."""
    messages = OutboxMessage.objects.filter(lane="fanout", topic=Topic.REMINDER).order_by("created_at")
    return list(messages.values_list("mark", flat=True))


def test_reminders_go_out_at_one_six_and_eleven_hours_and_once_each(cast: Cast, travel: Any) -> None:
    start = travel.freeze()
    cast.confirmed()
    reported: list[float] = []
    for minute in range(0, 12 * 60 + 30, 10):
        travel.to(start + dt.timedelta(minutes=minute))
        reported += [minute / 60] * remind(cast)
    assert reported == [1, 6, 11]
    assert reminders() == ["3600", "21600", "39600"]


def test_a_reminder_is_due_at_its_instant_and_not_before(cast: Cast, travel: Any) -> None:
    start = travel.freeze()
    cast.confirmed()
    travel.to(start + dt.timedelta(hours=1, microseconds=-1))
    assert remind(cast) == 0
    travel.to(start + dt.timedelta(hours=1))
    assert remind(cast) == 1
    assert remind(cast) == 0


def test_the_hours_count_from_the_providers_approval(cast: Cast, travel: Any) -> None:
    travel.freeze()
    row = cast.submitted()
    travel.by(hours=5)
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"))
    assert remind(cast) == 0
    travel.by(hours=1)
    assert remind(cast) == 1
    assert reminders() == ["3600"]


def test_after_an_outage_the_latest_reminder_alone_is_sent(cast: Cast, travel: Any) -> None:
    travel.freeze()
    cast.confirmed()
    travel.by(hours=7)
    assert remind(cast) == 1
    assert reminders() == ["21600"]


@pytest.mark.parametrize("end", ["approve", "deny", "withdraw", "expire by the clock"])
def test_nobody_is_reminded_of_what_is_over(cast: Cast, travel: Any, end: str) -> None:
    travel.freeze()
    row = cast.confirmed(window_for=1800)
    if end == "approve":
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    elif end == "deny":
        operations.deny_as_customer(row.pk, actor=cast.as_("ada"))
    elif end == "withdraw":
        operations.withdraw(row.pk, actor=cast.as_("priya"))
    for hours in (1, 5, 5, 1):
        if end == "expire by the clock":
            hours = 12
        travel.by(hours=hours)
        assert remind(cast) == 0


def test_a_reminder_written_before_the_decision_is_not_sent_after_it(
    cast: Cast, travel: Any, mailoutbox: list[Any]
) -> None:
    travel.freeze()
    row = cast.confirmed()
    travel.by(hours=1)
    assert remind(cast) == 1
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    while outbox.drain():
        pass
    assert [m for m in mailoutbox if m.extra_headers["X-Lockbox-Topic"] == Topic.REMINDER] == []


def test_the_providers_stage_has_no_reminders(cast: Cast, travel: Any) -> None:
    travel.freeze()
    cast.submitted()
    for _ in range(12):
        travel.by(hours=1)
        assert remind(cast) == 0


def test_deadlines_shortened_by_a_setting_have_their_reminders(cast: Cast, travel: Any, settings: Any) -> None:
    settings.CUSTOMER_DECISION_SECONDS, settings.REMINDER_SECONDS = 60, [20, 40]
    travel.freeze()
    cast.confirmed()
    reported = []
    for second in range(70):
        reported += [second] * remind(cast)
        travel.by(seconds=1)
    assert reported == [20, 40]


def test_reminders_beyond_the_deadline_are_never_due(cast: Cast, travel: Any, settings: Any) -> None:
    settings.CUSTOMER_DECISION_SECONDS = 60
    travel.freeze()
    cast.confirmed()
    for _ in range(7):
        travel.by(seconds=10)
        assert remind(cast) == 0


def test_no_reminders_are_sent_if_they_are_off(cast: Cast, travel: Any, settings: Any) -> None:
    settings.REMINDER_SECONDS = []
    travel.freeze()
    cast.confirmed()
    travel.by(hours=11)
    assert remind(cast) == 0


def test_closing_soon_is_announced_once_ten_minutes_before_the_end(cast: Cast, travel: Any) -> None:
    travel.freeze()
    grant = cast.opened(window_for=3600)
    travel.to(grant.closes_at - dt.timedelta(minutes=10, microseconds=1))
    assert announce(cast) == 0
    travel.to(grant.closes_at - dt.timedelta(minutes=10))
    assert announce(cast) == 1
    travel.by(minutes=1)
    assert announce(cast) == 0
    assert outbox_topics(grant.access_request).count(Topic.CLOSING_SOON) == 1


def test_a_window_as_short_as_the_notice_gets_no_notice(cast: Cast, travel: Any, settings: Any) -> None:
    settings.CLOSING_SOON_SECONDS = 1800
    travel.freeze()
    cast.opened(window_for=1800)
    assert announce(cast) == 0
    travel.by(minutes=10)
    assert announce(cast) == 0


def test_short_windows_do_not_crowd_out_the_ones_that_have_a_notice(cast: Cast, travel: Any, settings: Any) -> None:
    settings.CLOSING_SOON_SECONDS = 1800
    travel.freeze()
    long = cast.opened(window_for=3600)
    travel.by(minutes=30)
    for _ in range(3):
        cast.opened(window_for=1800)
    # The windows that close first come first.
    Grant.objects.exclude(pk=long.pk).update(closes_at=long.closes_at - dt.timedelta(seconds=1))
    assert sweeps.announce_closing_soon(actor=cast.system(), limit=2) == 1
    assert outbox_topics(long.access_request)[-1] == Topic.CLOSING_SOON


def test_a_window_that_was_closed_early_is_not_announced(cast: Cast, travel: Any) -> None:
    travel.freeze()
    grant = cast.opened(window_for=3600)
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    travel.to(grant.closes_at - dt.timedelta(minutes=5))
    assert announce(cast) == 0


def test_a_sweep_expires_what_is_overdue_and_nothing_else(cast: Cast, travel: Any) -> None:
    travel.freeze()
    late, early = cast.confirmed(), cast.submitted()
    travel.by(hours=12, microseconds=-1)
    assert sweeps.expire_overdue(actor=cast.system("sweep"), limit=10) == 0
    travel.by(microseconds=1)
    assert sweeps.expire_overdue(actor=cast.system("sweep"), limit=10) == 1
    assert sweeps.expire_overdue(actor=cast.system("sweep"), limit=10) == 0
    late.refresh_from_db()
    early.refresh_from_db()
    assert (late.state, early.state) == (State.EXPIRED, State.PENDING_PROVIDER)
    assert events_of(late)[-1] == "access_request.expired"
    assert Counter(events_of(late))["access_request.expired"] == 1
    assert outbox_topics(late)[-1] == Topic.ACCESS_REQUEST_ENDED


def test_a_sweep_closes_what_has_run_out_at_its_end_however_late_it_comes(cast: Cast, travel: Any) -> None:
    travel.freeze()
    grant = cast.opened(window_for=3600)
    travel.by(hours=13)
    assert sweeps.close_elapsed(actor=cast.system("sweep"), limit=10) == 1
    assert sweeps.close_elapsed(actor=cast.system("sweep"), limit=10) == 0
    grant.refresh_from_db()
    assert (grant.closed_at, grant.close_reason) == (grant.closes_at, "elapsed")
    assert AccessRequest.objects.get(pk=grant.access_request_id).state == State.CLOSED
    assert Counter(events_of(grant.access_request_id))["grant.closed"] == 1
    assert outbox_topics(grant.access_request)[-1] == Topic.WINDOW_CLOSED


def test_a_sweep_takes_no_more_than_its_limit(cast: Cast, travel: Any) -> None:
    travel.freeze()
    for _ in range(3):
        cast.submitted()
    travel.by(hours=24)
    assert [sweeps.expire_overdue(actor=cast.system(), limit=2) for _ in range(3)] == [2, 1, 0]


# --- Rows that fail ----------------------------------------------------------------------------------------------


@pytest.fixture
def ripe(cast: Cast, travel: Any) -> tuple[list[AccessRequest], list[AccessRequest]]:
    """Return three access requests whose window has ended, and three whose deadline has passed."""
    travel.freeze()
    windows = [cast.opened(window_for=3600).access_request for _ in range(3)]
    overdue = [cast.submitted() for _ in range(3)]
    travel.by(hours=24)
    return windows, overdue


def states(rows: list[AccessRequest]) -> list[str]:
    return [AccessRequest.objects.get(pk=row.pk).state for row in rows]


def break_on(monkeypatch: pytest.MonkeyPatch, *rows: AccessRequest, error: Exception | None = None) -> list[Any]:
    """Make the sweep fail to end these rows. Return a list that collects the ids of all rows that it tries."""
    broken, plain, tried = {row.pk for row in rows}, _change.begin, []

    def begin(actor: Any, row: AccessRequest, *rest: Any) -> Any:
        tried.append(row.pk)
        if row.pk in broken:
            raise error or ZeroDivisionError("a bug")
        return plain(actor, row, *rest)

    monkeypatch.setattr(_batches, "begin", begin)
    return tried


def test_a_row_that_cannot_be_ended_is_passed_over_and_the_rest_is_ended(
    cast: Cast, ripe: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    windows, overdue = ripe
    break_on(monkeypatch, windows[0], overdue[0])
    assert tasks.sweep() == 4
    assert states(windows) == [State.OPEN, State.CLOSED, State.CLOSED]
    assert states(overdue) == [State.PENDING_PROVIDER, State.EXPIRED, State.EXPIRED]
    for row in (windows[0], overdue[0]):
        assert not {"grant.closed", "access_request.expired"} & set(events_of(row))
        assert f"{row.pk}" in caplog.text
    assert Counter(events_of(windows[1]))["grant.closed"] == 1
    assert Counter(events_of(overdue[1]))["access_request.expired"] == 1
    assert outbox_topics(windows[1])[-1] == Topic.WINDOW_CLOSED
    assert "ZeroDivisionError" in caplog.text
    assert "a bug" not in caplog.text


def test_batches_full_of_broken_rows_hide_no_good_row(cast: Cast, ripe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that failed is left out of the next batches of the same run."""
    windows, overdue = ripe
    monkeypatch.setattr(tasks, "BATCH", 1)
    break_on(monkeypatch, windows[0], overdue[0])
    assert tasks.sweep() == 4
    assert states(windows) == [State.OPEN, State.CLOSED, State.CLOSED]
    assert states(overdue) == [State.PENDING_PROVIDER, State.EXPIRED, State.EXPIRED]


@pytest.mark.parametrize("half", ["close_elapsed", "expire_overdue"])
def test_a_failing_half_does_not_stop_the_other(
    cast: Cast, ripe: Any, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    windows, overdue = ripe

    def fail(**_: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(sweeps, half, fail)
    with pytest.raises(ZeroDivisionError):
        tasks.sweep()
    assert set(states(windows)) == {State.OPEN if half == "close_elapsed" else State.CLOSED}
    assert set(states(overdue)) == {State.PENDING_PROVIDER if half == "expire_overdue" else State.EXPIRED}


def test_a_store_that_fails_is_not_taken_for_a_row_at_fault(
    cast: Cast, ripe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = break_on(monkeypatch, *ripe[1], error=OperationalError("no space left"))
    with pytest.raises(StoreUnavailable):
        sweeps.expire_overdue(actor=cast.system("sweep"), limit=10)
    assert len(tried) == 1
    assert set(states(ripe[1])) == {State.PENDING_PROVIDER}


@pytest.mark.timed
@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_tenants_log_that_somebody_holds_delays_no_other_tenant(cast: Cast, travel: Any) -> None:
    travel.freeze()
    windows = {tenant: cast.opened(tenant, window_for=3600).access_request for tenant in ("contoso", "fabrikam")}
    windows["again"] = cast.opened(window_for=3600).access_request
    travel.by(hours=2)
    with held(cast.contoso.pk), bounds.within(bounds.worker(wait_seconds=5)), takes(most=5):
        assert tasks.sweep() == 1
        assert states(list(windows.values())) == [State.OPEN, State.CLOSED, State.OPEN]
    assert "grant.closed" not in events_of(windows["contoso"])
    assert tasks.sweep() == 2
    assert set(states(list(windows.values()))) == {State.CLOSED}
