"""With a real SMTP server: what arrives, which recipients are refused, and how long a dead server delays others."""

from __future__ import annotations

import datetime as dt
import re
import socket
import threading
import time
from html import unescape
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.management import call_command
from django.db import connection

from audit_app.models import AuditEntry
from requests_app.domain import clock
from requests_app.messages.mails import email
from requests_app.messages.mails.postman import Postman
from requests_app.messages.topics import Topic
from requests_app.models import Installation, OutboxMessage
from requests_app.models.outbox import MAIL
from requests_app.platform import bell
from requests_app.queries import monitoring
from requests_app.queries.guide import StepState
from requests_app.queries.guide_of_provider import provider_guide
from requests_app.work import outbox
from tests.cast import Cast
from tests.outbox.conftest import Postbox
from tests.outbox.test_delivery import a_waiting_mail, drain_all
from tests.stopwatch import in_time
from tests.web.pages import signed_in

pytestmark = [pytest.mark.dialect, pytest.mark.django_db]

_BADGE = re.compile(r'<span class="badge\b[^>]*>.*?</span>\s*</td>', re.DOTALL)
PROVIDERS = ["bea@provider.example", "pat@provider.example", "paula@provider.example"]


def a_submission(cast: Cast) -> None:
    cast.submitted()
    OutboxMessage.objects.exclude(topic=Topic.DECIDE_AS_PROVIDER).delete()


def row_of(recipient: str) -> OutboxMessage:
    return OutboxMessage.objects.get(lane=MAIL, recipient=recipient)


