"""Between the minutes, a task is queued if and only if it has something to do. Idle tasks wake no worker."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext

from audit_app import keys, lease, signing_round
from audit_app.models import ChainHead, LogAlarm, LogCheck, Witness
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import ChangeProposed
from requests_app.models import (
    AccessRequest,
    Grant,
    Heartbeat,
    Import,
    OutboxMessage,
    Resource,
    TaskAttempt,
    token_keys,
)
from requests_app.operations import sweeps
from requests_app.platform import bell
from requests_app.work import heartbeats, pending, schedules
from tests.cast import Cast, gather

# One statement asks for everything: a part of it that one database refuses would stop all tasks there.
pytestmark = [pytest.mark.dialect, pytest.mark.django_db(transaction=True)]


def short(names: Any) -> set[str]:
    return {name.rpartition(".")[2] for name in names}


def found(at: dt.datetime | None = None) -> set[str]:
    return short(pending.tasks(at or clock.now()))


@pytest.fixture
def world() -> Cast:
    """The cast, in whose world nothing is left to do."""
    cast = gather()
    quiet()
    return cast


def quiet() -> None:
    OutboxMessage.objects.all().delete()
    with contextlib.suppress(keys.NoKey):
        keys.create()
    while signing_round.work(clock.now, limit=100).signed:
        pass


def test_every_task_that_is_not_queued_at_its_time_alone_is_judged() -> None:
    assert set(pending.PENDING) == {each.func for each in schedules.PERIODIC if not each.in_turn}
    assert {*pending.PENDING, *pending.MORE} == {each.func for each in schedules.PERIODIC if each.minutes == 1}


def test_at_rest_no_task_has_anything_to_do_and_the_look_is_one_query(world: Cast) -> None:
    with CaptureQueriesContext(connection) as during:
        assert found() == set()
    asked = [query["sql"].split()[0] for query in during.captured_queries]
    assert [word for word in asked if word != "SET"] == ["SELECT"]


def overdue(cast: Cast) -> None:
    AccessRequest.objects.filter(pk=cast.submitted().pk).update(decide_by=clock.now() - dt.timedelta(seconds=1))


def elapsed(cast: Cast) -> None:
    Grant.objects.filter(pk=cast.opened().pk).update(closes_at=clock.now() - dt.timedelta(milliseconds=1))


def closing(cast: Cast) -> None:
    soon = clock.now() + dt.timedelta(seconds=settings.CLOSING_SOON_SECONDS - 1)
    Grant.objects.filter(pk=cast.opened().pk).update(closes_at=soon)


def to_be_reminded(cast: Cast) -> None:
    since = clock.now() - dt.timedelta(seconds=min(settings.REMINDER_SECONDS) + 1)
    AccessRequest.objects.filter(pk=cast.confirmed().pk).update(state_changed_at=since)


def asked_to_check(cast: Cast) -> None:
    LogCheck.objects.create(tenant_id=cast.contoso.pk, asked_at=clock.now(), size=1)


def to_be_imported(cast: Cast) -> None:
    Import.objects.create(file_name="a.csv", door="cli", started_at=clock.now(), rows=1)


def watched(cast: Cast) -> None:
    cast.submitted()
    at = clock.now()
    Witness.objects.create(tenant_id=cast.contoso.pk, vkey="w+1+k", url="https://w.example/", added_at=at, due_at=at)


def behind_an_application(cast: Cast) -> None:
    cast.in_quillo()


@pytest.mark.parametrize(
    ("happens", "tasks"),
    [
        (overdue, {"sweep"}),
        (elapsed, {"sweep"}),
        (closing, {"closing_soon"}),
        (to_be_reminded, {"remind"}),
        (asked_to_check, {"check_logs"}),
        (behind_an_application, {"silent_guards"}),
        (to_be_imported, {"run_imports"}),
        (watched, {"cosign"}),
    ],
)
def test_what_has_happened_makes_its_task_pending(
    world: Cast, happens: Callable[[Cast], None], tasks: set[str]
) -> None:
    happens(world)
    quiet()
    assert found() == tasks


def test_a_deadline_makes_the_sweep_pending_at_its_very_instant(world: Cast) -> None:
    row = world.submitted()
    window = world.opened()
    quiet()
    for end in (row.decide_by, window.closes_at):
        just_before = end - dt.timedelta(microseconds=1)
        assert ("sweep" in found(just_before), "sweep" in found(end)) == (just_before >= window.closes_at, True)


def test_a_message_and_an_entry_are_pending_until_they_are_sent_and_signed(world: Cast) -> None:
    world.submitted()
    assert found() == {"drain_outbox", "checkpoint"}
    OutboxMessage.objects.update(next_attempt_at=clock.now() + dt.timedelta(seconds=5))
    assert found() == {"checkpoint"}
    assert found(clock.now() + dt.timedelta(seconds=6)) == {"drain_outbox", "checkpoint"}
    quiet()
    assert found() == set()


def test_a_message_to_a_webhook_is_pending(world: Cast) -> None:
    issued = operations.add_webhook(
        world.contoso.pk, url="https://hooks.contoso.example/", events=["*"], actor=world.as_("ines")
    )
    operations.send_webhook_test(issued.webhook.pk, actor=world.as_("ines"))
    assert short([bell.DELIVER_WEBHOOKS]) <= found()


# --- At a full minute ------------------------------------------------------------------------------------


def busy() -> set[str]:
    return short({*pending.PENDING, *pending.MORE} - pending.idle(clock.now()))


@pytest.fixture
def tested(world: Cast) -> Cast:
    """The world, in which each resource was tested."""
    Resource.objects.update(next_check_at=clock.now() + dt.timedelta(days=1))
    return world


def not_announced(cast: Cast) -> None:
    """A window whose end nobody was informed about, because no beat ran ten minutes before it."""
    grant = cast.opened()
    closes_at = clock.now() + dt.timedelta(seconds=settings.CLOSING_SOON_SECONDS / 2)
    opens_at = clock.now() - dt.timedelta(seconds=2 * settings.CLOSING_SOON_SECONDS)
    Grant.objects.filter(pk=grant.pk).update(opens_at=opens_at, closes_at=closes_at)


def not_reminded(cast: Cast) -> None:
    """A reminder that was not sent, because no beat ran at its time."""
    since = clock.now() - dt.timedelta(seconds=min(settings.REMINDER_SECONDS) + 600)
    AccessRequest.objects.filter(pk=cast.confirmed().pk).update(state_changed_at=since)


def to_be_tested(cast: Cast) -> None:
    Resource.objects.filter(pk=cast.resource().pk).update(next_check_at=clock.now())


def over_at_an_application(cast: Cast) -> None:
    at = clock.now()
    window = {"opens_at": at - dt.timedelta(hours=3), "closes_at": at - dt.timedelta(hours=1)}
    Grant.objects.filter(pk=cast.in_quillo().pk).update(**window)
    sweeps.close_elapsed(actor=cast.system("sweep"), limit=10)


def proposed_by_staff(cast: Cast) -> None:
    """A change that waits for a second person."""
    cast.colleague()
    with pytest.raises(ChangeProposed):
        operations.save_service(service_id=cast.exchange.pk, name="Post", actor=cast.as_("stella"))


def without_a_backup(_cast: Cast) -> None:
    heartbeats.report_failure(Heartbeat.BACKUP, "The disk is full.")


def with_a_key(_cast: Cast) -> None:
    token_keys.make(token_keys.ALGORITHMS[0], clock.now(), signs_from=clock.now(), after=0)


def with_a_parked_task(_cast: Cast) -> None:
    at = clock.now()
    TaskAttempt.objects.create(key="k", name=bell.IMPORT, attempts=3, first_at=at, last_at=at, parked_at=at)


@pytest.mark.parametrize(
    ("happens", "tasks"),
    [
        (lambda _cast: None, set()),
        (overdue, {"sweep"}),
        (with_a_key, {"sweep"}),
        (not_announced, {"closing_soon"}),
        (not_reminded, {"remind"}),
        (proposed_by_staff, {"remind"}),
        (without_a_backup, {"remind"}),
        (to_be_tested, {"check_resources"}),
        (over_at_an_application, {"silent_guards"}),
        (with_a_parked_task, {"run_imports"}),
    ],
)
def test_a_full_minute_finds_more_work(tested: Cast, happens: Callable[[Cast], None], tasks: set[str]) -> None:
    happens(tested)
    Resource.objects.filter(next_check_at=None).update(next_check_at=clock.now() + dt.timedelta(days=1))
    quiet()
    # The task that signs has more to do than to sign.
    assert busy() == tasks | {"checkpoint"}


def test_at_a_full_minute_a_reminder_that_was_sent_is_no_work(tested: Cast) -> None:
    not_reminded(tested)
    not_announced(tested)
    assert {"remind", "closing_soon"} <= busy()
    sweeps.remind_deciders(actor=tested.system("remind"), limit=10)
    sweeps.announce_closing_soon(actor=tested.system("remind"), limit=10)
    assert not {"remind", "closing_soon"} & busy()


@pytest.mark.parametrize("look", [pending.tasks, pending.idle])
def test_a_look_makes_the_text_of_no_query(
    world: Cast, monkeypatch: pytest.MonkeyPatch, look: Callable[[dt.datetime], set[str]]
) -> None:
    """To make the text takes many times as long as to ask. The beat looks all day."""
    look(clock.now())
    monkeypatch.setattr(SQLCompiler, "as_sql", lambda *_args, **_options: pytest.fail("it made a text"))
    look(clock.now())


def test_on_another_host_the_alarms_of_that_host_count(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    world.submitted()
    at = clock.now()
    detail, code = {"host": lease.host()}, signing_round.OF_ONE_HOST[0]
    for log in ChainHead.objects.exclude(unsigned_since=None):
        LogAlarm.objects.create(tenant_id=log.pk, code=code, detail=detail, since=at, last_at=at)
    assert "checkpoint" not in found()
    monkeypatch.setattr(lease, "host", lambda: "another.example")
    assert "checkpoint" in found()
