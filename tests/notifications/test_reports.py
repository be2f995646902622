"""Mails about what an application reports, or does not report."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from bench import gates
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.models import GateProxy, Grant, Guard, Heartbeat, OutboxMessage
from requests_app.operations import sweeps
from requests_app.queries import guards
from requests_app.queries.gates import Asker
from requests_app.work import heartbeats
from tests.cast import Cast
from tests.guards import ONE, OTHER, actor_of_guard, client_of_guards
from tests.notifications.conftest import Mails, provider_metadata_is_read, says
from tests.operations.test_reports import one, report

pytestmark = pytest.mark.django_db

SILENT = "notify.guard_silent"


@pytest.fixture
def grant(world: Cast) -> Grant:
    return world.in_quillo()


@pytest.fixture
def actor(world: Cast, grant: Grant) -> Any:
    return actor_of_guard(client_of_guards(world))


def announce(cast: Cast) -> int:
    return sweeps.announce_silent_guards(actor=cast.system())


def silences() -> set[Any]:
    return set(OutboxMessage.objects.filter(topic=SILENT, lane="fanout").values_list("tenant_id", flat=True))


def test_an_access_outside_the_window_is_mailed_to_both_sides(
    world: Cast, mails: Mails, grant: Grant, actor: Any
) -> None:
    operations.report_accesses(report(one(grant, at=grant.opens_at - dt.timedelta(hours=1))), actor=actor)
    mails.send("reported_outside")
    assert mails.to("reported_outside") == ["ada", "alan", "ines", "soc", "stella"]
    found = mails("ada", "reported_outside")
    assert found.subject == "Contoso: Quillo reports accesses that the window did not allow"
    says(found, "It reports accesses of Priya Test that the window", grant.access_request.reference, "Ask Microsoft")
    says(mails("stella", "reported_outside"), "the window was not enforced", "Quillo reports 1 access")


def test_late_reports_are_summed_up_in_one_more_mail(
    world: Cast, mails: Mails, grant: Grant, actor: Any, travel: Any
) -> None:
    early = one(grant)
    operations.release(grant.access_request_id, actor=world.as_("priya"))
    says(mails.sent("ada", "window_closed"), "If Quillo reports more accesses in this window later")
    travel.by(hours=3)
    operations.report_accesses(report(early, early), actor=actor)
    mails.send("reported_late")
    assert mails.to("reported_late") == []
    operations.report_accesses(report(early, first=3), actor=actor)
    travel.by(minutes=2)
    mails.send("reported_late")
    assert mails.to("reported_late") == ["ada", "alan", "bea", "pat", "paula", "priya", "soc"] or mails.to(
        "reported_late"
    )
    found = mails("ada", "reported_late")
    assert found.subject == "Contoso: more accesses reported in a closed window, Quillo reports 3 accesses"
    says(found, "the number in the mail about its end was too small", "Now: Quillo reports 3 accesses.")


def test_a_silent_application_is_mailed_once_to_both_sides(
    world: Cast, mails: Mails, grant: Grant, actor: Any, travel: Any
) -> None:
    operations.report_accesses(report(first=0), actor=actor)
    travel.by(seconds=60)
    assert announce(world) == 0
    travel.by(seconds=1)
    assert announce(world) == 2
    assert announce(world) == 0
    assert silences() == {world.contoso.pk, None}
    mails.send("guard_silent")
    assert mails.to("guard_silent") == ["ada", "alan", "ines", "soc", "stella"]
    says(mails("ines", "guard_silent"), "Quillo enforces it, and has not reported since", "close the window")
    says(mails("ada", "guard_silent"), "Each approver can do this on the page of the access request")
    says(mails("stella", "guard_silent"), "Quillo does not report", "because you are on the staff of Microsoft.")
    # It reports again, and is silent again: this is news, but not in the same hour.
    operations.report_accesses(report(first=0), actor=actor)
    travel.by(seconds=61)
    assert announce(world) == 0
    operations.report_accesses(report(first=0), actor=actor)
    travel.by(hours=1)
    operations.report_accesses(report(first=0), actor=actor)
    travel.by(seconds=61)
    assert announce(world) == 2


def test_many_silent_guards_of_one_application_cause_one_mail(
    world: Cast, grant: Grant, actor: Any, travel: Any
) -> None:
    for number in range(5):
        operations.report_accesses(report(first=0, number=f"{number:032x}"), actor=actor)
    travel.by(seconds=61)
    assert announce(world) == 2
    # Somebody makes up another guard each minute.
    for number in range(5, 8):
        operations.report_accesses(report(first=0, number=f"{number:032x}"), actor=actor)
        travel.by(seconds=61)
        assert announce(world) == 0


def test_a_silence_that_harms_nobody_is_not_mailed(world: Cast, grant: Grant, actor: Any, travel: Any) -> None:
    operations.report_accesses(report(first=0), actor=actor)
    travel.by(seconds=61)
    operations.revoke(grant.access_request_id, actor=world.as_("ada"))
    assert announce(world) == 0
    world.in_quillo()
    # One of two hosts was removed. It had nothing left to report, and was not heard of for a day.
    operations.report_accesses(report(first=0, number=OTHER), actor=actor)
    Guard.objects.filter(number=ONE).update(reported_at=clock.now() - dt.timedelta(days=1, seconds=1))
    assert announce(world) == 0
    # Somebody removed the client.
    Guard.objects.update(reported_at=clock.now() - dt.timedelta(minutes=2))
    operations.remove_client(Guard.objects.all()[0].client_id, actor=world.as_("stella"))
    assert announce(world) == 0
    assert silences() == set()


def test_an_application_of_which_nobody_has_heard_for_a_day_is_mailed(
    world: Cast, mails: Mails, grant: Grant, actor: Any
) -> None:
    operations.report_accesses(report(first=0), actor=actor)
    Guard.objects.update(reported_at=clock.now() - dt.timedelta(days=3))
    assert announce(world) == 2
    mails.send("guard_silent")
    assert mails.to("guard_silent") == ["ada", "alan", "ines", "soc", "stella"]


def test_an_application_that_never_reported_is_mailed_when_the_engineer_has_a_token(
    world: Cast, mails: Mails, grant: Grant, actor: Any, travel: Any
) -> None:
    operations.note_guard(UUID(ONE), version="-", actor=actor, at=clock.now())
    travel.by(minutes=10)
    assert announce(world) == 0
    operations.issue_grant_token(grant.pk, actor=world.as_("priya"))
    travel.by(seconds=59)
    assert announce(world) == 0
    travel.by(seconds=2)
    assert announce(world) == 2
    assert silences() == {world.contoso.pk, None}
    mails.send("guard_silent")
    says(mails("ines", "guard_silent"), "Quillo enforces it, and has not reported since")
    # Its first sign of life ends the silence.
    operations.report_accesses(report(first=0), actor=actor)
    assert guards.silence_of(grant.access_request, clock.now()) is None


def test_the_end_of_a_window_does_not_end_the_alarm(
    world: Cast, mails: Mails, grant: Grant, actor: Any, travel: Any
) -> None:
    operations.report_accesses(report(first=0), actor=actor)
    operations.issue_grant_token(grant.pk, actor=world.as_("priya"))
    # So short that nobody calls the application silent while the window is open.
    travel.by(seconds=40)
    operations.release(grant.access_request_id, actor=world.as_("priya"))
    travel.by(seconds=59)
    assert announce(world) == 0
    travel.by(seconds=2)
    assert announce(world) == 2
    assert silences() == {world.contoso.pk, None}
    mails.send("guard_silent")
    says(mails("ines", "guard_silent"), "has ended", "has not reported everything since", "can be missing in the log")
    assert announce(world) == 0
    # Everything has arrived.
    operations.report_accesses(report(one(grant, at=grant.opens_at)), actor=actor)
    assert guards.silent(clock.now()) == []


def test_a_backlog_after_the_end_is_mailed_and_a_removed_guard_without_one_is_not(
    world: Cast, grant: Grant, actor: Any, travel: Any
) -> None:
    operations.issue_grant_token(grant.pk, actor=world.as_("priya"))
    operations.report_accesses(report(first=0), actor=actor)
    operations.report_accesses(report(one(grant), backlog=5, number=OTHER), actor=actor)
    operations.revoke(grant.access_request_id, actor=world.as_("ada"))
    travel.by(seconds=90)
    operations.report_accesses(report(first=0), actor=actor)
    assert [each.silence.is_over for each in guards.silent(clock.now())] == [True]
    Guard.objects.filter(number=OTHER).update(backlog=0, backlog_since=None)
    assert guards.silent(clock.now()) == []


def test_a_window_without_a_token_or_of_long_ago_causes_no_alarm_after_its_end(
    world: Cast, grant: Grant, actor: Any, travel: Any
) -> None:
    other = world.in_quillo()
    operations.issue_grant_token(other.pk, actor=world.as_("priya"))
    for window in (grant, other):
        operations.revoke(window.access_request_id, actor=world.as_("ada"))
    travel.by(minutes=2)
    assert [each.windows for each in guards.silent(clock.now())] == [[other]]
    travel.by(days=1, hours=9)
    assert guards.silent(clock.now()) == []


def test_a_token_for_a_tool_that_has_only_a_gate_is_no_silence(world: Cast, travel: Any) -> None:
    world.web_tool()
    window = world.in_quillo()
    operations.issue_grant_token(window.pk, actor=world.as_("priya"))
    travel.by(minutes=5)
    assert announce(world) == 0


def test_a_gate_that_nobody_asks_after_the_engineer_came_in_is_mailed(world: Cast, mails: Mails, travel: Any) -> None:
    proxy = world.proxy()
    window, at = world.in_quillo(), travel.freeze()
    GateProxy.objects.update(asked_at=at - dt.timedelta(minutes=1))
    came_in(window)
    travel.by(seconds=61)
    # The time of the last question is not exact, so it may have been after that.
    assert announce(world) == 0
    for asked_at in (None, at - dt.timedelta(minutes=1, seconds=1)):
        GateProxy.objects.update(asked_at=asked_at)
        silence = guards.silence_of(window.access_request, clock.now())
        assert silence is not None
        assert (silence.since, silence.is_gate) == (at, True)
    assert announce(world) == 2
    mails.send("guard_silent")
    assert mails.to("guard_silent") == ["ada", "alan", "ines", "soc", "stella"]
    found = mails("ines", "guard_silent")
    assert found.subject == "Contoso: nobody asks at the gate of Quillo"
    says(found, "its gate has not been asked about a request after that", "Perhaps nothing was opened")
    GateProxy.objects.filter(pk=proxy.pk).update(asked_at=clock.now())
    assert guards.silence_of(window.access_request, clock.now()) is None
    # A request that passed ends the silence too.
    GateProxy.objects.update(asked_at=None)
    asker = Asker(person_id=window.engineer_id, grant_id=window.pk)
    about: dict[str, Any] = {"host": "quillo.example", "method": "GET", "target": "/tenants/7/pages", "headers": {}}
    operations.judge(window.access_request.service, **about, session=asker)
    assert guards.silence_of(window.access_request, clock.now()) is None


def came_in(window: Grant) -> None:
    """Redeem a one-time code at the gate, as the engineer's browser does."""
    gates.session_of(window)


