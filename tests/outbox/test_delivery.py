"""A message is sent once to each recipient. After a crash it is sent with the same ID.

An outdated message is not sent.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core import mail
from django.db import InterfaceError, OperationalError
from structlog.testing import capture_logs

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import WrongState
from requests_app.messages import handlers
from requests_app.messages.mails import email
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, OutboxMessage
from requests_app.models.outbox import FANOUT, MAIL
from requests_app.work import outbox
from tests.cast import Cast, events_in
from tests.web.pages import only_a_refusal, signed_in

pytestmark = [pytest.mark.dialect, pytest.mark.django_db]


def drain_all() -> int:
    done = 0
    while found := outbox.drain():
        done += found
    return done


def mails(topic: Topic, state: str = "delivered") -> list[OutboxMessage]:
    return list(OutboxMessage.objects.filter(lane=MAIL, topic=topic, state=state).order_by("recipient"))


def sent_to(topic: Topic) -> list[str]:
    return sorted(m.to[0] for m in mail.outbox if m.extra_headers["X-Lockbox-Topic"] == topic)


def a_waiting_mail(cast: Cast) -> OutboxMessage:
    """Return a mail to one person. It is due, and was not sent yet."""
    cast.submitted()
    OutboxMessage.objects.exclude(topic=Topic.DECIDE_AS_PROVIDER).delete()
    at = clock.now()
    message = OutboxMessage.objects.get(lane=FANOUT)
    handlers.fan_out(message, at)
    message.delete()
    OutboxMessage.objects.exclude(recipient="pat@provider.example").delete()
    return OutboxMessage.objects.get()


def test_messages_and_their_mails_have_ids_that_sort_by_time(cast: Cast) -> None:
    """With random ids, each new row would change another page of the index of the primary key."""
    cast.submitted()
    drain_all()
    rows = list(OutboxMessage.objects.order_by("pk"))
    assert {row.lane for row in rows} == {FANOUT, MAIL}
    assert {row.pk.version for row in rows} == {7}
    assert [row.created_at for row in rows] == sorted(row.created_at for row in rows)


class Killed(BaseException):
    """Raised in place of a SIGKILL. No code of the product catches it."""


def test_one_note_becomes_one_mail_for_each_recipient(cast: Cast) -> None:
    cast.submitted()
    drain_all()
    assert sent_to(Topic.DECIDE_AS_PROVIDER) == [
        "bea@provider.example",
        "pat@provider.example",
        "paula@provider.example",
    ]
    assert not OutboxMessage.objects.exclude(state="delivered").exists()


def test_an_empty_outbox_ends_the_loop(cast: Cast) -> None:
    assert outbox.drain() == 0


def test_a_message_of_a_newer_version_waits_for_its_worker(cast: Cast) -> None:
    """While an upgrade runs, the newer version posts messages that this one can't send."""
    message = a_waiting_mail(cast)
    for lane in (FANOUT, MAIL):
        before = {"topic": "notify.of_a_newer_version", "lane": lane, "next_attempt_at": clock.now()}
        OutboxMessage.objects.update(**before)
        assert drain_all() == 0
        row = OutboxMessage.objects.values("topic", "lane", "next_attempt_at", "state", "attempts", "claimed_until")
        assert row.get(pk=message.pk) == {**before, "state": "waiting", "attempts": 0, "claimed_until": None}
    assert mail.outbox == []


def test_a_message_to_an_audience_of_a_newer_version_waits_and_counts_no_attempt(cast: Cast) -> None:
    cast.submitted()
    OutboxMessage.objects.exclude(topic=Topic.DECIDE_AS_PROVIDER).delete()
    OutboxMessage.objects.update(payload={"audiences": ["provider_approvers", "of_a_newer_version"]})
    before = clock.now()
    assert outbox.drain() == 1
    message = OutboxMessage.objects.get()
    assert (message.state, message.attempts, message.lane) == ("waiting", 0, FANOUT)
    assert message.next_attempt_at > before
    assert mail.outbox == []


def test_a_drain_works_no_more_than_its_limit(cast: Cast) -> None:
    cast.submitted()
    assert outbox.drain(limit=2) == 2
    assert OutboxMessage.objects.filter(state="delivered").count() == 2


