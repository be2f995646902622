"""From a log entry to a receiver: each message arrives once and in order, and no receiver delays another."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core import mail
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_q.models import OrmQ

from audit_app.models import AuditEntry, ChainHead
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.events import PROVIDER_LOG
from requests_app.messages.webhooks import messages, schedule, sealing
from requests_app.models import OutboxMessage, Tenant, Webhook, WebhookAttempt, WebhookCursor
from requests_app.operations import _receivers
from requests_app.platform import bell, outbound
from requests_app.work import outbox as mails
from requests_app.work import schedules
from requests_app.work.webhooks import delivery, dispatch, tidying
from tests.cast import Cast, events_in
from tests.webhooks.receiver import Got, Receiver, add, fresh, verified
from tests.webhooks.test_standard import is_v1a

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "JITTER", 0)


def deliver() -> int:
    """Drain until no more messages are due now. Return how many attempts were made."""
    done = 0
    while found := delivery.drain():
        done += found
    return done


def waiting() -> int:
    return OutboxMessage.objects.filter(lane="webhook", state="waiting").count()


# --- What is sent ------------------------------------------------------------------------------------------


def test_bundled_events_are_sent_to_webhooks_separately(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver, events=("access_request.approved_by_provider",))
    ticket = cast.ticket()
    rows = [cast.confirmed(ticket=ticket) for _ in range(4)]
    while mails.drain():
        pass
    deliver()
    # The mails of one message have no order among each other: all of them are due at the same time.
    assert sorted(m.to for m in mail.outbox if "for you to answer" in m.subject) == [
        ["ada@contoso.example"],
        ["alan@contoso.example"],
    ]
    # The messages of one access request are in order. Those of several access requests may mix.
    assert sorted(got.message["data"]["access_request"] for got in receiver.got) == sorted(str(row.pk) for row in rows)


def test_an_entry_arrives_signed_and_says_ids_alone(cast: Cast, receiver: Receiver) -> None:
    issued = add(cast, receiver)
    row = cast.submitted(justification="Zanzibar: the invoices are missing, and nothing else shows why.")
    assert deliver() == 3
    # Messages about a ticket and about its access request can arrive in any order.
    opened, _taken, submitted = sorted(receiver.got, key=lambda got: got.message["data"]["log"]["index"])
    words = verified(issued, submitted)
    entry = AuditEntry.objects.get(event="access_request.submitted")
    assert words == {
        "type": "access_request.submitted",
        "timestamp": words["timestamp"],
        "data": {
            "tenant": str(cast.contoso.pk),
            "access_request": str(row.pk),
            "subject": {"type": "access_request", "id": str(row.pk)},
            "actor": {"kind": "person", "id": str(cast.priya.pk)},
            "door": "pages",
            "is_practice": False,
            "ticket": {
                "id": str(row.ticket_id),
                "reference": row.ticket.reference,
                "external_reference": None,
                "external_url": None,
            },
            "log": {
                "origin": words["data"]["log"]["origin"],
                "index": entry.seq,
                "leaf_hash": bytes(entry.leaf_hash).hex(),
            },
            "reference": row.reference,
            "state": "PENDING_PROVIDER",
        },
    }
    assert dt.datetime.fromisoformat(words["timestamp"]) == entry.at
    assert is_v1a(issued.keys.whpk, submitted.headers, submitted.body)
    assert submitted.headers["content-type"] == "application/json"
    assert len(submitted.body) < 20_000
    assert opened.message["data"]["reference"] == row.ticket.reference
    for got in receiver.got:
        assert not any(secret in got.body.decode() for secret in ("Zanzibar", "Invoices", "Priya", "@"))


def test_messages_about_a_ticket_carry_its_external_reference(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver)
    elsewhere = {"external_reference": "INC-4711", "external_url": "https://desk.example/cases/4711"}
    ticket = cast.ticket(**elsewhere)
    grant = cast.opened(ticket=ticket)
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    operations.assign_ticket(ticket.pk, actor=cast.as_("priya"))
    operations.resolve_ticket(ticket.pk, actor=cast.as_("priya"))
    cast.ticket(title="Another")
    deliver()
    shown = [(got.message["type"], got.message["data"]["ticket"]) for got in receiver.got]
    named = {event for event, of in shown if of == {"id": str(ticket.pk), "reference": ticket.reference, **elsewhere}}
    assert named == {
        "ticket.opened",
        "access_request.submitted",
        "access_request.approved_by_provider",
        "access_request.approved_by_customer",
        "grant.released",
        "ticket.assigned",
        "ticket.resolved",
    }
    [other] = [of for _event, of in shown if of["id"] != str(ticket.pk)]
    assert (other["external_reference"], other["external_url"]) == (None, None)


def test_a_link_that_is_set_later_is_in_what_follows(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver, events=("ticket.linked", "ticket.closed"))
    ticket = cast.ticket()
    operations.link_ticket(ticket.pk, external_reference="INC-9", actor=cast.as_("mia"))
    operations.close_ticket(ticket.pk, actor=cast.as_("mia"))
    deliver()
    shown = [(got.message["type"], got.message["data"]["ticket"]["external_reference"]) for got in receiver.got]
    assert sorted(shown) == [("ticket.closed", "INC-9"), ("ticket.linked", "INC-9")]


def test_only_what_was_chosen_is_sent_and_nothing_of_before(cast: Cast, receiver: Receiver) -> None:
    cast.submitted()
    add(cast, receiver, events=("access_request.submitted", "grant.closed"))
    cast.submitted()
    deliver()
    assert receiver.types() == ["access_request.submitted"]
    assert waiting() == 0


def test_another_tenants_log_is_not_heard_of(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver)
    cast.ticket("fabrikam", "fred")
    assert deliver() == 0


def test_the_providers_own_hears_of_every_log_those_of_later_tenants_included(cast: Cast, receiver: Receiver) -> None:
    cast.ticket("fabrikam", "fred")
    add(cast, receiver, None)
    cast.ticket()
    cast.ticket("fabrikam", "fred")
    operations.save_plan(actor=cast.as_("stella"), name="E7", includes_lockbox=True)
    later = operations.create_tenant(
        name="Adatum", slug="adatum", plan_id=cast.contoso.plan_id, actor=cast.as_("stella")
    )
    deliver()
    heard = {(got.message["data"]["tenant"], got.message["type"]) for got in receiver.got}
    assert heard == {
        (str(cast.contoso.pk), "ticket.opened"),
        (str(cast.fabrikam.pk), "ticket.opened"),
        (None, "plan.changed"),
        (str(later.pk), "tenant.created"),
    }
    assert len(receiver.got) == 4
    # Customers must not see what the provider's webhooks get.
    assert not OutboxMessage.objects.filter(lane="webhook").exclude(tenant=None).exists()


def test_an_event_has_one_id_for_every_receiver(cast: Cast, receivers: Callable[[], Receiver]) -> None:
    first, second, mine = receivers(), receivers(), receivers()
    add(cast, first)
    # The first receiver also gets messages about the second webhook. All receivers get the one about the ticket.
    add(cast, second, events=("ticket.opened",))
    add(cast, mine, None, events=("ticket.opened",))
    cast.ticket()
    deliver()
    ids = {next(got.id for got in each.got if got.message["type"] == "ticket.opened") for each in (first, second, mine)}
    assert len(ids) == 1


def test_a_number_that_is_given_again_after_a_restore_has_another_id(cast: Cast) -> None:
    cast.ticket()
    entry = AuditEntry.objects.get()
    again = AuditEntry.objects.get()
    again.leaf_hash = bytes(32)
    assert messages.id_of(entry) != messages.id_of(again)


def test_an_act_costs_nothing_where_nobody_listens_and_where_somebody_does(cast: Cast, receiver: Receiver) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            cast.ticket()
        return len(queries)

    cost()  # the first entry also creates the log's head
    before = cost()
    add(cast, receiver)
    assert cost() == before


# --- The cursor --------------------------------------------------------------------------------------------


def test_each_entry_becomes_one_message_for_any_number_of_dispatchers(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver)
    cast.ticket()
    until = clock.monotonic() + 10
    assert dispatch.has_news()
    assert dispatch.work(until) == 1
    assert not dispatch.has_news()
    assert dispatch.work(until) == 0
    WebhookCursor.objects.update(next_seq=0)
    dispatch.work(until)
    written = OutboxMessage.objects.filter(lane="webhook", topic="ticket.opened").get()
    # Its id sorts by time, as that of every message.
    assert written.pk.version == 7


def test_a_new_webhook_of_the_provider_gets_its_places_in_all_logs_at_once(cast: Cast, receiver: Receiver) -> None:
    cast.ticket()
    cast.ticket("fabrikam", "fred")
    add(cast, receiver, None, events=("ticket.opened",))
    cast.ticket("fabrikam", "fred")
    cast.ticket("northwind", "nora")
    with CaptureQueriesContext(connection) as queries:
        assert dispatch.work(clock.monotonic() + 10) >= 2
    made = [each for each in queries if 'INTO "requests_app_webhookcursor"' in each["sql"]]
    assert len(made) == 1
    heads = dict(ChainHead.objects.values_list("pk", "size"))
    assert dict(WebhookCursor.objects.values_list("log_id", "next_seq")) == heads
    deliver()
    # Neither of the tickets that were opened before, in a log without news and in one with news.
    assert len(heads) >= 4
    assert receiver.types() == ["ticket.opened"] * 2


def test_a_place_beyond_the_end_of_a_log_that_was_set_back_is_brought_back(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver)
    WebhookCursor.objects.update(next_seq=50)
    deliver()
    cast.ticket()
    deliver()
    assert receiver.types() == ["ticket.opened"]


def test_removed_or_lost_entries_are_skipped(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver)
    cast.ticket()
    # This is the state after a tombstone: numbers of lost entries are never used again.
    ChainHead.objects.filter(pk=cast.contoso.pk).update(size=40)
    cast.ticket()
    deliver()
    assert receiver.types() == ["ticket.opened"] * 2
    assert WebhookCursor.objects.get().next_seq == 41


def test_a_long_log_is_read_in_steps(cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "BATCH", 3)
    add(cast, receiver, events=("ticket.opened",))
    for _ in range(8):
        cast.ticket()
    deliver()
    while dispatch.has_news():
        deliver()
    assert len(receiver.got) == 8


def test_no_more_than_so_many_wait_in_the_outbox(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MOST_WAITING", 3)
    monkeypatch.setattr(dispatch, "BATCH", 2)
    add(cast, receiver)
    for _ in range(8):
        cast.ticket()
    for _ in range(5):
        dispatch.work(clock.monotonic() + 10)
    assert waiting() == 4
    for _ in range(5):
        deliver()
    assert receiver.types() == ["ticket.opened"] * 8


# --- Retries -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_receiver_that_is_down_for_a_day_gets_each_once_and_in_order(
    cast: Cast, receiver: Receiver, travel: Any
) -> None:
    travel.freeze()
    issued = add(cast, receiver)
    receiver.answer(503)
    rows = [cast.confirmed(), cast.confirmed()]
    for tenth in range(24 * 6):
        deliver()
        travel.by(minutes=10)
        if tenth == 6:
            operations.approve_as_customer(rows[0].pk, actor=cast.as_("ada"))
            operations.deny_as_customer(rows[1].pk, actor=cast.as_("ada"), note="No.")
        if tenth == 30:
            operations.sweeps.close_elapsed(actor=cast.system(), limit=10)
    # The first day has retries after 5 s, 5 min, 30 min, 2 h, 5 h and 10 h. Later messages about the same access
    # request wait.
    tries = Counter(got.id for got in receiver.tried if got.message["type"] != "grant.closed")
    assert tries == Counter(dict.fromkeys(tries, 7))
    assert {got.message["type"] for got in receiver.tried} == {
        "ticket.opened",
        "access_request.submitted",
        "grant.closed",
    }
    receiver.answer(200, "ok")
    for _ in range(24):
        deliver()
        travel.by(hours=1)
    assert waiting() == 0
    wanted = AuditEntry.objects.filter(tenant_id=cast.contoso.pk, seq__gt=0).order_by("seq")
    ids = [got.id for got in receiver.got]
    assert sorted(ids) == sorted(messages.id_of(entry) for entry in wanted)
    for row in rows:
        words = [got.message for got in receiver.got if got.message["data"]["access_request"] == str(row.pk)]
        words.sort(key=lambda each: each["data"]["log"]["index"])
        about = [each["type"] for each in words]
        assert about == [entry.event for entry in wanted if entry.correlation_id == row.pk]
        assert len(about) == (4 if row is rows[0] else 3)
    assert fresh(issued.webhook).failures == 0


def test_a_retry_has_the_same_id_and_body_and_its_own_timestamp(cast: Cast, receiver: Receiver, travel: Any) -> None:
    travel.freeze()
    issued = add(cast, receiver)
    receiver.answer(500)
    cast.ticket()
    deliver()
    travel.by(seconds=5)
    receiver.answer(200)
    deliver()
    first, second = receiver.tried
    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 5
    assert verified(issued, second)


def test_the_steps_are_those_of_the_standard(cast: Cast, receiver: Receiver, travel: Any) -> None:
    began = travel.freeze()
    add(cast, receiver)
    receiver.answer(500)
    cast.ticket()
    seen: list[dt.timedelta] = []
    for _ in range(12):
        deliver()
        if len(receiver.tried) > len(seen):
            seen.append(clock.now() - began)
        due = OutboxMessage.objects.filter(lane="webhook", state="waiting").values_list("next_attempt_at", flat=True)
        if not due:
            break
        travel.to(due[0] - dt.timedelta(seconds=1))
        assert deliver() == 0
        travel.by(seconds=1)
    steps = [seen[0], *(later - earlier for earlier, later in zip(seen, seen[1:], strict=False))]
    hours = [0.0, 5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert [step.total_seconds() for step in steps] == pytest.approx([hour * 3600 for hour in hours])


def test_jitter_only_ever_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "JITTER", 0.1)
    waits = {schedule.wait(2) for _ in range(50)}
    assert len(waits) > 10
    assert all(dt.timedelta(minutes=5) <= each <= dt.timedelta(minutes=5.5) for each in waits)
    assert schedule.wait(99) >= dt.timedelta(hours=24)


def test_each_message_to_a_dead_receiver_has_its_own_schedule(cast: Cast, receiver: Receiver, travel: Any) -> None:
    travel.freeze()
    issued = add(cast, receiver)
    receiver.answer(503)
    # More than can be sent to one receiver at the same time.
    many = 2 * delivery.MOST_EACH
    put(issued.webhook, many)
    for tried in (1, 2, 3):
        deliver()
        assert Counter(got.id for got in receiver.tried) == Counter({f"msg_{n}": tried for n in range(many)})
        travel.by(seconds=schedule.STEPS[tried - 1].total_seconds())
    receiver.answer(200)
    deliver()
    assert waiting() == 0
    assert len(receiver.got) == many


def put(webhook: Webhook, many: int, *, event: str = "ticket.opened", about: str = "") -> None:
    """Write messages to a webhook as the dispatcher does, but without log entries."""
    at = clock.now()
    OutboxMessage.objects.bulk_create(
        OutboxMessage(
            **_receivers.outbox_row(webhook, messages.Message(f"msg_{n}", event, "{}", n, about)),
            created_at=at,
            next_attempt_at=at,
        )
        for n in range(many)
    )


def test_a_refused_message_delays_only_later_ones_about_the_same_ticket(
    cast: Cast, receiver: Receiver, travel: Any
) -> None:
    began = travel.freeze()
    add(cast, receiver)
    refused, other = cast.ticket(), cast.ticket()
    opened = messages.id_of(AuditEntry.objects.get(event="ticket.opened", subject_id=str(refused.pk)))
    times: list[dt.timedelta] = []

    def say(got: Got) -> tuple[int, str]:
        if got.id == opened:
            times.append(clock.now() - began)
            return 500, ""
        return 200, ""

    receiver.say = say
    deliver()
    for ticket in (refused, other):
        operations.assign_ticket(ticket.pk, actor=cast.as_("priya"))
    grant = cast.opened(ticket=refused)
    deliver()
    # The messages about the other ticket and about the access request on this ticket do not wait.
    about = Counter(got.message["data"]["subject"]["id"] for got in receiver.got)
    assert about == Counter({str(other.pk): 2, str(grant.access_request_id): 3})
    for _ in range(schedule.MOST_ATTEMPTS - 1):
        travel.to(OutboxMessage.objects.get(topic="ticket.opened", state="waiting").next_attempt_at)
        deliver()
    waits = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert waits == list(schedule.STEPS)
    # After the last attempt, the message delays nothing. It can be sent again with its id.
    parked = OutboxMessage.objects.get(lane="webhook", state="parked")
    assert (parked.topic, parked.attempts, waiting()) == ("ticket.opened", 10, 0)
    assert receiver.got[-1].message["type"] == "ticket.assigned"
    receiver.answer(200)
    operations.redeliver(parked.pk, actor=cast.as_("ines"))
    deliver()
    assert receiver.got[-2].id == opened or receiver.got[-1].id == opened


@pytest.mark.parametrize("ended", ["grant.revoked", "grant.released", "grant.closed"])
def test_messages_that_end_access_wait_for_nothing(cast: Cast, receiver: Receiver, travel: Any, ended: str) -> None:
    travel.freeze()
    add(cast, receiver)
    receiver.say = lambda got: (200 if got.message["type"].startswith("grant.") else 500, "")
    grant = cast.opened()
    deliver()
    assert receiver.got == []
    if ended == "grant.revoked":
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    elif ended == "grant.released":
        operations.release(grant.access_request_id, actor=cast.as_("priya"))
    else:
        travel.to(grant.closes_at)
        operations.sweeps.close_elapsed(actor=cast.system(), limit=10)
    deliver()
    assert receiver.types() == [ended]


def test_messages_that_end_access_pass_hanging_ones(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 60.0)
    issued, arrived = add(cast, receiver), threading.Event()
    hung: list[bool] = []

    def say(got: Got) -> tuple[int, str]:
        if got.body != b"{}" and got.message["type"] == "grant.revoked":
            arrived.set()
            return 200, ""
        hung.append(arrived.wait(120))
        return 500, ""

    receiver.say = say
    Webhook.objects.update(failing_since=clock.now())
    put(issued.webhook, 20)
    grant = cast.opened()
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    delivery.drain()
    assert receiver.types() == ["grant.revoked"]
    assert all(hung)


def test_the_end_of_access_is_announced_though_the_outbox_is_full(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MOST_WAITING", 3)
    monkeypatch.setattr(dispatch, "BATCH", 2)
    add(cast, receiver)
    receiver.say = lambda got: (200 if got.message["type"].startswith("grant.") else 500, "")
    for _ in range(8):
        cast.ticket()
    grants = [cast.opened() for _ in range(3)]
    for grant in grants:
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
        deliver()
    assert receiver.types() == ["grant.revoked"] * 3
    assert dispatch.has_news()
    receiver.answer(200)
    OutboxMessage.objects.filter(lane="webhook").update(next_attempt_at=clock.now())
    while dispatch.has_news():
        deliver()
    # Each message is sent once, although the dispatcher read its entry twice.
    assert Counter(receiver.types())["grant.revoked"] == 3
    assert len({got.id for got in receiver.got}) == len(receiver.got)


def test_a_receiver_is_not_switched_off_for_one_message_that_it_refuses(
    cast: Cast, receiver: Receiver, travel: Any
) -> None:
    travel.freeze()
    issued = add(cast, receiver, events=("ticket.opened",))
    refused = str(cast.ticket().pk)
    receiver.say = lambda got: (500 if got.message["data"]["subject"]["id"] == refused else 200, "")
    for attempt in range(schedule.MOST_ATTEMPTS):
        deliver()
        if attempt == 5:
            cast.ticket()
        if due := OutboxMessage.objects.filter(lane="webhook", state="waiting").first():
            travel.to(due.next_attempt_at)
    assert OutboxMessage.objects.get(lane="webhook", state="parked").attempts == 10
    assert fresh(issued.webhook).is_on
    assert len(receiver.got) == 1


@pytest.mark.slow
def test_one_message_that_always_fails_holds_up_its_own_access_request_alone(
    cast: Cast, receiver: Receiver, travel: Any
) -> None:
    travel.freeze()
    add(cast, receiver, events=("access_request.submitted", "access_request.approved_by_provider"))
    bad = cast.confirmed()
    receiver.say = lambda got: (500 if got.message["data"]["access_request"] == str(bad.pk) else 200, "")
    good = [cast.confirmed() for _ in range(3)]
    for _ in range(10):
        deliver()
        travel.by(seconds=5)
    assert {got.message["data"]["access_request"] for got in receiver.got} == {str(row.pk) for row in good}
    assert len(receiver.got) == 6
    assert {got.message["type"] for got in receiver.tried if got not in receiver.got} == {"access_request.submitted"}
    for _ in range(80):
        deliver()
        travel.by(hours=1)
    # After the last attempt, the message delays nothing.
    assert OutboxMessage.objects.get(lane="webhook", state="parked").topic == "access_request.submitted"


# --- No receiver delays another ----------------------------------------------------------------------------


def test_a_hanging_receiver_delays_nobody_else(
    cast: Cast, receivers: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 60.0)
    hanging, well = receivers(), receivers()
    ended = threading.Event()
    arrived: list[Got] = []
    by_then: list[int] = []
    holding: list[int] = []

    def hang(_got: Got) -> tuple[int, str]:
        """Answer only when all messages to the other receiver have arrived."""
        ended.wait(120)
        by_then.append(len(arrived))
        return 500, ""

    def answer(got: Got) -> tuple[int, str]:
        arrived.append(got)
        if len(arrived) == 30:
            holding.append(len(hanging.tried))
            ended.set()
        return 200, ""

    hanging.say, well.say = hang, answer
    stuck = add(cast, hanging, events=("ticket.opened",))
    add(cast, well, events=("ticket.opened",))
    for _ in range(30):
        cast.ticket()
    delivery.drain()
    assert len(well.got) == 30
    assert set(by_then) == {30}
    # A few messages to the hanging receiver are sent at the same time, and the others after them.
    assert holding == [delivery._Lane.FIRST.least]
    assert set(WebhookAttempt.objects.filter(webhook=stuck.webhook).values_list("status", flat=True)) == {500}


def test_receivers_that_hang_leave_threads_to_all_others(
    cast: Cast, receivers: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 60.0)
    monkeypatch.setattr(delivery, "LONGEST_SECONDS", 120.0)
    monkeypatch.setattr(delivery, "MOST_AT_ONCE", 8)
    monkeypatch.setattr(delivery, "MOST_IN_DOUBT", 4)
    ended, well = threading.Event(), receivers()
    arrived: list[Got] = []

    def answer(got: Got) -> tuple[int, str]:
        arrived.append(got)
        if len(arrived) == 10:
            ended.set()
        return 200, ""

    in_time: list[bool] = []

    def hang(_got: Got) -> tuple[int, str]:
        in_time.append(ended.wait(120))
        return 500, ""

    well.say = answer
    for _ in range(6):
        hanging = receivers()
        hanging.say = hang
        issued = add(cast, hanging, events=("ticket.opened",))
        Webhook.objects.filter(pk=issued.webhook.pk).update(failing_since=clock.now())
    add(cast, well, events=("ticket.opened",))
    for _ in range(10):
        cast.ticket()
    delivery.drain()
    assert len(well.got) == 10
    assert in_time
    assert all(in_time)


@pytest.mark.django_db(transaction=True)
def test_drains_side_by_side_send_each_message_once(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All drains believe that they have the turn.

    This can happen if a worker hangs until its turn ends, and then works again.
    """
    monkeypatch.setattr(delivery.cache, "add", lambda *_args, **_options: True)
    issued = add(cast, receiver)
    put(issued.webhook, 30)
    errors: list[Exception] = []

    def run() -> None:
        try:
            delivery.drain()
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    assert errors == []
    assert Counter(got.id for got in receiver.tried) == Counter({f"msg_{n}": 1 for n in range(30)})
    assert waiting() == 0


