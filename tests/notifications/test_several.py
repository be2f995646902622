"""One mail about several access requests: its plain text and its HTML have what each reader needs."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.core import mail
from django.urls import resolve

from requests_app import operations
from requests_app.domain import clock
from requests_app.messages.mails import _several, email, words
from requests_app.models import AccessRequest, OutboxMessage, Person
from requests_app.operations import sweeps
from tests.cast import Cast
from tests.notifications.conftest import Mails, says, silent
from tests.notifications.test_mail import HOSTILE, Tags

pytestmark = pytest.mark.django_db

ALLOWED = {"html", "head", "meta", "title", "style", "body", "div", "table", "tr", "td", "th", "h1", "p", "a", "br"}


def five(world: Cast, travel: Any) -> list[AccessRequest]:
    """Submit five access requests, one minute apart. They differ in everything that the mail shows."""
    demand = operations.Demand(
        authority="District Court", instrument="Search warrant", reference="12 O 34/26", date=dt.date(2026, 11, 20)
    )
    rows = []
    for number in range(5):
        fields: dict[str, Any] = {}
        if number == 1:
            fields = {"justification": HOSTILE, "by": "erik"}
        if number == 2:
            fields = {"level": "names", "window_for": 1800}
        if number == 3:
            ask = operations.Ask(
                demand=demand,
                tenant_id=world.contoso.pk,
                service_id=world.exchange.pk,
                resource_ids=[world.resource().pk, world.resource(name="sales").pk],
                level="read",
                window_for=3600,
                tried="Asked for the court's own copy.",
                justification="The warrant names these mailboxes.",
            )
            row = operations.submit(ask, actor=world.as_("priya"))
            rows.append(operations.approve_as_provider(row.pk, actor=world.as_("pat")))
        else:
            rows.append(world.confirmed(**fields))
        travel.by(minutes=1)
    return rows


def test_an_approver_reads_of_each_who_what_how_long_until_when_and_where(
    world: Cast, mails: Mails, travel: Any
) -> None:
    rows = five(world, travel)
    found = mails.sent("ada", "decide_as_customer")
    assert found.subject == "Contoso: 5 access requests for you to answer, the first by Wed 02:05 CET"
    says(
        found,
        "5 access requests for you to answer",
        "you can also deny all waiting access requests together and accept no new access requests for some time",
        "Otherwise you would have got more than 3 mails within 15 minutes",
        "Answer the first access request by Wed 25 Nov, 02:05 CET.",
        "An access request that nobody answers in time expires, and nobody gets access.",
        "Priya Test, an engineer at Microsoft, asks to read messages in 1 mailbox (finance@contoso.example)",
        "Erik Test, an engineer at Microsoft, asks to read messages in 1 mailbox (finance@contoso.example)",
        "see the senders, dates and subjects of messages in 1 mailbox (finance@contoso.example) for 30 minutes",
        "read messages in 2 mailboxes (finance@contoso.example, sales@contoso.example) for 1 hour",
        "The reason is a law-enforcement demand.",
        *(row.reference for row in rows),
        *(f"Wed 25 Nov, 02:0{minute} CET" for minute in range(5, 10)),
        "You get this mail because of your role at Contoso.",
    )
    expected = [f"http://localhost:8000/access-requests/{row.pk}/" for row in rows]
    assert re.findall(r"http://localhost:8000/access-requests/\S+", found.body) == expected
    shown = {str(attrs["href"]) for tag, attrs in Tags(found.alternatives[0][0]).found if tag == "a"}
    assert shown == {*expected, "http://localhost:8000/"} == set(re.findall(r"https?://\S+", found.body))
    assert {resolve(url.removeprefix("http://localhost:8000")).view_name for url in shown} == {
        "web:access_request",
        "web:home",
    }


def test_the_bundled_mail_follows_the_rules_of_every_mail(world: Cast, mails: Mails, travel: Any) -> None:
    five(world, travel)
    found = mails.sent("ada", "decide_as_customer")
    html = found.alternatives[0][0]
    tags = Tags(html).found
    assert {tag for tag, _ in tags} <= {*ALLOWED, "span", "bdi"}
    tables = [attrs.get("role") for tag, attrs in tags if tag == "table"]
    assert tables.count(None) == 1, "the table of what waits is read as one"
    assert "url(" not in html
    assert "@import" not in html
    assert "&lt;b&gt;bold&lt;/b&gt; &lt;script&gt;" in html
    assert "<script" not in html
    assert not re.search("[\u200b\u202a-\u202e\u2066-\u2069]", found.subject + found.body + html)
    for line in found.body.splitlines():
        assert len(line) <= words.WIDTH or " " not in line.strip()
        assert line == line.rstrip()
    assert "\n\n\n" not in found.body
    message = found.message()
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["References"] == message["In-Reply-To"] == f"<{world.contoso.pk}.thread@localhost>"


def test_an_address_that_decides_nothing_is_offered_nothing(world: Cast, mails: Mails, travel: Any) -> None:
    five(world, travel)
    found = mails.sent("soc", "decide_as_customer")
    assert found.subject == "Contoso: 5 access requests for its approvers, the first answer due by Wed 06:35 IST"
    says(found, "The first answer is due by Wed 25 Nov, 06:35 IST.", "To approve or deny, an approver must sign in.")
    silent(found, "you can also deny", "for you to answer")


def test_the_providers_approver_confirms_each_separately(world: Cast, mails: Mails) -> None:
    for _ in range(4):
        world.submitted()
    found = mails.sent("pat", "decide_as_provider")
    assert found.subject == "Contoso: 4 access requests to confirm, the first by Wed 13:05 UTC"
    says(
        found,
        "Confirm an access request only if there is no other way to do the work.",
        "you confirm access requests of Exchange Online.",
    )
    silent(found, "you can also deny")


def test_reminders_say_that_nobody_has_answered(world: Cast, mails: Mails, travel: Any) -> None:
    five(world, travel)
    mails.send("reminder")
    travel.by(hours=1)
    sweeps.remind_deciders(actor=world.system(), limit=10)
    mails.send("reminder")
    assert mails.to("reminder") == ["ada", "alan"]
    found = mails("ada", "reminder")
    assert found.subject == "Contoso: 5 access requests still without an answer, the first answer due by Wed 02:05 CET"
    says(found, "5 access requests still without an answer", "you can also deny all waiting access requests together")


def test_a_list_that_nobody_reads_to_its_end_is_cut_and_says_so(
    world: Cast, mails: Mails, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = five(world, travel)
    mails.send("decide_as_customer")
    row = OutboxMessage.objects.get(rendered__tells__isnull=False, person=world.ada)
    others = list(OutboxMessage.objects.filter(pk__in=row.tells).exclude(pk=row.pk))
    for listed, more in ((3, "2 more access requests"), (4, "1 more access request")):
        monkeypatch.setattr(_several, "LISTED", listed)
        found = email.built(email.render(row, clock.now(), others=others))
        assert found.subject.startswith("Contoso: 5 access requests for you to answer")
        sentence = f"And {more}. The link “See all waiting access requests” leads to the full list."
        says(found, rows[listed - 1].reference, sentence)
        silent(found, rows[listed].reference)


def test_the_bundled_mail_costs_the_same_queries_for_many_as_for_few(
    world: Cast, mails: Mails, travel: Any, django_assert_num_queries: Any
) -> None:
    rows = five(world, travel)
    mails.send("decide_as_customer")
    fanned = OutboxMessage.objects.select_related("person", "tenant")
    row = fanned.get(rendered__tells__isnull=False, person=world.ada)
    alike = list(OutboxMessage.objects.filter(topic=row.topic, recipient=row.recipient).exclude(pk=row.pk))
    assert len(rows) == len(alike) + 1
    for others in (alike[:1], alike):
        with django_assert_num_queries(2):
            email.render(row, clock.now(), others=others)


def test_each_reads_it_in_their_own_time_zone(world: Cast, mails: Mails, travel: Any) -> None:
    Person.objects.filter(pk=world.alan.pk).update(time_zone="America/New_York")
    five(world, travel)
    assert mails.sent("alan", "decide_as_customer").subject.endswith("the first by Tue 20:05 EST")
    assert len([m for m in mail.outbox if m.to == ["alan@contoso.example"]]) == 1