def test_a_backlog_that_does_not_shrink_is_mailed_though_there_are_signs(
    world: Cast, grant: Grant, actor: Any, travel: Any
) -> None:
    operations.report_accesses(report(first=0, backlog=7), actor=actor)
    operations.report_accesses(report(first=0, number=OTHER), actor=actor)
    travel.by(minutes=5)
    for number, backlog in ((ONE, 7), (OTHER, 0)):
        operations.report_accesses(report(first=0, backlog=backlog, number=number), actor=actor)
    assert announce(world) == 0
    travel.by(seconds=1)
    assert announce(world) == 2


def test_staff_hear_of_backups_that_fail_once_a_day(world: Cast, mails: Mails, travel: Any) -> None:
    def due() -> int:
        return sweeps.announce_backup_trouble(actor=world.system())

    assert due() == 0, "nobody ever tried to make a backup"
    heartbeats.touch(Heartbeat.BACKUP, at=clock.now())
    travel.by(hours=26)
    assert due() == 0
    travel.by(seconds=1)
    assert due() == 1
    found = mails.sent("stella", "backup_trouble")
    assert (found.subject, mails.to("backup_trouble")) == ("There is no new backup", ["stella"])
    says(found, "No backup of this installation was made when one was due", "because you are on the staff")
    # It fails again and again: this is no news.
    for _night in range(3):
        heartbeats.report_failure(Heartbeat.BACKUP, "The place is full.")
        travel.by(hours=7)
        assert due() == 0
    travel.by(hours=3)
    assert due() == 1
    assert due() == 0
    assert mails.sent("stella", "backup_trouble").subject == "The last backup failed"
    # A good one ends it. The next failure is news.
    heartbeats.touch(Heartbeat.BACKUP, at=clock.now())
    assert due() == 0
    heartbeats.report_failure(Heartbeat.BACKUP, "The place is full.")
    travel.by(seconds=1)
    assert due() == 1


def test_staff_hear_of_a_first_backup_that_fails(world: Cast, mails: Mails) -> None:
    heartbeats.report_failure(Heartbeat.BACKUP, "The place is full.")
    assert tasks.remind() == 1
    says(mails.sent("stella", "backup_trouble"), "There is no good backup.", "Ask your operators")


def test_staff_hear_that_the_providers_identity_provider_has_other_keys(world: Cast, mails: Mails) -> None:
    provider_metadata_is_read(world)
    found = mails.sent("stella", "provider_sign_on")
    assert mails.to("provider_sign_on") == ["stella"]
    says(found, "was read at this address for the first time", "idp.provider.example/metadata")
