"""Forty access requests do not cause forty mails: three get a mail of their own, and later ones share a mail."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
from django.core import mail

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import WrongState
from requests_app.messages import grouping, handlers
from requests_app.messages.mails import email
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, Membership, OutboxMessage, QueueAssignment
from requests_app.models.outbox import FANOUT, MAIL
from requests_app.operations import sweeps
from requests_app.work import outbox
from tests.cast import Cast, events_in
from tests.remembered import MEMORY

pytestmark = pytest.mark.django_db


SEND = "requests_app.messages.mails.postman.Postman.send"


class Killed(BaseException):
    """Raised in place of a SIGKILL. No code of the product catches it."""


@pytest.fixture
def world(cast: Cast, travel: Any) -> Cast:
    """Return the cast, and stop the clock, so that the test decides what happens within a quarter of an hour."""
    travel.to(dt.datetime(2026, 11, 24, 13, 0, tzinfo=dt.UTC))
    travel.freeze()
    return cast


def asked(cast: Cast, count: int = 1, tenant: str = "contoso", by: str = "priya", *, approvers: int = 1) -> list[str]:
    """Bring this number of access requests to the customer. Return their references in the order of a mail's list.

    Contoso has two approvers. With `approvers=1`, only Ada gets mail, so each mail is made once.
    """

    def make() -> list[str]:
        if approvers == 1:
            only_ada_decides(cast)
        ticket = cast.ticket(tenant, {"contoso": "mia", "fabrikam": "fred"}[tenant])
        return in_order(cast.confirmed(tenant, by, ticket=ticket) for _ in range(count))

    return MEMORY.call(("asked", count, tenant, by, approvers), make)


def only_ada_decides(cast: Cast) -> None:
    Membership.objects.filter(person=cast.alan).update(role="auditor")


def in_order(rows: Iterable[AccessRequest]) -> list[str]:
    """Return the references in the order of a mail's list. The deadlines are equal, because the clock is stopped."""
    return [row.reference for row in sorted(rows, key=lambda row: row.pk)]


def drain(topic: Topic = Topic.DECIDE_AS_CUSTOMER) -> None:
    """Send the due messages of this topic, and delete all other messages."""
    OutboxMessage.objects.exclude(topic=topic).delete()
    while outbox.drain():
        pass


def mailed(name: str, topic: Topic = Topic.DECIDE_AS_CUSTOMER) -> list[list[str]]:
    """Return, for each mail to a person, the references of its access requests, in the order of the mail's list."""
    mails = [m for m in mail.outbox if m.to[0].startswith(f"{name}@")]
    return [
        re.findall(r"\bAR-\w{4}-\w{4}\b", str(m.body))
        for m in mails
        if m.extra_headers["X-Lockbox-Topic"] == str(topic)
    ]


def row_of(reference: str, name: str = "ada", topic: Topic = Topic.DECIDE_AS_CUSTOMER) -> OutboxMessage:
    about = AccessRequest.objects.get(reference=reference).pk
    return OutboxMessage.objects.get(about=about, topic=topic, lane=MAIL, recipient__startswith=f"{name}@")


def deny(cast: Cast, *references: str) -> None:
    for row in AccessRequest.objects.filter(reference__in=references):
        operations.deny_as_customer(row.pk, actor=cast.as_("ada"))


def a_mail_of_two(cast: Cast, travel: Any, *, approvers: int = 1) -> list[str]:
    """Send three mails, each about one access request. Then leave two access requests waiting, and return them.

    15 minutes after the first mail, these two share a mail.
    """
    began = clock.now()

    def make() -> tuple[list[str], list[mail.EmailMessage]]:
        for _ in range(3):
            asked(cast, approvers=approvers)
            drain()
            travel.by(minutes=3)
        waiting = asked(cast, 2, approvers=approvers)
        drain()
        return waiting, mail.outbox

    waiting, mail.outbox[:] = MEMORY.call(("a mail of two", approvers), make)
    travel.to(began + dt.timedelta(minutes=15))
    return waiting


def drain_while(sending: Any, monkeypatch: pytest.MonkeyPatch, topic: Topic = Topic.DECIDE_AS_CUSTOMER) -> None:
    """Drain. `sending` replaces the function that sends a mail."""
    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(SEND, sending)
        drain(topic)


def leader_and_other(waiting: Iterable[str]) -> tuple[OutboxMessage, OutboxMessage]:
    leader, other = sorted(map(row_of, waiting), key=lambda row: row.rendered is None)
    return leader, other