def test_a_mail_that_somebody_waits_for_leaves_before_older_ones(cast: Cast, travel: Any) -> None:
    ticket = cast.ticket()
    travel.by(seconds=2)
    cast.submitted(ticket=ticket)
    drain_all()
    topics = [message.extra_headers["X-Lockbox-Topic"] for message in mail.outbox]
    waited_for = topics.count(Topic.DECIDE_AS_PROVIDER)
    assert topics[:waited_for] == [Topic.DECIDE_AS_PROVIDER] * 3
    assert Topic.TICKET_OPENED in topics[waited_for:]


def test_fanning_out_twice_makes_no_second_mail(cast: Cast) -> None:
    cast.submitted()
    note = OutboxMessage.objects.get(topic=Topic.DECIDE_AS_PROVIDER)
    handlers.fan_out(note, clock.now())
    handlers.fan_out(note, clock.now())
    assert OutboxMessage.objects.filter(topic=Topic.DECIDE_AS_PROVIDER, lane=MAIL).count() == 3


def test_a_note_for_nobody_is_settled_and_says_so(cast: Cast) -> None:
    operations.add_address(cast.northwind.pk, email="soc@northwind.example", actor=cast.as_("noah"))
    cast.submitted()
    for name in ("pat", "paula", "bea"):
        cast.people[name].queue_assignments.all().delete()
    drain_all()
    assert OutboxMessage.objects.get(topic=Topic.DECIDE_AS_PROVIDER).last_error == "Not sent: there is no recipient."


