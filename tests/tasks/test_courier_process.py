"""The courier of the signal streams in real processes: killed, and beside workers that are busy with mails."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any
from uuid import uuid4

import jwt
import pytest
from aiosmtpd.controller import Controller
from django.conf import settings

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.models import Heartbeat, OutboxMessage, SignalStream, Token
from requests_app.models.people import actor_of_token
from requests_app.operations._stream_settings import Delivery, Wanted
from tests.caller import client_of
from tests.cast import Cast
from tests.ports import free_port
from tests.tasks.conftest import Running, Start, in_service, wait_for
from tests.webhooks.receiver import Got, Receiver

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_clock,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]
MAILS = 500


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    running: list[Receiver] = []

    def start() -> Receiver:
        running.append(Receiver())
        return running[-1]

    yield start
    for receiver in running:
        receiver.close()


def begin(start: Start, *arguments: str, **env: str) -> Running:
    return start(
        *arguments,
        SECRET_KEY=settings.SECRET_KEY,
        BASE_URL=settings.BASE_URL,
        # A cluster whose only worker is busy writes no heartbeat.
        HEARTBEAT_MAX_AGE_SECONDS="1200",
        DJANGO_SETTINGS_MODULE="tests.tasks.patient_mail_settings",
        **env,
    )


def stream(cast: Cast, receiver: Receiver | None = None, tenant: str | None = None) -> SignalStream:
    """Create a stream that is sent to this receiver. Without a receiver, the events are fetched."""
    client, _secret = client_of(cast, tenant, Scope.SSF_READ, Scope.SSF_MANAGE)
    operations.issue_access_token(client, scopes=frozenset({Scope.SSF_MANAGE}))
    token = Token.objects.select_related("account__client").filter(account=client.account).latest("created_at")
    delivery = Delivery(is_push=True, url=receiver.url) if receiver else Delivery()
    return operations.create_stream(Wanted(subject_format="complex", delivery=delivery), actor=actor_of_token(token))


def ended(receiver: Receiver) -> list[str]:
    """Return the windows whose end this receiver has accepted, in the order of their arrival."""
    return [claims(each)["sub_id"]["session"]["id"] for each in receiver.got]


def claims(got: Got) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(got.body.decode(), options={"verify_signature": False})
    return found


@pytest.fixture(autouse=True)
def _private(settings: Any) -> None:
    settings.WEBHOOK_PRIVATE_NETWORK = True


class Blocked:
    """A mail server that takes connections, and accepts no mail until it is released."""

    def __init__(self) -> None:
        self.has_begun, self.released = threading.Event(), threading.Event()
        self.accepted = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # aiosmtpd's name
        self.has_begun.set()
        await asyncio.to_thread(self.released.wait, 120)
        self.accepted += 1
        return "250 OK"


def flood() -> None:
    """Make hundreds of messages of one that is waiting."""
    message = OutboxMessage.objects.filter(lane="fanout", state="waiting").latest("created_at")
    rows = []
    for number in range(MAILS):
        row = copy(message)
        row.pk, row.key, row.mark = uuid4(), f"{message.key} {number}", f"{number}"
        rows.append(row)
    OutboxMessage.objects.bulk_create(rows)


def test_an_end_waits_neither_for_mails_nor_for_a_receiver_that_hangs(
    start: Start, cast: Cast, receivers: Callable[[], Receiver]
) -> None:
    """The only worker is busy with the first of 500 mails until both ends have arrived."""
    grants = [cast.in_quillo() for _ in range(2)]
    flood()
    hangs, others, released = receivers(), [receivers() for _ in range(3)], threading.Event()
    hangs.say = lambda _got: (202, "") if released.wait(120) else (500, "")
    for receiver, tenant in ((hangs, "contoso"), *((each, None) for each in others)):
        stream(cast, receiver, tenant)
    fetched = stream(cast)
    mails = Blocked()
    server = Controller(mails, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        begin(start, "lockbox", "--no-web", WORKERS="1", CLUSTERS="1", EMAIL_URL=f"smtp://127.0.0.1:{server.port}")
        in_service()
        assert mails.has_begun.wait(60)
        for number, grant in enumerate(grants, 1):
            operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
            wait_for(lambda number=number: all(len(each.got) == number for each in others), within=5)
            wait_for(lambda number=number: len(waiting_in(fetched)) == number, within=5)
            # The receiver that hangs was asked, and has not answered. No mail was accepted.
            wait_for(lambda number=number: len(hangs.tried) == number, within=5)
            assert (hangs.got, mails.accepted) == ([], 0)
        assert OutboxMessage.objects.filter(lane__in=["fanout", "mail"], state="waiting").count() >= MAILS
        released.set()
        wait_for(lambda: len(hangs.got) == 2, within=5)
        expected = [str(grant.pk) for grant in grants]
        assert [ended(each) for each in others] == [expected] * 3
        # Windows do not wait for each other, so these two arrived at the same time.
        assert sorted(ended(hangs)) == sorted(expected)
    finally:
        released.set()
        mails.released.set()
        server.stop()


def waiting_in(row: SignalStream) -> list[str]:
    rows = OutboxMessage.objects.filter(webhook=row.pk, lane="poll", state="waiting").order_by("created_at", "seq")
    return [json.loads(each.rendered["body"])["sub_id"]["session"]["id"] for each in rows if each.rendered]


def test_a_kill_between_commit_and_delivery_loses_no_event(start: Start, cast: Cast, receivers: Any) -> None:
    receiver, released = receivers(), threading.Event()
    grants = [cast.in_quillo() for _ in range(3)]
    stream(cast, receiver)
    fetched = stream(cast)
    receiver.say = lambda _got: (500, "" if released.wait(120) else "late")
    running = begin(start, "beat")
    wait_for(lambda: Heartbeat.objects.filter(name=Heartbeat.BEAT).exists(), within=15)
    operations.revoke(grants[0].access_request_id, actor=cast.as_("ada"))
    wait_for(lambda: receiver.tried, within=5, why="the first event is being sent")
    running.process.send_signal(signal.SIGKILL)
    running.process.wait(60)
    # The first event was being sent. The second and third ends are committed, and nobody has made events of them.
    for grant in grants[1:]:
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    released.set()
    receiver.answer(202)
    # The claim of the killed courier ends after a minute.
    OutboxMessage.objects.filter(lane="signal").update(claimed_until=clock.now())
    begin(start, "beat")
    wait_for(lambda: len(receiver.got) == 3, within=20)
    wait_for(lambda: not OutboxMessage.objects.filter(lane="signal", state="waiting").exists(), within=5)
    expected = [str(grant.pk) for grant in grants]
    assert sorted(ended(receiver)) == sorted(expected)
    assert waiting_in(fetched) == expected
    # The event that was being sent is sent again, with its id.
    assert len(receiver.tried) == 4
    assert claims(receiver.tried[0])["jti"] in {claims(each)["jti"] for each in receiver.got}


def test_a_beat_that_is_asked_to_stop_stores_the_answers_that_it_waits_for(
    start: Start, cast: Cast, receivers: Any
) -> None:
    receiver, released = receivers(), threading.Event()
    receiver.say = lambda _got: (202, "") if released.wait(120) else (500, "")
    grant = cast.in_quillo()
    stream(cast, receiver)
    running = begin(start, "beat")
    wait_for(lambda: Heartbeat.objects.filter(name=Heartbeat.BEAT).exists(), within=15)
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    wait_for(lambda: receiver.tried, within=5)
    running.process.send_signal(signal.SIGTERM)
    released.set()
    running.process.wait(60)
    assert OutboxMessage.objects.get(lane="signal").state == "delivered"
    assert len(receiver.tried) == 1