def test_three_at_once_go_each_alone_and_four_in_one_mail(world: Cast) -> None:
    three, four = asked(world, 3, approvers=2), asked(world, 4, "fabrikam", approvers=2)
    drain()
    assert sorted(mailed("ada")) == sorted(mailed("alan")) == sorted([each] for each in three)
    assert mailed("frida") == [four]
    assert not OutboxMessage.objects.exclude(state="delivered").exists()
    assert "tells" not in rendered(row_of(three[0]))


@pytest.mark.dialect
def test_the_first_mails_leave_immediately_and_further_ones_are_bundled(world: Cast, travel: Any) -> None:
    first = []
    for _ in range(3):
        first += asked(world)
        drain()
        assert mailed("ada")[-1] == first[-1:]
        travel.by(minutes=1)
    waiting = asked(world, 2)
    drain()
    assert mailed("ada") == [[each] for each in first]
    row = row_of(waiting[0])
    assert (row.state, row.attempts, row.rendered, row.last_error) == ("waiting", 0, None, "")
    assert row.next_attempt_at == dt.datetime(2026, 11, 24, 13, 15, tzinfo=dt.UTC)
    travel.by(minutes=12, seconds=-1)
    drain()
    assert len(mailed("ada")) == 3
    travel.by(seconds=1)
    drain()
    assert mailed("ada")[3:] == [waiting]
    leader, other = leader_and_other(waiting)
    assert set(rendered(leader)["tells"]) == {str(leader.pk), str(other.pk)}
    assert (leader.state, leader.last_error) == (other.state, "") == ("delivered", "")
    assert (other.rendered, other.attempts) == (None, 0)
    assert other.last_error == f"Sent with other messages in one mail: {leader.pk}"


def test_an_access_request_that_waited_alone_gets_its_own_mail(world: Cast, travel: Any) -> None:
    first = asked(world, 3)
    drain()
    last = asked(world)
    drain()
    assert len(mailed("ada")) == 3
    travel.by(minutes=15)
    drain()
    assert mailed("ada")[3:] == [last]
    assert "answer by" in mail.outbox[-1].subject
    assert last[0] not in first


@pytest.mark.slow
def test_forty_access_requests_in_an_hour_are_announced_once_each_in_seven_mails(world: Cast, travel: Any) -> None:
    """Two engineers submit as often as they are allowed to.

    With each mail, the approver denies everything that it lists.
    """
    ends = clock.now() + dt.timedelta(hours=1)
    tickets = {name: world.ticket() for name in ("priya", "erik")}
    asked_for: list[str] = []
    answered: list[str] = []
    while clock.now() < ends:
        name = ("priya", "erik")[len(asked_for) % 2]
        asked_for.append(world.confirmed(by=name, ticket=tickets[name]).reference)
        drain()
        newest = mailed("ada")[-1]
        if len(newest) > 1 and newest != answered:
            deny(world, *newest)
            answered = newest
        travel.by(seconds=90)
    travel.by(minutes=15)
    drain()
    assert len(asked_for) == 40
    tells = mailed("ada")
    assert [len(each) for each in tells] == [1, 1, 1, 8, 10, 10, 9]
    assert [reference for each in tells for reference in each] == asked_for
    assert mailed("alan") == tells
    assert not OutboxMessage.objects.exclude(state="delivered").exists()


@pytest.mark.dialect
def test_an_access_request_that_was_answered_meanwhile_is_not_announced(world: Cast, travel: Any) -> None:
    waiting = a_mail_of_two(world, travel)
    more = asked(world, 2)
    deny(world, waiting[0], more[1])
    drain()
    assert mailed("ada")[3:] == [[waiting[1], more[0]]]
    assert row_of(more[1]).last_error == "Not sent: the state has changed."


def test_an_answered_access_request_does_not_free_a_place_for_a_mail(world: Cast, travel: Any) -> None:
    """An approver who answers fast must not get more mails for that."""
    deny(world, *asked(world, 2))
    drain()
    assert mailed("ada") == []
    first = asked(world, 3)
    drain()
    deny(world, *first)
    asked(world)
    drain()
    assert len(mailed("ada")) == 3


def test_nobody_elses_mail_is_held_up(world: Cast, travel: Any) -> None:
    first = asked(world, 3)
    drain()
    operations.give_role(world.contoso.pk, world.mia.pk, role="approver", actor=world.as_("ines"))
    here, there = asked(world), asked(world, 1, "fabrikam")
    drain()
    assert sorted(mailed("ada")) == sorted([each] for each in first)
    assert mailed("mia") == [here]
    assert mailed("frida") == [there]