def test_killed_before_the_sending_nothing_is_lost(cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    travel.freeze()
    a_waiting_mail(cast)
    with monkeypatch.context() as patch:
        patch.setattr("requests_app.messages.mails.postman.Postman.send", _killed)
        with pytest.raises(Killed):
            outbox.drain()
    assert outbox.drain() == 0, "it is leased"
    travel.by(minutes=2)
    assert outbox.drain() == 1
    assert sent_to(Topic.DECIDE_AS_PROVIDER) == ["pat@provider.example"]


def test_after_a_kill_between_sending_and_marking_the_same_mail_leaves_again(
    cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    travel.freeze()
    message = a_waiting_mail(cast)
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "_settle", _killed)
        with pytest.raises(Killed):
            outbox.drain()
    # The tenant's name changes. A mail that may have been sent is repeated without changes.
    cast.contoso.name = "Contoso Renamed"
    cast.contoso.save()
    travel.by(minutes=2)
    assert outbox.drain() == 1
    first, second = (m.message() for m in mail.outbox)
    assert first.as_bytes() == second.as_bytes()
    assert first["Message-ID"].startswith(f"<{message.pk}.")
    assert outbox.drain() == 0


def test_a_drain_that_was_held_up_sends_what_another_one_rendered(
    cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain stops between reading a mail and storing its text, until its lease is over. Another drain sends the mail.

    The first drain's own text would have other times in it.
    """
    travel.freeze()
    cast.ticket()
    outbox.drain(limit=1)
    OutboxMessage.objects.exclude(pk=OutboxMessage.objects.filter(lane=MAIL)[0].pk).delete()
    plain = email.render

    def render_and_freeze(message: OutboxMessage, at: Any, **more: Any) -> Any:
        monkeypatch.setattr(email, "render", plain)
        found = plain(message, at, **more)
        travel.by(minutes=3)
        assert outbox.drain() == 1
        return found

    monkeypatch.setattr(email, "render", render_and_freeze)
    outbox.drain()
    first, second = (m.message().as_bytes() for m in mail.outbox)
    assert first == second


def test_a_mail_that_is_read_back_is_the_same(cast: Cast) -> None:
    """PostgreSQL does not preserve the order of a JSON object's members."""
    message = a_waiting_mail(cast)
    message.rendered = email.render(message, clock.now())
    sent = email.built(message.rendered).message().as_bytes()
    message.save()
    message.refresh_from_db()
    assert email.built(message.rendered).message().as_bytes() == sent
    turned = {**message.rendered, "headers": dict(reversed(message.rendered["headers"].items()))}
    assert email.built(turned).message().as_bytes() == sent


def test_a_changed_mail_has_another_id(cast: Cast) -> None:
    message = a_waiting_mail(cast)
    rendered = email.render(message, clock.now())
    files = [{"name": "receipt.json", "text": "{}"}]
    others = [
        {**rendered, "text": rendered["text"] + "More.\n"},
        {**rendered, "subject": "Another"},
        {**rendered, "attachments": files},
        {**rendered, "headers": {**rendered["headers"], "Date": "Wed, 25 Nov 2026 12:00:01 +0000"}},
    ]
    ids = {email.built(each).extra_headers["Message-ID"] for each in [rendered, *others]}
    assert len(ids) == 5
    assert all(name.startswith(f"<{message.pk}.") for name in ids)


def test_a_link_for_a_new_password_is_sent_again_to_the_letter(
    cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    travel.freeze()
    ada = cast.people["ada"]
    operations.ask_for_reset(email=ada.email, actor=Actor.stranger(door="pages"))
    outbox.drain(limit=1)
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "_settle", _killed)
        for minutes in (2, 60, 2):
            with pytest.raises(Killed):
                outbox.drain()
            travel.by(minutes=minutes)
    ada.set_password("of the link that came first")
    ada.save()
    outbox.drain()
    first, second, later, used = (m.message() for m in mail.outbox)
    assert first.as_bytes() == second.as_bytes()
    # After an hour the mail has a new link, and also after the person has used the first link.
    assert len({each["Message-ID"] for each in (first, later, used)}) == 3


def test_killed_in_the_middle_of_fanning_out_every_mail_is_made_once(
    cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    travel.freeze()
    cast.submitted()
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "_settle", _killed)
        with pytest.raises(Killed):
            outbox.drain()
    assert not OutboxMessage.objects.filter(lane=MAIL).exists(), "rolled back with its note"
    travel.by(minutes=2)
    drain_all()
    assert len(sent_to(Topic.DECIDE_AS_PROVIDER)) == 3


def test_a_mail_that_a_slow_drain_lost_to_another_is_not_sent_twice(cast: Cast, travel: Any) -> None:
    travel.freeze()
    a_waiting_mail(cast)
    [slow] = outbox._claim(MAIL, 10)
    travel.by(minutes=2)
    assert outbox.drain() == 1
    assert not outbox._take(slow)
    assert len(mail.outbox) == 1


def test_a_drain_out_of_time_puts_back_what_it_has_not_begun(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.submitted()
    seconds = iter([0.0, 0.0, 1.0, 2.0, 50.0])
    monkeypatch.setattr(clock, "monotonic", lambda: next(seconds, 50.0))
    assert outbox.drain() == 1
    assert not OutboxMessage.objects.filter(claimed_until__isnull=False).exists()
    monkeypatch.undo()
    drain_all()
    assert not OutboxMessage.objects.exclude(state="delivered").exists()


def test_each_wait_is_longer_than_the_one_before_and_jittered() -> None:
    minutes = [0.5, 2, 10, 30, 60, 120, 240, 240, 240]
    for attempts, least in enumerate(minutes, start=1):
        waits = {outbox.back_off(attempts) for _ in range(20)}
        assert len(waits) > 1
        assert all(dt.timedelta(minutes=least) <= wait <= dt.timedelta(minutes=least * 1.2) for wait in waits)


def test_the_last_attempt_comes_about_three_days_after_the_first() -> None:
    waited = sum((outbox.back_off(n) for n in range(1, outbox.MOST_ATTEMPTS)), dt.timedelta())
    assert dt.timedelta(days=2.5) < waited < dt.timedelta(days=3.7)


def test_a_mail_that_fails_for_three_days_is_parked_with_an_entry(
    cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = travel.freeze()
    message = a_waiting_mail(cast)
    # The mail is not outdated during this test. Only the server fails.
    AccessRequest.objects.update(decide_by=start + dt.timedelta(days=9))
    monkeypatch.setattr("requests_app.messages.mails.email.built", _broken)
    for _ in range(outbox.MOST_ATTEMPTS):
        message.refresh_from_db()
        assert message.state == "waiting"
        travel.to(message.next_attempt_at)
        assert outbox.drain() == 1
    message.refresh_from_db()
    assert (message.state, message.attempts, message.claimed_until) == ("parked", 24, None)
    assert message.last_error == "Unexpected: ZeroDivisionError"
    assert outbox.drain() == 0
    assert events_in(cast.contoso)[-1] == "mail.parked"
    assert dt.timedelta(days=2.5) < clock.now() - start < dt.timedelta(days=3.7)


def test_a_mail_that_kills_its_worker_is_parked_in_the_end(
    cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    travel.freeze()
    message = a_waiting_mail(cast)
    monkeypatch.setattr("requests_app.messages.mails.email.built", _killed)
    for _ in range(outbox.MOST_ATTEMPTS):
        with pytest.raises(Killed):
            outbox.drain()
        travel.by(minutes=3)
    assert outbox.drain() == 1
    message.refresh_from_db()
    assert message.state == "parked"


def test_an_error_says_where_it_happened_and_nothing_of_the_mail(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = a_waiting_mail(cast)
    monkeypatch.setattr("requests_app.messages.mails.email.built", _quoting)
    outbox.drain()
    message.refresh_from_db()
    assert message.last_error == "Unexpected: ValueError"
    assert "canary" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_an_outage_of_the_database_blames_no_mail(cast: Cast, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    message = a_waiting_mail(cast)

    def is_away(*_: object, **__: object) -> Any:
        raise kind("the server closed the connection unexpectedly")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(handlers.outdated, "why", is_away)
        with pytest.raises(kind):
            outbox.drain()
    assert [line["event"] for line in logs] == ["outbox.interrupted"]
    message.refresh_from_db()
    assert (message.state, message.attempts, message.claimed_until, message.last_error) == ("waiting", 0, None, "")
    assert mail.outbox == []
    assert outbox.drain() == 1
    assert len(mail.outbox) == 1


def test_a_mail_that_has_left_is_marked_when_the_database_is_back(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    message = a_waiting_mail(cast)
    plain, tries = outbox._settle, []

    def settle(*given: Any) -> None:
        tries.append(given)
        if len(tries) < 3:
            raise OperationalError
        plain(*given)

    monkeypatch.setattr(outbox, "_SETTLE_AGAIN", (0, 0, 0))
    monkeypatch.setattr(outbox, "_settle", settle)
    assert outbox.drain() == 1
    message.refresh_from_db()
    assert (message.state, message.attempts, len(mail.outbox)) == ("delivered", 1, 1)
    assert outbox.drain() == 0


def test_one_broken_mail_does_not_hold_up_the_others(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.submitted()
    whole = handlers.email.built

    def broken_for_pat(rendered: dict[str, Any], **more: Any) -> Any:
        return _broken() if rendered["to"].startswith("pat@") else whole(rendered, **more)

    monkeypatch.setattr("requests_app.messages.mails.email.built", broken_for_pat)
    drain_all()
    assert sent_to(Topic.DECIDE_AS_PROVIDER) == ["bea@provider.example", "paula@provider.example"]
    [waiting] = mails(Topic.DECIDE_AS_PROVIDER, "waiting")
    assert (waiting.recipient, waiting.attempts, waiting.claimed_until) == ("pat@provider.example", 1, None)


def test_nobody_is_asked_to_decide_what_is_decided(cast: Cast) -> None:
    row = cast.confirmed()
    operations.deny_as_customer(row.pk, actor=cast.as_("ada"))
    drain_all()
    assert sent_to(Topic.DECIDE_AS_PROVIDER) == sent_to(Topic.DECIDE_AS_CUSTOMER) == []
    assert {m.last_error for m in mails(Topic.DECIDE_AS_CUSTOMER)} == {"Not sent: the state has changed."}
    assert {m.rendered for m in mails(Topic.DECIDE_AS_CUSTOMER)} == {None}
    assert sent_to(Topic.ACCESS_REQUEST_ENDED) != []


def test_nobody_is_asked_past_the_deadline_though_no_sweep_has_run(cast: Cast, travel: Any) -> None:
    travel.freeze()
    cast.confirmed()
    travel.by(hours=12)
    drain_all()
    assert sent_to(Topic.DECIDE_AS_CUSTOMER) == []


def test_a_window_that_has_closed_is_not_announced_as_open(cast: Cast, travel: Any) -> None:
    travel.freeze()
    cast.opened(window_for=1800)
    travel.by(minutes=30)
    drain_all()
    assert sent_to(Topic.WINDOW_OPENED) == []


def test_a_person_who_lost_the_role_meanwhile_gets_no_mail(cast: Cast) -> None:
    cast.confirmed()
    outbox._drain_lane(FANOUT, 100, clock.monotonic() + 60, outbox.Postman())
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    operations.switch_off_person(cast.paula.pk, actor=cast.as_("stella"))
    drain_all()
    assert sent_to(Topic.DECIDE_AS_CUSTOMER) == ["alan@contoso.example"]
    note = OutboxMessage.objects.get(topic=Topic.DECIDE_AS_CUSTOMER, recipient="ada@contoso.example").last_error
    assert note == "Not sent: the message no longer concerns the recipient."


def test_the_engineer_who_asks_is_never_asked_to_confirm(cast: Cast) -> None:
    cast.submitted(by="bea")
    drain_all()
    assert sent_to(Topic.DECIDE_AS_PROVIDER) == ["pat@provider.example", "paula@provider.example"]


def test_nobody_of_another_tenant_gets_a_mail(cast: Cast) -> None:
    for tenant, admin in (("fabrikam", "finn"), ("northwind", "noah")):
        operations.add_address(cast.tenants[tenant].pk, email=f"soc@{tenant}.example", actor=cast.as_(admin))
    grant = cast.opened()
    drain_all()
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    drain_all()
    assert mail.outbox
    assert not [m.to for m in mail.outbox if "fabrikam" in m.to[0] or "northwind" in m.to[0]]


def test_a_parked_mail_can_be_sent_again_under_the_same_id(cast: Cast) -> None:
    message = a_waiting_mail(cast)
    operations.park_mail(message.pk, actor=cast.system("outbox"), error="The server refused the recipient: 550")
    operations.resend_mail(message.pk, actor=cast.as_("stella"))
    assert outbox.drain() == 1
    message.refresh_from_db()
    assert mail.outbox[0].message()["Message-ID"] == email.sent_id(message.rendered or {})
    assert AuditEntry.objects.filter(event="mail.resent").count() == 1


def _killed(*args: object, **kwargs: object) -> Any:
    raise Killed


def _broken(*args: object, **kwargs: object) -> Any:
    return 1 / 0


def _quoting(*args: object, **kwargs: object) -> Any:
    raise ValueError("canary")


def test_the_text_of_a_sent_mail_is_deleted_after_ninety_days_and_its_row_stays(cast: Cast, travel: Any) -> None:
    travel.freeze()
    cast.submitted()
    drain_all()
    sent, waiting = OutboxMessage.objects.filter(lane=MAIL, rendered__isnull=False).order_by("recipient")[:2]
    OutboxMessage.objects.filter(pk=waiting.pk).update(state="waiting")
    before = OutboxMessage.objects.count()
    travel.by(days=89)
    tasks.tidy_webhooks()
    assert OutboxMessage.objects.get(pk=sent.pk).rendered == sent.rendered
    travel.by(days=2)
    tasks.tidy_webhooks()
    assert OutboxMessage.objects.get(pk=sent.pk).rendered is None
    assert OutboxMessage.objects.get(pk=waiting.pk).rendered == waiting.rendered, "it can still be sent"
    assert OutboxMessage.objects.count() == before
    assert signed_in(cast, "stella").get(f"/admin/requests_app/outboxmessage/{sent.pk}/change/").status_code == 200
    # It would be another mail, with the facts of today.
    with only_a_refusal(), pytest.raises(WrongState, match="text of this mail was deleted"):
        operations.resend_mail(sent.pk, actor=cast.as_("stella"))