def test_a_drain_renews_its_turn_well_before_it_ends_and_not_at_each_look(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed: list[float] = []
    monkeypatch.setattr(delivery.cache, "touch", lambda *_args, **_options: renewed.append(clock.monotonic()))
    monkeypatch.setattr(delivery, "_RENEW_SECONDS", 0.9)
    receiver.say = lambda _got: (threading.Event().wait(1.4) or 200, "")
    add(cast, receiver, events=("ticket.opened",))
    cast.ticket()
    delivery.drain()
    assert len(renewed) == 1


def test_a_drain_that_is_at_work_is_enough(cast: Cast, receiver: Receiver) -> None:
    from django.core.cache import cache

    add(cast, receiver)
    cast.ticket()
    cache.add(delivery._TURN, 1, timeout=60)
    assert delivery.drain() == 0
    cache.delete(delivery._TURN)
    assert delivery.drain() == 1


def test_new_work_is_taken_while_a_receiver_is_waited_for(
    cast: Cast, receivers: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 60.0)
    hanging, well = receivers(), receivers()
    ended = threading.Event()
    hanging.say = lambda _got: (200, "") if ended.wait(120) else (500, "")
    add(cast, hanging, events=("ticket.opened",))
    add(cast, well, None, events=("plan.changed",))
    cast.ticket()
    plain = delivery._Drain.claim
    reported: list[Any] = []

    def claim(self: Any, *pools: Any) -> None:
        # An entry is written while the first message hangs.
        if self.sending and not reported:
            reported.append(operations.save_plan(actor=cast.as_("stella"), name="E7", includes_lockbox=True))
        plain(self, *pools)
        if well.got:
            ended.set()

    monkeypatch.setattr(delivery._Drain, "claim", claim)
    delivery.drain()
    assert well.types() == ["plan.changed"]
    assert hanging.types() == ["ticket.opened"]


# --- Responses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_status_of_200_is_success(cast: Cast, receiver: Receiver, status: int) -> None:
    add(cast, receiver)
    receiver.answer(status)
    cast.ticket()
    deliver()
    assert OutboxMessage.objects.get(lane="webhook").state == "delivered"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 429, 500, 503])