def test_the_providers_approvers_are_asked_in_the_same_way(world: Cast) -> None:
    ticket = world.ticket()
    others = [world.submitted(by="erik", ticket=ticket) for _ in range(4)]
    beas = [world.submitted(by="bea", ticket=ticket) for _ in range(2)]
    there = world.submitted("fabrikam").reference
    drain(Topic.DECIDE_AS_PROVIDER)
    assert sorted(mailed("pat", Topic.DECIDE_AS_PROVIDER)) == sorted([in_order([*others, *beas]), [there]])
    assert sorted(mailed("bea", Topic.DECIDE_AS_PROVIDER)) == sorted([in_order(others), [there]])


def test_reminders_of_many_are_one_mail(world: Cast, travel: Any) -> None:
    five = asked(world, 5, approvers=2)
    drain()
    travel.by(hours=1)
    sweeps.remind_deciders(actor=world.system(), limit=10)
    drain(Topic.REMINDER)
    assert mailed("ada", Topic.REMINDER) == [five]
    assert mailed("alan", Topic.REMINDER) == [five]


@pytest.mark.dialect
def test_nothing_waits_until_it_is_too_late_to_answer(world: Cast, settings: Any) -> None:
    settings.CUSTOMER_DECISION_SECONDS = 29 * 60
    asked(world, 3)
    drain()
    urgent = asked(world, 2)
    drain()
    assert mailed("ada")[3:] == [urgent]


