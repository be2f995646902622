"""What people read about access with which an engineer can change things: a word, a shape, and no false promise."""

from __future__ import annotations

import pytest
from django.core import mail
from django.urls import reverse

from requests_app import operations
from requests_app.models import AccessRequest, Grant, Service, Tenant
from requests_app.work import outbox
from tests.cast import ACT_AS_WORDS, Cast
from tests.factors import stepped_up
from tests.web.pages import nothing_happens
from tests.web.test_external_services import client_of, page, text_of

pytestmark = pytest.mark.django_db

MARK = "Can change things"


def claims(text: str) -> list[str]:
    never = ("cannot change", "can’t change", "does not allow the engineer to change", "nothing can be changed")
    return [claim for claim in never if claim in text]


def confirmed(cast: Cast, level: str = "act_as") -> AccessRequest:
    return cast.confirmed(ticket=cast.ticket(service_id=cast.quillo().pk), level=level)


def test_the_customers_approver_reads_on_each_page_that_things_can_be_changed(cast: Cast) -> None:
    cast.with_act_as()
    row = confirmed(cast)
    for name, more in (("home", ()), ("access_requests", ()), ("access_request", (row.pk,))):
        text = page(cast, "ada", name, *more)
        assert MARK in text, name
        assert "act as users of 1 workspace and change things there" in text.lower(), name
        assert claims(text) == [], name
    deciding: tuple[tuple[str, tuple[object, ...]], ...] = (
        ("access_request", (row.pk,)),
        ("decide", (row.pk, "approve")),
    )
    for name, args in deciding:
        text = page(cast, "ada", name, *args)
        assert "The engineer can change, send and delete things in the name of users of Contoso." in text, name
        assert "Approve 2 hours in which the engineer can change things in 1 workspace, as users of Contoso" in text
        assert claims(text) == [], name
    assert MARK in page(cast, "ada", "decide", row.pk, "deny")
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    grant = Grant.objects.get(access_request=row)
    for who, name, more in (
        ("ada", "home", ()),
        ("ada", "receipt", (row.pk,)),
        ("ada", "access_request", (row.pk,)),
        ("priya", "home", ()),
        ("priya", "window", (grant.pk,)),
    ):
        text = page(cast, who, name, *more)
        assert MARK in text, (who, name)
        assert claims(text) == [], (who, name)
    operations.revoke(row.pk, actor=cast.as_("ada"))
    assert MARK in page(cast, "ada", "access_request", row.pk)


def test_the_providers_approver_reads_it_too(cast: Cast) -> None:
    cast.with_act_as()
    row = cast.submitted(ticket=cast.ticket(service_id=cast.quillo().pk), level="act_as")
    for name, more in (("home", ()), ("access_request", (row.pk,)), ("decide", (row.pk, "approve"))):
        text = page(cast, "pat", name, *more)
        assert MARK in text, name
        assert claims(text) == [], name


@pytest.mark.parametrize("level", ["names", "view", "read"])
def test_no_smaller_level_has_the_mark_and_each_says_that_nothing_can_be_changed(cast: Cast, level: str) -> None:
    cast.with_act_as()
    row = confirmed(cast, level)
    ours = cast.confirmed(ticket=cast.ticket(), level=level)
    for name, more in (("home", ()), ("access_request", (row.pk,)), ("decide", (row.pk, "approve"))):
        assert MARK not in page(cast, "ada", name, *more), name
    theirs = page(cast, "ada", "access_request", row.pk)
    assert "This level does not allow the engineer to change, send or delete anything. Quillo must enforce" in theirs
    assert "The engineer cannot change, send or delete anything." in page(cast, "ada", "access_request", ours.pk)