def test_any_other_is_failure_and_a_redirect_is_not_followed(
    cast: Cast, receivers: Callable[[], Receiver], status: int
) -> None:
    receiver, elsewhere = receivers(), receivers()
    issued = add(cast, receiver)
    receiver.answer(status, elsewhere.url if status < 400 else "")
    cast.ticket()
    deliver()
    assert elsewhere.tried == []
    assert OutboxMessage.objects.get(lane="webhook").state == "waiting"
    attempt = WebhookAttempt.objects.get()
    assert (attempt.status, attempt.problem) == (status, "")
    assert fresh(issued.webhook).failures == 1


def test_gone_switches_it_off_at_once_and_tells_the_administrator(cast: Cast, receiver: Receiver) -> None:
    issued = add(cast, receiver)
    receiver.answer(410)
    cast.ticket()
    deliver()
    webhook = fresh(issued.webhook)
    assert (webhook.is_on, webhook.off_because) == (False, "gone")
    assert events_in(cast.contoso)[-1] == "webhook.disabled"
    note = OutboxMessage.objects.get(topic="notify.webhook_off")
    assert (note.tenant_id, note.payload["audiences"]) == (cast.contoso.pk, ["administrators"])
    cast.ticket()
    assert deliver() == 0
    assert len(receiver.tried) == 1


