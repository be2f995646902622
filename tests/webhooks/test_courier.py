"""The courier of the signal streams: what it reads first, whom it does not wait for, and who is woken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from structlog.testing import capture_logs

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.events import PROVIDER_LOG
from requests_app.messages import signals
from requests_app.models import Grant, Heartbeat, OutboxMessage, WebhookCursor
from requests_app.operations import signal_polls
from requests_app.platform.waiting import News
from requests_app.work import beat, polls
from requests_app.work.webhooks import courier, delivery, dispatch
from requests_app.work.webhooks.courier import Courier
from tests.cast import Cast
from tests.webhooks.receiver import Receiver, add
from tests.webhooks.test_signals import STREAMS, Program, deliver, got, make_events, revoke

pytestmark = pytest.mark.django_db


def test_receivers_of_one_tenant_that_hang_leave_room_for_the_others(
    cast: Cast, receivers: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(delivery, "MOST_OF_TENANT", 3)
    hanging, good, released = [receivers(), receivers()], receivers(), threading.Event()
    for receiver in hanging:
        receiver.say = lambda _got: (202, "") if released.wait(120) else (500, "")
        Program(cast, "contoso").push(receiver)
    Program(cast).push(good)
    for _ in range(3):
        revoke(cast, cast.in_quillo())
    ours = Courier()
    try:
        with ThreadPoolExecutor(8) as pool:
            for _ in range(50):
                ours.look(pool, pool)
                if len(good.got) == 3:
                    break
                ours._sender.settle(2)
            waited_for = [each.webhook.url for each in ours._sender.sending.values() if each.webhook.tenant_id]
            released.set()
    finally:
        released.set()
    assert (len(good.got), len(waited_for)) == (3, 3)


def test_a_log_in_which_a_window_has_ended_is_read_first(cast: Cast) -> None:
    program = Program(cast)
    stream, grant = program.create(), cast.in_quillo()
    make_events()
    cursors = list(WebhookCursor.objects.filter(webhook=stream["stream_id"]).order_by("pk"))
    assert cursors[0].log_id == PROVIDER_LOG
    program.caller.patch(STREAMS, {"stream_id": stream["stream_id"], "description": "Moved"})
    revoke(cast, grant)
    logs = {each.pk: each.log_id for each in cursors}
    assert [logs[pk] for pk, _webhook in dispatch._MOVED(of_streams=True)] == [cast.contoso.pk, PROVIDER_LOG]


def test_the_workers_task_leaves_signals_alone_and_the_courier_webhooks(
    cast: Cast, receivers: Callable[[], Receiver]
) -> None:
    webhook, stream = receivers(), receivers()
    Program(cast).push(stream)
    add(cast, webhook, events=("grant.revoked",))
    revoke(cast, cast.in_quillo())
    while delivery.drain():
        pass
    assert (len(webhook.got), len(stream.tried)) == (1, 0)
    revoke(cast, cast.in_quillo())
    deliver()
    assert (len(webhook.tried), len(stream.got)) == (1, 2)


def test_without_a_new_entry_the_logs_are_searched_only_now_and_then(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[float] = []

    def work(until: float, *, of_streams: bool) -> int:
        searches.append(until)
        return 0

    monkeypatch.setattr(courier.dispatch, "work", work)
    at = clock.monotonic()
    monkeypatch.setattr(courier.clock, "monotonic", lambda: at)
    ours, pool = Courier(), ThreadPoolExecutor(1)
    ours.look(pool, pool)
    assert searches == [], "nobody has a stream"
    Program(cast).create()
    for _ in range(3):
        ours.look(pool, pool)
    assert len(searches) == 1
    cast.ticket()
    ours.look(pool, pool)
    assert len(searches) == 2
    at += courier.SEARCH_SECONDS
    ours.look(pool, pool)
    assert len(searches) == 3


def test_events_that_exist_are_sent_even_if_an_entry_cannot_be_read(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    Program(cast).push(receiver)
    revoke(cast, cast.in_quillo())
    make_events()

    def work(until: float, *, of_streams: bool) -> int:
        raise ValueError("this entry")

    monkeypatch.setattr(courier.dispatch, "work", work)
    ours = Courier()
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="this entry"):
            ours.look(pool, pool)
        ours._sender.settle(60)
    assert len(receiver.got) == 1


@pytest.mark.django_db(transaction=True)
def test_the_courier_goes_on_after_an_outage(
    cast: Cast, receivers: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, failures = receivers(), [OperationalError("gone"), ValueError("odd")]
    Program(cast).push(receiver)
    revoke(cast, cast.in_quillo())
    monkeypatch.setattr(courier, "REST_SECONDS", 0.01)
    plain, has_arrived = courier._ANY, threading.Event()

    def any_stream() -> Any:
        if failures:
            raise failures.pop()
        return plain()

    receiver.say = lambda _got: has_arrived.set() or (202, "")  # type: ignore[func-returns-value]  # it returns None
    monkeypatch.setattr(courier, "_ANY", any_stream)
    ours = Courier()
    ours.start()
    assert has_arrived.wait(60)
    ours.stop()
    assert failures == []
    assert OutboxMessage.objects.get(lane="signal").state == "delivered"


@pytest.mark.django_db(transaction=True)
def test_a_courier_that_hangs_is_noticed_because_the_beat_writes_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = beat.Beat()
    at = clock.monotonic()
    monkeypatch.setattr(courier.clock, "monotonic", lambda: at + courier.STUCK_SECONDS + 1)
    ours.tick_or_back_off()
    assert not Heartbeat.objects.exists()
    monkeypatch.setattr(courier.clock, "monotonic", lambda: at)
    ours.tick_or_back_off()
    assert Heartbeat.objects.filter(name=Heartbeat.BEAT).exists()


# --- Calls that wait ---------------------------------------------------------------------------------------


class Rung(News):
    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def ring(self) -> None:
        self.times += 1


def test_a_call_that_waits_is_woken_by_an_event_of_its_stream_alone(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polls, "News", Rung)
    hub = polls.Hub()
    ours, theirs = (UUID(Program(cast, tenant).create()["stream_id"]) for tenant in ("contoso", "fabrikam"))
    (mine, leave), (also, leave_also), (other, leave_other) = map(hub.wait_for, (ours, ours, theirs))
    assert hub.look()
    revoke(cast, cast.in_quillo())
    make_events()
    assert hub.look()
    assert [each.times for each in (mine, also, other)] == [1, 1, 0]  # type: ignore[attr-defined]  # they are Rung
    leave()
    hub.look()
    assert [each.times for each in (mine, also, other)] == [1, 2, 0]  # type: ignore[attr-defined]  # they are Rung
    leave_also()
    leave_other()
    assert (hub.look(), hub._waiting) == (False, {})


def test_what_wakes_a_call_is_what_the_call_is_given(cast: Cast) -> None:
    """Otherwise a call would be woken again and again, and answered by nothing."""
    program = Program(cast, "contoso")
    stream = program.create()
    pk = stream["stream_id"]
    revoke(cast, cast.in_quillo())
    make_events()
    found = []
    for status in ("paused", "enabled", "disabled"):
        operations.set_stream_status(pk, status=status, reason="", actor=cast.as_("ines"))
        found.append((bool(signal_polls.with_events([pk])), bool(program.fetched(stream))))
        program.poll(stream, ack=list(program.poll(stream).json()["sets"]))
        found.append((bool(signal_polls.with_events([pk])), bool(program.fetched(stream))))
    assert all(is_woken == is_given for is_woken, is_given in found)
    assert {is_woken for is_woken, _is_given in found} == {True, False}


def test_a_damaged_row_keeps_no_receiver_from_learning_of_an_end(cast: Cast, receivers: Callable[[], Receiver]) -> None:
    receiver, damaged, other = receivers(), cast.in_quillo(), cast.in_quillo()
    program = Program(cast)
    program.push(receiver)
    revoke(cast, damaged)
    # Somebody with the database could do this, and no log would have an entry about it.
    Grant.objects.filter(pk=damaged.pk).update(close_reason="?")
    revoke(cast, other)
    deliver()
    found = [each["events"][signals.SESSION_REVOKED] for each in got(receiver, program.client)]
    # Events about different windows are sent at the same time, so either can arrive first.
    assert sorted(each["initiating_entity"] for each in found) == ["admin", "system"]


def test_an_entry_that_cant_be_read_is_left_out_alone(
    cast: Cast, receivers: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, windows, read = receivers(), [cast.in_quillo() for _ in range(3)], signals.of
    Program(cast).push(receiver)
    unreadable = str(windows[1].access_request_id)

    def of(entries: Any, *more: Any) -> Any:
        if any(str(each.correlation_id) == unreadable for each in entries):
            raise ValueError("damaged")
        return read(entries, *more)

    monkeypatch.setattr(signals, "of", of)
    for window in windows:
        revoke(cast, window)
    with capture_logs() as logs:
        deliver()
    assert len(receiver.got) == 2
    [line] = [line for line in logs if line["event"] == "webhook_entry_unreadable"]
    assert (line["log"], line["error"]) == (str(cast.contoso.pk), "ValueError: damaged")


def test_a_message_that_cant_be_read_holds_up_no_other_receiver(cast: Cast, receivers: Callable[[], Receiver]) -> None:
    bad, good = receivers(), receivers()
    for receiver in (bad, good):
        Program(cast).push(receiver)
    revoke(cast, cast.in_quillo())
    make_events()
    damaged = OutboxMessage.objects.filter(webhook__url=bad.url)
    assert damaged.update(rendered={"body": "{"}) == 1
    deliver()
    assert (len(bad.tried), len(good.got)) == (0, 1)
    assert damaged.get().last_error == "unexpected"