def test_after_a_kill_before_sending_the_same_mail_leaves_later(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = a_mail_of_two(world, travel)
    drain_while(_killed, monkeypatch)
    [leader] = [row for row in map(row_of, waiting) if row.state == "waiting"]
    before = rendered(leader)
    deny(world, waiting[0])
    travel.by(minutes=2)
    drain()
    assert mailed("ada")[3:] == [waiting], "one of them still waits for an answer"
    assert [m.message()["Message-ID"] for m in mail.outbox if m.body == before["text"]] == [email.sent_id(before)]
    leader.refresh_from_db()
    assert (leader.state, leader.rendered) == ("delivered", before)


def test_a_bundled_mail_without_valid_parts_is_not_sent(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = a_mail_of_two(world, travel)
    drain_while(_killed, monkeypatch)
    deny(world, *waiting)
    travel.by(minutes=2)
    drain()
    assert len(mailed("ada")) == 3
    leader, other = leader_and_other(waiting)
    assert (leader.state, leader.last_error) == ("delivered", "Not sent: the state has changed.")
    assert (other.state, other.last_error) == (
        "delivered",
        f"Not sent: the state has changed. (sent with other messages in one mail: {leader.pk})",
    )


def test_a_person_who_lost_a_queue_reads_nothing_of_it_in_a_bundled_mail(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person learns nothing, not even about access requests that have ended."""
    topic = Topic.DECIDE_AS_PROVIDER
    here = [world.submitted() for _ in range(2)]
    ticket = world.ticket(service_id=world.sharepoint.pk)
    there = [world.submitted(ticket=ticket) for _ in range(2)]
    drain_while(_not_accepted, monkeypatch, topic)
    QueueAssignment.objects.filter(person=world.pat, service=world.sharepoint).delete()
    operations.withdraw(there[0].pk, actor=world.as_("priya"))
    travel.by(minutes=1)
    drain(topic)
    assert sorted(mailed("pat", topic)) == sorted([row.reference] for row in here)
    notes = {row_of(row.reference, "pat", topic).last_error for row in there}
    assert notes == {"Not sent: the state has changed.", "Not sent: the message no longer concerns the recipient."}
    assert not OutboxMessage.objects.exclude(state="delivered").exists()


@pytest.mark.dialect
def test_a_mail_that_another_drain_takes_apart_or_sends_is_left_to_it(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = a_mail_of_two(world, travel, approvers=2)
    drain_while(_not_accepted, monkeypatch)
    leader, other = leader_and_other(waiting)
    operations.take_role(world.contoso.pk, world.ada.pk, role="approver", actor=world.as_("ines"))
    for meanwhile in ({"state": "delivered"}, {"state": "waiting", "rendered": None}):
        OutboxMessage.objects.filter(pk=leader.pk).update(**meanwhile)
        with pytest.raises(grouping.NotYet):
            grouping.take_apart(leader, clock.now())
        assert row_of_pk(other).last_error == f"Sent with other messages in one mail: {leader.pk}"


@pytest.mark.dialect
def test_after_a_kill_during_bundling_nothing_counts_as_sent(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = a_mail_of_two(world, travel)
    with monkeypatch.context() as patch:
        patch.setattr(grouping.together, "tell", _killed)
        with pytest.raises(Killed):
            drain()
    assert {(row.state, row.rendered is None) for row in map(row_of, waiting)} == {("waiting", True)}
    travel.by(minutes=2)
    drain()
    assert mailed("ada")[3:] == [waiting]


def test_a_mail_that_cannot_be_made_fails_alone_in_the_end(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    five = asked(world, 5)
    broken = AccessRequest.objects.get(reference=five[2]).pk
    whole = grouping.email.render

    def breaks(message: OutboxMessage, *args: Any, others: Any = (), **more: Any) -> Any:
        return 1 / 0 if broken in {each.about for each in (message, *others)} else whole(message, *args, others=others)

    monkeypatch.setattr(grouping.email, "render", breaks)
    for _ in range(4):
        drain()
        travel.by(minutes=15)
    assert sorted(reference for each in mailed("ada") for reference in each) == sorted(five[:2] + five[3:])
    assert row_of(five[2]).state == "waiting"


def test_mail_that_the_server_has_not_accepted_yet_counts_for_the_limit(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail counts from the time when the server accepts it.

    So a server that was down does not get many mails at the same time when it is back.
    """
    first = asked(world, 3)
    drain_while(_not_accepted, monkeypatch)
    more = asked(world, 4)
    drain()
    travel.by(minutes=16)
    drain()
    assert sorted(mailed("ada")) == sorted([each] for each in first)
    more += asked(world)
    travel.by(minutes=14)
    drain()
    assert len(mailed("ada")) == 3
    travel.by(minutes=1)
    drain()
    assert [sorted(each) for each in mailed("ada")[3:]] == [sorted(more)]


def test_a_server_that_was_away_for_hours_is_not_handed_one_mail_for_each(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_ada_decides(world)
    tickets = {name: world.ticket() for name in ("priya", "erik")}
    for number in range(6):
        name = ("priya", "erik")[number % 2]
        for _ in range(3):
            world.confirmed(by=name, ticket=tickets[name])
        drain_while(_not_accepted, monkeypatch)
        travel.by(minutes=15)
    assert mailed("ada") == []
    travel.by(hours=4)
    drain()
    assert len(mailed("ada")) <= 4
    travel.by(minutes=15)
    drain()
    assert len(mailed("ada")) <= 5
    assert len({reference for each in mailed("ada") for reference in each}) == 18


def test_nothing_waits_for_a_mail_that_is_not_tried_again_for_hours(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(world, 3)
    drain_while(_not_accepted, monkeypatch)
    OutboxMessage.objects.filter(state="waiting").update(next_attempt_at=clock.now() + dt.timedelta(hours=4))
    newest = asked(world)
    drain()
    assert mailed("ada") == [newest]


@pytest.mark.dialect
def test_a_mail_of_several_that_is_refused_is_parked_with_all_and_can_be_sent_again(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staff can choose the rows in any order: the rows still belong to one mail."""
    waiting = a_mail_of_two(world, travel, approvers=2)
    drain_while(_refused, monkeypatch)
    leader, other = leader_and_other(waiting)
    assert (leader.state, leader.last_error) == ("parked", "The server refused the recipient: 550")
    assert (other.state, other.last_error) == (
        "parked",
        f"The server refused the recipient: 550 (sent with other messages in one mail: {leader.pk})",
    )
    assert events_in(world.contoso)[-2:] == ["mail.parked"] * 2, "one for each of the two approvers"
    entry = AuditEntry.objects.get(event="mail.parked", subject_id=str(leader.pk))
    about = {str(leader.about), str(other.about)}
    assert set(json.loads(bytes(entry.canonical))["detail"]["access_requests"]) == about
    operations.resend_mail(other.pk, actor=world.as_("stella"))
    operations.resend_mail(leader.pk, actor=world.as_("stella"))
    with pytest.raises(WrongState, match="in one mail with other messages"):
        operations.resend_mail(other.pk, actor=world.as_("stella"))
    entry = AuditEntry.objects.get(event="mail.resent", subject_id=str(leader.pk))
    assert set(json.loads(bytes(entry.canonical))["detail"]["access_requests"]) == about
    drain()
    assert mailed("ada")[3:] == [waiting]
    other.refresh_from_db()
    assert (other.state, other.last_error) == ("delivered", f"Sent with other messages in one mail: {leader.pk}")


def test_a_message_taken_out_of_a_bundle_is_not_parked_with_it(
    world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = a_mail_of_two(world, travel)
    drain_while(_refused, monkeypatch)
    leader, other = leader_and_other(waiting)
    operations.resend_mail(other.pk, actor=world.as_("stella"))
    drain()
    reference = AccessRequest.objects.get(pk=other.about).reference
    assert mailed("ada")[3:] == [[reference]]
    operations.resend_mail(leader.pk, actor=world.as_("stella"))
    drain_while(_refused, monkeypatch)
    assert (row_of_pk(leader).state, row_of_pk(other).state) == ("parked", "delivered")
    assert row_of_pk(other).last_error == ""


def test_a_bundled_message_can_be_sent_again_alone_and_immediately(world: Cast, travel: Any) -> None:
    """It is sent alone even if other messages come before it or wait."""
    waiting = a_mail_of_two(world, travel)
    drain()
    _leader, other = leader_and_other(waiting)
    asked(world, 2, by="erik")
    drain()
    before = len(mailed("ada"))
    operations.resend_mail(other.pk, actor=world.as_("stella"))
    drain()
    other.refresh_from_db()
    assert mailed("ada")[before:] == [[AccessRequest.objects.get(pk=other.about).reference]]
    assert (other.state, other.last_error) == ("delivered", "")


def test_a_failed_mail_does_not_include_others(world: Cast) -> None:
    waiting = fanned_out(asked(world, 5))
    OutboxMessage.objects.filter(pk=waiting[0].pk).update(last_error="Unexpected: ValueError")
    first, second = row_of_pk(waiting[0]), row_of_pk(waiting[1])
    grouping.render(first, clock.now())
    assert "tells" not in rendered(first)
    grouping.render(second, clock.now())
    assert set(rendered(second)["tells"]) == {str(row.pk) for row in waiting[1:]}


@pytest.mark.dialect
def test_bundling_many_costs_the_same_queries_as_few(world: Cast, django_assert_num_queries: Any) -> None:
    """All mails to the recipient are locked during these queries, so their number must not grow."""
    for count in (4, 9):
        first, *_others = fanned_out(asked(world, count))
        with django_assert_num_queries(13):
            grouping.render(first, clock.now())
        assert len(rendered(first)["tells"]) == count
        OutboxMessage.objects.all().delete()
        deny(world, *AccessRequest.objects.filter(state="PENDING_CUSTOMER").values_list("reference", flat=True))


def test_a_second_drain_sends_nothing(world: Cast, travel: Any) -> None:
    """The second drain has read the messages before the first drain rendered or sent them."""
    waiting = a_mail_of_two(world, travel)
    stale = [row_of(each) for each in waiting]
    drain()
    sent = len(mail.outbox)
    for row in stale:
        fresh = OutboxMessage.objects.get(pk=row.pk)
        note = grouping.render(row, clock.now())
        assert note == (fresh.last_error or "Not sent here: another worker sends this message.")
    assert len(mail.outbox) == sent
    OutboxMessage.objects.filter(rendered__isnull=False).update(state="waiting")
    [leader] = [row for row in stale if row_of_pk(row).rendered]
    assert grouping.render(leader, clock.now()) == ""
    assert leader.rendered == row_of_pk(leader).rendered


def fanned_out(references: Iterable[str]) -> list[OutboxMessage]:
    """Return the mails to Ada about these access requests. No attempt to send them was made yet."""
    for message in OutboxMessage.objects.filter(topic=Topic.DECIDE_AS_CUSTOMER, lane=FANOUT):
        handlers.fan_out(message, clock.now())
    return [row_of(each) for each in references]


def rendered(row: OutboxMessage) -> dict[str, Any]:
    assert row.rendered is not None
    return row.rendered


def row_of_pk(row: OutboxMessage) -> OutboxMessage:
    return OutboxMessage.objects.get(pk=row.pk)


def _killed(*args: object, **kwargs: object) -> Any:
    raise Killed


def _refused(*args: object, **kwargs: object) -> Any:
    raise outbox.Refused("The server refused the recipient: 550")


def _not_accepted(*args: object, **kwargs: object) -> Any:
    raise outbox.NotAccepted("The server refused the mail: 451")