@pytest.mark.slow
def test_a_webhook_that_fails_for_days_is_switched_off_and_continues_where_it_stopped(
    cast: Cast, receiver: Receiver, travel: Any
) -> None:
    travel.freeze()
    issued = add(cast, receiver, events=("ticket.opened",))
    receiver.answer(500)
    cast.ticket()
    off_after = None
    for hour in range(90):
        deliver()
        if not fresh(issued.webhook).is_on:
            off_after = hour
            break
        if hour == 70:
            cast.ticket()
        travel.by(hours=1)
    assert off_after is not None
    assert 75 <= off_after <= 85
    assert fresh(issued.webhook).off_because == "failing"
    assert OutboxMessage.objects.get(topic="notify.webhook_off").payload["because"] == "failing"
    cast.ticket()
    receiver.answer(200)
    operations.enable_webhook(issued.webhook.pk, actor=cast.as_("ines"))
    deliver()
    # The first message was given up after its last attempt. The others waited in the outbox or in the log.
    assert len(receiver.got) == 2
    assert events_in(cast.contoso)[-1] == "webhook.enabled"


def test_messages_older_than_three_days_are_left_out_when_it_is_switched_on(
    cast: Cast, receiver: Receiver, travel: Any
) -> None:
    travel.freeze()
    issued = add(cast, receiver, events=("ticket.opened",))
    dead = cast.ticket()
    dispatch.work(clock.monotonic() + 5)
    operations.disable_webhook(issued.webhook.pk, actor=cast.as_("ines"))
    old = cast.ticket()
    travel.by(days=2)
    young = cast.ticket()
    travel.by(days=2)
    operations.enable_webhook(issued.webhook.pk, actor=cast.as_("ines"))
    deliver()
    assert [got.message["data"]["subject"]["id"] for got in receiver.got] == [str(young.pk)]
    assert str(old.pk) != str(dead.pk)
    assert OutboxMessage.objects.get(lane="webhook", state="parked").last_error == "Not sent: the message is too old."