def test_mails_arrive_whole_over_one_connection(cast: Cast, postbox: Postbox) -> None:
    a_submission(cast)
    drain_all()
    assert postbox.addresses == PROVIDERS
    assert len(postbox.connections) == 1
    address, received = postbox.received[0]
    assert received["Message-ID"] == email.sent_id(row_of(address).rendered or {})
    assert received["To"] == address
    assert received["From"] == "Microsoft Customer Lockbox <lockbox@localhost>"
    assert received["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in received.iter_parts()] == ["text/plain", "text/html"]


def test_a_refused_recipient_is_parked_at_once_and_blocks_nobody(cast: Cast, postbox: Postbox) -> None:
    postbox.refusals["bea@provider.example"] = "550 5.1.1 No such user as canary here"
    a_submission(cast)
    drain_all()
    assert postbox.addresses == ["pat@provider.example", "paula@provider.example"]
    refused = row_of("bea@provider.example")
    assert (refused.state, refused.attempts) == ("parked", 1)
    # The reply code is enough. A server's text may quote anything.
    assert refused.last_error == "The server refused the recipient: 550 5.1.1"
    entry = AuditEntry.objects.get(event="mail.parked")
    assert (entry.tenant_id, entry.subject_id) == (cast.contoso.pk, str(refused.pk))
    assert len(postbox.connections) == 1


def test_a_full_mailbox_is_tried_again(cast: Cast, postbox: Postbox, travel: Any) -> None:
    at = travel.freeze()
    postbox.refusals["pat@provider.example"] = "452 4.2.2 Mailbox full"
    message = a_waiting_mail(cast)
    drain_all()
    message.refresh_from_db()
    assert (message.state, message.last_error) == ("waiting", "The server refused the recipient: 452 4.2.2")
    assert at + dt.timedelta(seconds=30) <= message.next_attempt_at <= at + dt.timedelta(seconds=36)
    postbox.refusals.clear()
    travel.to(message.next_attempt_at)
    assert outbox.drain() == 1
    assert postbox.addresses == ["pat@provider.example"]


def test_a_mail_that_the_server_never_takes_is_parked(cast: Cast, postbox: Postbox) -> None:
    postbox.data_answer = "554 5.6.0 Message refused"
    message = a_waiting_mail(cast)
    drain_all()
    message.refresh_from_db()
    assert (message.state, message.last_error) == ("parked", "The server refused the mail: 554 5.6.0")


def test_without_a_server_one_mail_is_tried_and_all_rest(cast: Cast, closed_port: int, travel: Any) -> None:
    at = travel.freeze()
    a_submission(cast)
    assert drain_all() == 2, "the note, and the mail that found nobody"
    waiting = OutboxMessage.objects.filter(lane=MAIL, state="waiting")
    assert sorted(waiting.values_list("attempts", flat=True)) == [0, 0, 1]
    assert {row.claimed_until for row in waiting} == {None}
    assert all(at + dt.timedelta(seconds=30) <= row.next_attempt_at <= at + dt.timedelta(seconds=36) for row in waiting)
    assert waiting.get(attempts=1).last_error == "No connection: ConnectionRefusedError"


def test_the_overview_and_the_set_up_say_that_mails_fail(cast: Cast, closed_port: int, travel: Any) -> None:
    travel.freeze()
    Installation.objects.update_or_create(pk=1, defaults={"mail_tested_at": clock.now()})
    staff = signed_in(cast, "stella")
    assert _mail_step(cast) is StepState.DONE
    a_submission(cast)
    drain_all()
    travel.by(minutes=2)
    staff.force_login(cast.stella)
    page = " ".join(unescape(staff.get("/admin/").content.decode()).split())
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    assert (
        f"1 mail was not accepted by {where}, and is tried again: No connection: ConnectionRefusedError. "
        "It was written 2 min ago"
    ) in page
    assert "Everybody got their mail" not in page
    assert _mail_step(cast) is StepState.OPEN


def test_one_full_mailbox_does_not_open_the_step_about_mail_again(cast: Cast, postbox: Postbox) -> None:
    Installation.objects.update_or_create(pk=1, defaults={"mail_tested_at": clock.now()})
    postbox.refusals["bea@provider.example"] = "452 4.2.2 Mailbox full"
    a_submission(cast)
    drain_all()
    assert OutboxMessage.objects.filter(lane=MAIL).exclude(last_error="").count() == 1
    assert _mail_step(cast) is StepState.DONE


def test_a_message_that_was_only_handed_on_is_not_shown_as_delivered(cast: Cast, closed_port: int) -> None:
    a_submission(cast)
    drain_all()
    page = signed_in(cast, "stella").get("/admin/requests_app/outboxmessage/").content.decode()
    badges = [" ".join(re.sub(r"<[^>]+>", "", each).split()) for each in _BADGE.findall(page)]
    assert sorted(badges) == ["Handed on", "Waiting", "Waiting", "Waiting"]


def _mail_step(cast: Cast) -> StepState:
    guide = provider_guide(actor=cast.as_("stella"), at=clock.now())
    return next(each.found.state for each in guide.steps if each.step.name == "mail")


def test_a_hanging_server_costs_one_timeout_and_loses_nothing(cast: Cast, hanging_server: list[socket.socket]) -> None:
    a_submission(cast)
    started = time.monotonic()
    assert drain_all() == 2
    assert time.monotonic() - started >= 1
    assert len(hanging_server) == 1
    assert OutboxMessage.objects.filter(lane=MAIL, state="waiting").count() == 3


@pytest.mark.timed
@pytest.mark.django_db(transaction=True)
def test_a_hanging_server_holds_one_worker(cast: Cast, hanging_server: list[socket.socket]) -> None:
    a_submission(cast)
    outbox.drain(limit=1)
    found: list[float] = []

    def drain() -> None:
        began = time.monotonic()
        outbox.drain()
        found.append(time.monotonic() - began)
        connection.close()

    first, others = threading.Thread(target=drain), [threading.Thread(target=drain) for _ in range(3)]
    first.start()
    while not hanging_server:
        time.sleep(0.01)
    for thread in others:
        thread.start()
    for thread in [first, *others]:
        thread.join(timeout=120)
    assert len(hanging_server) == 1, "the others left it alone"
    in_time(sum(took >= 0.9 for took in found) == 1, found)


def test_a_message_during_another_drains_turn_rings_the_bell(
    cast: Cast, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = a_waiting_mail(cast)
    plain, later = Postman.send, []

    def send(self: Postman, mail: Any) -> None:
        plain(self, mail)
        # Another mail becomes due. The bell wakes a worker for it, and the first worker still has the turn.
        fields = {"tenant": cast.contoso, "recipient": "paula@provider.example", "lane": MAIL, "payload": first.payload}
        fields |= {"created_at": clock.now(), "next_attempt_at": clock.now()}
        later.append(OutboxMessage.objects.create(topic=first.topic, about=first.about, key="later", **fields))
        assert outbox.drain() == 0

    monkeypatch.setattr(Postman, "send", send)
    rung: list[tuple[str, ...]] = []
    monkeypatch.setattr(bell, "ring", lambda *tasks: rung.append(tasks))
    assert outbox.drain(limit=1) == 1
    assert rung == [()]


def test_nothing_is_locked_while_a_mail_is_on_its_way(
    cast: Cast, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks: list[int] = []
    plain = Postman.send

    def send(self: Postman, mail: Any) -> None:
        blocks.append(len(connection.atomic_blocks))
        plain(self, mail)

    a_waiting_mail(cast)
    monkeypatch.setattr(Postman, "send", send)
    outbox.drain()
    assert blocks == [len(connection.atomic_blocks)], "no block but the test's own"


def test_a_connection_that_was_dropped_meanwhile_is_opened_again(postbox: Postbox) -> None:
    with Postman() as postman:
        postman.send(EmailMultiAlternatives("One", "Text", to=["a@provider.example"]))
        postman._connection.connection.sock.shutdown(socket.SHUT_RDWR)
        postman.send(EmailMultiAlternatives("Two", "Text", to=["a@provider.example"]))
    assert [message["Subject"] for _, message in postbox.received] == ["One", "Two"]


def test_a_server_that_closes_the_channel_after_a_refusal_costs_the_others_nothing(
    cast: Cast, postbox: Postbox
) -> None:
    postbox.refusals["bea@provider.example"] = "421 4.7.0 Too many, try again later"
    a_submission(cast)
    drain_all()
    assert postbox.addresses == ["pat@provider.example", "paula@provider.example"]
    assert row_of("bea@provider.example").state == "waiting"


def test_a_recipient_at_whom_the_server_breaks_off_delays_nobody_else(
    cast: Cast, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server breaks off twice in a row at this recipient. This does not count as a server that is down."""
    plain, tried = Postman._send, []

    def send(self: Postman, mail: Any) -> None:
        tried.append(mail.to)
        if mail.to == ["bea@provider.example"]:
            raise TimeoutError
        plain(self, mail)

    monkeypatch.setattr(Postman, "_send", send)
    for _ in range(3):
        a_submission(cast)
    theirs = OutboxMessage.objects.filter(lane=MAIL, recipient="bea@provider.example")
    drain_all()
    assert postbox.addresses == ["pat@provider.example"] * 3 + ["paula@provider.example"] * 3
    assert tried.count(["bea@provider.example"]) == 1
    assert sorted(theirs.values_list("state", "attempts")) == [("waiting", 0), ("waiting", 0), ("waiting", 1)]
    assert {row.claimed_until for row in theirs} == {None}


def test_postponed_mail_leaves_when_the_server_is_back(
    cast: Cast, closed_port: int, travel: Any, settings: Any, request: pytest.FixtureRequest
) -> None:
    travel.freeze()
    a_submission(cast)
    drain_all()
    box: Postbox = request.getfixturevalue("postbox")
    travel.to(clock.now() + dt.timedelta(minutes=1))
    drain_all()
    assert box.addresses == PROVIDERS


def test_failed_mail_is_an_alarm_and_leaves_when_an_operator_asks_for_it(
    cast: Cast, closed_port: int, travel: Any, settings: Any, request: pytest.FixtureRequest
) -> None:
    """Each failure makes the next attempt later. Meanwhile nothing is due, so nothing is late."""
    travel.freeze()
    a_submission(cast)
    drain_all()
    for _ in range(10):
        travel.by(minutes=5)
        drain_all()
    found = {(each.name, each.labels): each.value for each in monitoring.outbox(clock.now())}
    assert found["lockbox_outbox_late_seconds", (MAIL,)] == 0
    assert found["lockbox_outbox_failing_seconds", (MAIL,)] == 50 * 60
    box: Postbox = request.getfixturevalue("postbox")
    call_command("drain_outbox", stdout=StringIO())
    assert box.addresses == [], "nothing is due"
    call_command("drain_outbox", "--failed", stdout=StringIO())
    assert box.addresses == PROVIDERS
    assert {each.value for each in monitoring.outbox(clock.now()) if "failing" in each.name} == {0}