def test_the_words_of_the_service_stand_beside_the_mark_and_never_replace_it(cast: Cast) -> None:
    """Staff describe the level as a small one. The headline, the mark and the button still say what it is."""
    cast.with_act_as()
    lie = "VIEW ONLY: nothing can be changed. The engineer cannot change, send or delete anything."
    application = "Quillo. Here nothing can be changed"
    levels = f"names\nact_as | {lie} | view only"
    Service.objects.filter(key="quillo").update(levels=levels, application=application)
    row = confirmed(cast)
    assert row.service_words == lie
    review = page(cast, "ada", "access_request", row.pk)
    assert f"Quillo Cloud says: “{lie}”" in review
    assert f"{application} (Microsoft’s own application) enforces this window." in review
    assert "The engineer can change, send and delete things in the name of users of Contoso." in review
    outside = review.replace(lie, "").replace(application, "")
    assert claims(outside) == []
    assert MARK in outside
    assert "in which the engineer can change things in 1 workspace" in outside
    assert "act as users of 1 workspace and change things there" in outside


def test_the_mails_say_it_in_the_subject_and_promise_nothing(cast: Cast) -> None:
    cast.with_act_as()
    row = confirmed(cast)
    mail.outbox.clear()
    while outbox.drain():
        pass
    mails = [each for each in mail.outbox if row.reference in str(each.body) and "ada@" in each.to[0]]
    [asked] = mails
    assert "asks to change things as users of 1 workspace" in asked.subject
    body = " ".join(str(asked.body).split())
    assert "can change things: can act as users, and open, change, send and delete; Quillo enforces this" in body
    assert claims(body) == []
    assert ACT_AS_WORDS in body


def test_the_form_offers_it_only_where_the_tenant_allows_it(cast: Cast) -> None:
    cast.with_act_as(allowed=False)
    ticket = cast.ticket(service_id=cast.quillo().pk)
    address, client = reverse("web:ask", args=[ticket.pk]), client_of(cast, "priya")
    shown = client.get(address)
    assert [value for value, _label in shown.context["form"].fields["level"].choices] == ["names", "view", "read"]
    assert "Contoso has ruled out: act as (can change things)." in text_of(shown)
    operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    assert "Act as: do what users of the customer can do, and change things" in text_of(client.get(address))
    operations.rule_out_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    asked = cast.ask(ticket)
    stale = {
        "resource_ids": [str(asked.resource_ids[0])],
        "level": "act_as",
        "window_for": "3600",
        "tried": asked.tried,
        "justification": asked.justification,
        "step": "submit",
    }
    with nothing_happens():
        answer = client.post(address, stale)
    assert answer.status_code == 422
    assert not AccessRequest.objects.exists()


def test_a_page_from_before_the_ruling_out_approves_nothing(cast: Cast) -> None:
    cast.with_act_as()
    row = confirmed(cast)
    client = client_of(cast, "ada")
    stepped_up(client, cast.ada)
    address = reverse("web:decide", args=[row.pk, "approve"])
    form = client.get(address).context["form"]
    sent = {name: form[name].value() or "" for name in ("digest", "shown")}
    operations.rule_out_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    client.post(address, {**sent, "comment": ""})
    assert AccessRequest.objects.get(pk=row.pk).state == "WITHDRAWN"
    assert not Grant.objects.exists()


def test_the_page_about_levels_says_what_it_is_and_that_it_is_ruled_out(cast: Cast) -> None:
    text = page(cast, "ines", "level_rules", cast.contoso.pk)
    assert "Act in the name of your users: open, change, send and delete." in text
    assert "It is ruled out until an administrator allows it." in text
    assert "your approvers decide on each access request for a service that Lockbox covers" in text
    Tenant.objects.filter(pk=cast.contoso.pk).update(lockbox_on=False)
    off = page(cast, "ines", "level_rules", cast.contoso.pk)
    assert "Lockbox is off. If this level is allowed, Microsoft decides on each access request without asking" in off
    assert "Ruled out: act as (can change things)." in page(cast, "mia", "tenant", cast.contoso.pk)
    operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    assert MARK in page(cast, "mia", "tenant", cast.contoso.pk)
    assert not Tenant.objects.get(pk=cast.fabrikam.pk).allows("act_as")


def test_an_administrator_reads_who_decides_before_lockbox_is_switched_off(cast: Cast) -> None:
    alone = "alone can then let an engineer change things in the name of your users"
    assert alone not in page(cast, "ines", "lockbox", cast.contoso.pk, "off")
    operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    assert alone in page(cast, "ines", "lockbox", cast.contoso.pk, "off")