def test_a_receiver_with_an_endless_answer_has_answered(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver)
    receiver.answer(200, "x" * 1_000_000)
    cast.ticket()
    deliver()
    attempt = WebhookAttempt.objects.get()
    assert (attempt.status, len(attempt.answer)) == (200, 200)


def test_only_the_beginning_of_an_answer_is_stored_and_nothing_is_hidden(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver)
    receiver.say = lambda _got: (500, "Broken\r\n\x00\u202e<b>x</b>".encode().decode("latin-1"))
    cast.ticket()
    deliver()
    answer = WebhookAttempt.objects.get().answer
    assert answer.startswith("Broken ")
    assert "\n" not in answer
    assert not set(answer) & set("\x00\u202e\r")


# --- Forbidden addresses -----------------------------------------------------------------------------------


def test_a_receiver_in_a_closed_private_network_gets_nothing(cast: Cast, receiver: Receiver, settings: Any) -> None:
    add(cast, receiver)
    settings.WEBHOOK_PRIVATE_NETWORK = False
    cast.ticket()
    deliver()
    assert receiver.tried == []
    assert WebhookAttempt.objects.get().problem == "address"


def test_a_name_that_now_has_a_private_address_is_not_connected_to(
    cast: Cast, receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_PRIVATE_NETWORK = False
    operations.add_webhook(
        cast.contoso.pk, url="https://hooks.contoso.example/in", events=["*"], actor=cast.as_("ines")
    )
    inside = [(2, 1, 6, "", ("10.0.0.1", 0))]
    monkeypatch.setattr(outbound.socket, "getaddrinfo", lambda *_args, **_options: inside)
    cast.ticket()
    deliver()
    assert WebhookAttempt.objects.get().problem == "address"


def test_neither_logs_nor_mails_nor_the_portal_say_what_a_receiver_is_reached_or_checked_by(
    cast: Cast, receiver: Receiver, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """The path of a webhook's URL and its keys are as secret as passwords."""
    issued = add(cast, receiver)
    for status in (500, 410):
        receiver.answer(status)
        operations.send_webhook_test(issued.webhook.pk, actor=cast.as_("ines"))
        deliver()
    while mails.drain():
        pass
    staff = Client()
    staff.force_login(cast.stella)
    message = OutboxMessage.objects.filter(lane="webhook")[0]
    pages = [
        staff.get(reverse(f"admin:requests_app_{name}_change", args=[pk])).content.decode()
        for name, pk in (
            ("webhook", issued.webhook.pk),
            ("outboxmessage", message.pk),
            ("webhookattempt", WebhookAttempt.objects.all()[0].pk),
        )
    ]
    sent = [f"{each.body} {each.alternatives}" for each in mail.outbox]
    assert len(sent) == 1
    logged = caplog.text + "".join(capfd.readouterr())
    assert "webhook_failed" in logged
    keys = issued.keys
    hidden = [keys.whsec[6:], keys.whsk[5:], "8f3a-secret-path", "querysecret", issued.webhook.sealed]
    for words in [logged, *pages, *sent]:
        assert [each for each in hidden if each in words] == []


# --- Killed workers, forged rows, old rows -----------------------------------------------------------------


class Killed(BaseException):
    """Raised in place of a SIGKILL. No code of the product catches it."""


def test_killed_between_sending_and_marking_it_is_sent_again_under_the_same_id(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, travel: Any
) -> None:
    travel.freeze()
    add(cast, receiver)
    cast.ticket()

    def killed(*_args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "_keep", killed)
        with pytest.raises(Killed):
            delivery.drain()
    assert len(receiver.got) == 1
    assert deliver() == 0
    travel.by(minutes=1)
    assert deliver() == 1
    assert len({got.id for got in receiver.got}) == 1
    assert len(receiver.got) == 2
    assert OutboxMessage.objects.get(lane="webhook").state == "delivered"


def test_unreadable_keys_are_reported_and_nothing_leaves_unsigned(
    cast: Cast, receiver: Receiver, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    add(cast, receiver)
    settings.WEBHOOK_KEYS = ["another"]
    cast.ticket()
    deliver()
    assert receiver.tried == []
    assert WebhookAttempt.objects.get().problem == "keys"
    assert "webhook_keys_unreadable" in caplog.text


def test_a_new_secret_signs_beside_the_old_one_for_a_day(cast: Cast, receiver: Receiver, travel: Any) -> None:
    travel.to(clock.now(), tick=True)
    old = add(cast, receiver, events=("ticket.opened",))
    new = operations.rotate_webhook_secret(old.webhook.pk, actor=cast.as_("ines"))
    cast.ticket()
    deliver()
    for issued in (old, new):
        assert verified(issued, receiver.got[0])
        assert is_v1a(issued.keys.whpk, receiver.got[0].headers, receiver.got[0].body)
    travel.by(hours=24, tick=True)
    cast.ticket()
    deliver()
    got = receiver.got[1]
    assert len(got.headers["webhook-signature"].split(" ")) == 2
    assert verified(new, got)
    assert not is_v1a(old.keys.whpk, got.headers, got.body)


def test_deliveries_are_forgotten_after_a_month_and_those_of_a_removed_one_at_once(
    cast: Cast, receivers: Callable[[], Receiver], travel: Any
) -> None:
    travel.freeze()
    row, gone = add(cast, receivers(), events=("ticket.opened",)), add(cast, receivers(), events=("ticket.opened",))
    cast.ticket()
    deliver()
    travel.by(days=29)
    cast.ticket()
    deliver()
    operations.remove_webhook(gone.webhook.pk, actor=cast.as_("ines"))
    assert not fresh(gone.webhook).sealed
    travel.by(days=2)
    assert tasks.tidy_webhooks() == 3
    assert list(Webhook.objects.all()) == [row.webhook]
    assert OutboxMessage.objects.filter(lane="webhook").count() == WebhookAttempt.objects.count() == 1


def test_keys_sealed_with_a_former_key_are_sealed_again_within_the_hour(
    cast: Cast, receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_KEYS = ["first"]
    issued = add(cast, receiver)
    operations.rotate_webhook_secret(issued.webhook.pk, actor=cast.as_("ines"))
    settings.WEBHOOK_KEYS = ["second", "first"]
    tidying.work(lambda: False)
    settings.WEBHOOK_KEYS = ["second"]
    webhook = fresh(issued.webhook)
    assert sealing.opened(webhook.former_sealed) == issued.keys
    assert sealing.opened(webhook.sealed) != issued.keys


# --- The bell ----------------------------------------------------------------------------------------------


def test_asking_the_witnesses_is_scheduled() -> None:
    assert {bell.DELIVER_WEBHOOKS, "requests_app.tasks.tidy_webhooks"} <= schedules.FUNCTIONS


@pytest.mark.django_db(transaction=True)
def test_the_drain_that_an_act_rings_for_rings_for_webhooks_where_there_is_news(cast: Cast, receiver: Receiver) -> None:
    cast.ticket()
    OrmQ.objects.all().delete()
    tasks.drain_outbox()
    assert [row.func() for row in OrmQ.objects.all()] == []
    add(cast, receiver)
    cast.ticket()
    tasks.drain_outbox()
    assert bell.DELIVER_WEBHOOKS in [row.func() for row in OrmQ.objects.all()]
    assert tasks.deliver_webhooks() == 1


def names_in_logs() -> Iterator[str]:
    for tenant in Tenant.objects.all():
        yield from events_in(tenant)


def test_a_test_and_a_redelivery_arrive(cast: Cast, receiver: Receiver) -> None:
    issued = add(cast, receiver, events=("ticket.opened",))
    operations.send_webhook_test(issued.webhook.pk, actor=cast.as_("ines"))
    cast.ticket()
    deliver()
    assert sorted(receiver.types()) == ["ticket.opened", "webhook.test"]
    message = OutboxMessage.objects.get(topic="ticket.opened")
    operations.redeliver(message.pk, actor=cast.as_("ines"))
    deliver()
    again = [got for got in receiver.got if got.message["type"] == "ticket.opened"]
    assert len(again) == 2
    assert len({got.id for got in again}) == 1
    assert verified(issued, again[1])
    assert "webhook.redelivered" in set(names_in_logs())


def test_a_test_is_tried_once_and_reaches_one_that_is_off_or_rests(cast: Cast, receiver: Receiver, travel: Any) -> None:
    travel.freeze()
    issued = add(cast, receiver, events=("ticket.opened",))
    actor = cast.as_("ines")
    receiver.answer(500)
    cast.ticket()
    deliver()
    operations.send_webhook_test(issued.webhook.pk, actor=actor)
    deliver()
    assert OutboxMessage.objects.get(topic="webhook.test").state == "parked"
    assert fresh(issued.webhook).failures == 1
    receiver.answer(200)
    operations.send_webhook_test(issued.webhook.pk, actor=actor)
    deliver()
    # The webhook works again, so waiting messages are sent immediately.
    assert receiver.types() == ["webhook.test", "ticket.opened"]
    operations.disable_webhook(issued.webhook.pk, actor=actor)
    operations.send_webhook_test(issued.webhook.pk, actor=actor)
    deliver()
    assert receiver.types()[-1] == "webhook.test"
    assert not fresh(issued.webhook).is_on


def test_the_providers_log_is_sent_too(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver, None)
    assert WebhookCursor.objects.get().log_id == PROVIDER_LOG
