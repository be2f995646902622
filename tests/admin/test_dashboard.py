"""The administration's first page: each number is right and links to its rows. More rows need no more queries."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit_app import checkpoints
from audit_app.models import LogAlarm
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import NotAllowed
from requests_app.models import Grant, Heartbeat, OutboxMessage, TaskAttempt, Tenant
from requests_app.queries import dashboard as queries
from tests.admin.conftest import add_mail, add_task, populate
from tests.cast import Cast
from tests.conftest import Traveller

pytestmark = pytest.mark.django_db


def tiles(client: Client) -> dict[str, Any]:
    groups = client.get("/admin/").context["groups"]
    return {tile.label: tile for _heading, found in groups for tile in found}


def test_only_staff_may_ask_how_things_stand(cast: Cast) -> None:
    for name in ("priya", "ada"):
        with pytest.raises(NotAllowed):
            queries.dashboard(actor=cast.as_(name), at=clock.now())


def test_pending_access_requests_are_counted_by_stage_with_the_oldest_deadline(
    cast: Cast, staff: Client, travel: Any
) -> None:
    travel.to(dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.UTC))
    cast.submitted()
    travel.by(hours=1)
    cast.submitted()
    cast.confirmed("fabrikam")
    staff.force_login(cast.stella)
    found = tiles(staff)
    assert found["Waiting for the provider"].figure == "2"
    assert "Wed 25 Nov, 12:00 UTC (in 23 h)" in found["Waiting for the provider"].detail
    assert found["Waiting for the customer"].figure == "1"
    assert "Wed 25 Nov, 01:00 UTC (in 12 h)" in found["Waiting for the customer"].detail


def test_an_overdue_access_request_no_longer_waits_though_no_sweep_has_run(
    cast: Cast, staff: Client, travel: Any
) -> None:
    row = cast.confirmed()
    travel.to(row.decide_by)
    staff.force_login(cast.stella)
    tile = tiles(staff)["Waiting for the customer"]
    assert (tile.figure, tile.alarm) == (
        "0",
        "1 more access request has passed its deadline, but is not recorded as expired yet",
    )


def test_invitations_that_a_switch_on_has_ended_are_counted_until_they_are_sent_again(
    cast: Cast, staff: Client
) -> None:
    cast.peaceful()
    row = cast.invited_colleague()
    assert "Ended invitations" not in tiles(staff)
    Tenant.objects.filter(pk=cast.northwind.pk).update(lockbox_on=True)
    tile = tiles(staff)["Ended invitations"]
    assert (tile.figure, tile.alarm) == ("1", "Send these invitations again, or withdraw them")
    assert row.email in staff.get(tile.url).content.decode()
    operations.resend_invitation(row.pk, actor=cast.as_("stella"))
    assert "Ended invitations" not in tiles(staff)


def test_logs_that_are_refused_and_entries_that_wait_are_counted(cast: Cast, staff: Client, travel: Any) -> None:
    at = travel.freeze()
    cast.ticket()
    found = tiles(staff)
    assert (found["Logs that the signer refuses"].figure, found["Logs that the signer refuses"].alarm) == ("0", "")
    assert found["Waiting for a checkpoint"].figure == "1"
    assert found["Waiting for a checkpoint"].alarm == ""
    travel.by(minutes=4)
    LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=at, last_at=at, code="shorter")
    found = tiles(staff)
    assert found["Waiting for a checkpoint"].alarm == "Check that the machine with the log’s key works"
    assert found["Logs that the signer refuses"].figure == "1"
    assert found["Logs that the signer refuses"].alarm == "Each alarm says what was found and what to do"
    LogAlarm.objects.all().delete()
    assert checkpoints.sign(cast.contoso.pk, at=clock.now()) is not None
    found = tiles(staff)
    assert (found["Waiting for a checkpoint"].figure, found["Waiting for a checkpoint"].alarm) == ("0", "")


def test_open_windows_are_listed_soonest_first(cast: Cast, staff: Client, travel: Any) -> None:
    long, short = cast.opened(window_for=7200), cast.opened("fabrikam", window_for=1800)
    page = staff.get("/admin/")
    assert tiles(staff)["Open windows"].figure == "2"
    assert [row["closes_at"] for row in page.context["closing_next"]] == [short.closes_at, long.closes_at]
    travel.to(short.closes_at)
    staff.force_login(cast.stella)
    assert tiles(staff)["Open windows"].figure == "1"


def test_the_outbox_says_how_much_waits_how_long_and_what_was_given_up(cast: Cast, staff: Client) -> None:
    cast.ticket()
    waiting = OutboxMessage.objects.filter(state="waiting").count()
    add_mail(cast, state="parked")
    found = tiles(staff)
    assert found["Waiting to be sent"].figure == str(waiting)
    assert found["Waiting to be sent"].alarm == ""
    assert found["Mails that could not be delivered"].figure == "1"
    assert found["Mails that could not be delivered"].alarm
    OutboxMessage.objects.update(next_attempt_at=clock.now() - dt.timedelta(hours=1))
    assert tiles(staff)["Waiting to be sent"].alarm == "Mail is late"


def test_the_background_work_says_when_it_was_last_seen(cast: Cast, staff: Client) -> None:
    found = tiles(staff)
    assert found["Clusters that are running"].alarm
    assert found["Last sweep"].figure == "never"
    at = clock.now()
    names = ("worker:one", "worker:two", "sweep", "beat")
    Heartbeat.objects.bulk_create(Heartbeat(name=name, at=at, pid=1) for name in names)
    Heartbeat.objects.create(name="worker:gone", at=at - dt.timedelta(hours=1), pid=1)
    found = tiles(staff)
    assert (found["Clusters that are running"].figure, found["Clusters that are running"].alarm) == ("2", "")
    assert (found["Last sweep"].figure, found["Last sweep"].alarm) == ("just now", "")


def test_the_last_failure_and_what_was_given_up_are_shown(cast: Cast, staff: Client) -> None:
    assert tiles(staff)["Last failure"].figure == "none"
    add_task(1, success=False)
    tile = tiles(staff)["Last failure"]
    assert (tile.detail, tile.alarm) == ("requests_app.tasks.sweep", "")
    at = clock.now()
    TaskAttempt.objects.create(key="k", name="sweep", attempts=3, first_at=at, last_at=at, parked_at=at)
    assert tiles(staff)["Last failure"].alarm == "1 task failed too often and is not tried again"


def test_every_figure_leads_to_its_rows(world: Cast, staff: Client) -> None:
    operations.revoke(Grant.objects.first().access_request_id, actor=world.as_("stella"))
    for label, tile in tiles(staff).items():
        answer = staff.get(tile.url)
        assert answer.status_code == 200, label
        assert not answer.context["cl"].params.get("e"), label
    assert len(staff.get(tiles(staff)["Open windows"].url).context["table"]["rows"]) == 1


def test_the_sizes_of_the_logs_are_shown(world: Cast, staff: Client) -> None:
    logs = staff.get("/admin/").context["logs"]
    assert logs[0]["name"] == "Contoso"
    assert logs[0]["size"] > 0
    assert "The provider’s own log" in [log["name"] for log in logs]


def test_the_page_costs_the_same_with_more_rows_in_every_table(world: Cast, staff: Client, travel: Traveller) -> None:
    travel.freeze()  # a page writes the time of the last activity if that time is 30 seconds old
    staff.get("/admin/")
    with CaptureQueriesContext(connection) as few:
        staff.get("/admin/")
    populate(world, 2)
    with CaptureQueriesContext(connection) as many:
        staff.get("/admin/")
    assert len(many) == len(few)


def test_no_count_goes_beyond_its_limit(cast: Cast, monkeypatch: pytest.MonkeyPatch, staff: Client) -> None:
    monkeypatch.setattr(queries, "MOST", 2)
    for _ in range(4):
        cast.submitted()
    assert tiles(staff)["Waiting for the provider"].figure == "over 2"


def test_all_numbers_are_counted_with_one_statement_and_all_instants_are_read_with_another(cast: Cast) -> None:
    with CaptureQueriesContext(connection) as captured:
        queries.dashboard(actor=cast.as_("stella"), at=clock.now())
    parts = [query["sql"].count(" UNION ALL ") + 1 for query in captured.captured_queries]
    assert [count for count in parts if count > 1] == [17, 10]


def test_the_first_page_stays_in_its_budget(cast: Cast, staff: Client) -> None:
    """Half of its statements are those of the checklist, which is shown until it is complete."""
    staff.get("/admin/")
    with CaptureQueriesContext(connection) as captured:
        page = staff.get("/admin/")
    assert not page.context["guide"].is_complete
    sent = [query["sql"] for query in captured.captured_queries if "set_config" not in query["sql"]]
    assert len(sent) <= 31, "\n".join([str(len(sent)), *sent])


def test_the_checklist_reads_nothing_about_applications_if_no_service_is_external(cast: Cast, staff: Client) -> None:
    def asked() -> bool:
        with CaptureQueriesContext(connection) as captured:
            assert staff.get("/admin/set-up/").status_code == 200
        return any('FROM "requests_app_client"' in query["sql"] for query in captured.captured_queries)

    assert not asked()
    cast.in_quillo()
    assert asked()
