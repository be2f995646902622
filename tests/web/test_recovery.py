"""The customer's recovery: a key on paper, a waiting time, and a mail to everybody."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import recovery
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import Invitation, OutboxMessage, Person, RecoveryKey, Tries
from requests_app.work import outbox
from tests.cast import Cast, events_in, outbox_topics
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db

NEW: dict[str, Any] = {"name": "Next Admin", "password": "another battery of 7 horses"}
HERE = "/recovery/"


def made(cast: Cast) -> str:
    return operations.make_recovery_key(cast.contoso.pk, actor=cast.as_("ines")).key


def used(cast: Cast, key: str, email: str = "next@contoso.example") -> Any:
    return Client().post(HERE, {"recovery_key": key, "email": email})


def accepted(cast: Cast) -> Person:
    row = Invitation.objects.get(invited_by=None)
    return operations.accept_invitation(cast.link_of(row), **NEW, actor=Actor.stranger(door="pages"))


def test_a_recovery_key_is_shown_once_and_the_previous_one_stops_working(cast: Cast) -> None:
    page = reverse("web:recovery_key", args=[cast.contoso.pk])
    ines = signed_in(cast, "ines")
    assert "You have no recovery key." in ines.get(page).content.decode()
    old = made(cast)
    answer = ines.post(page)
    key = answer.context["secret"]
    assert key in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert key not in ines.get(page).content.decode()
    assert events_in(cast.contoso) == ["recovery_key.made"] * 2
    assert outbox_topics() == ["notify.recovery_key"] * 2
    assert RecoveryKey.objects.live().get().secret_hash == recovery.hashed(key.lower().replace("-", " "))
    for text in [*(bytes(e.canonical).decode() for e in AuditEntry.objects.all()), *OutboxMessage.objects.all()]:
        assert key not in str(getattr(text, "payload", text))
    assert used(cast, old).status_code == 422
    assert not Invitation.objects.exists()


def test_nobody_else_makes_or_sees_one_the_provider_least_of_all(cast: Cast) -> None:
    made(cast)
    for name, status in (("mia", 403), ("ada", 403), ("otto", 403), ("stella", 403), ("frida", 404), ("pat", 404)):
        client = signed_in(cast, name)
        for method in ("get", "post"):
            answer = getattr(client, method)(reverse("web:recovery_key", args=[cast.contoso.pk]))
            assert answer.status_code == status, name
    with pytest.raises(NotAllowed):
        operations.make_recovery_key(cast.contoso.pk, actor=cast.as_("stella"))
    assert RecoveryKey.objects.count() == 1


def test_it_admits_an_administrator_after_three_days_and_everybody_gets_a_mail(cast: Cast, travel: Any) -> None:
    at = travel.freeze()
    operations.add_address(cast.contoso.pk, email="soc@contoso.example", actor=cast.as_("ines"))
    key = made(cast)
    answer = used(cast, key)
    assert (answer.status_code, events_in(cast.contoso)[-1]) == (200, "recovery_key.used")
    outbox.drain(limit=100)
    shown = OutboxMessage.objects.filter(lane="mail", topic="notify.recovery_key", payload__what="used")
    everybody = {f"{name}@contoso.example" for name in ("mia", "ada", "alan", "otto", "ines", "soc")}
    assert set(shown.values_list("recipient", flat=True)) == everybody
    # The key works once, and the link does not work before its time. Running workers make no difference.
    assert used(cast, key).status_code == 422
    travel.to(at + dt.timedelta(hours=72) - dt.timedelta(microseconds=1))
    with pytest.raises(NotFound):
        accepted(cast)
    travel.to(at + dt.timedelta(hours=72))
    person = accepted(cast)
    assert list(person.memberships.values_list("tenant", "role")) == [(cast.contoso.pk, "administrator")]
    assert events_in(cast.contoso)[-2:] == ["invitation.accepted", "role.given"]
    assert outbox_topics()[-1] == "notify.approvers_changed"


@pytest.mark.parametrize("name", ["ines", "ada"])
def test_an_approver_who_is_still_there_stops_it(cast: Cast, travel: Any, name: str) -> None:
    at = travel.freeze()
    used(cast, made(cast))
    row = Invitation.objects.get()
    client, page = signed_in(cast, name), reverse("web:people", args=[cast.contoso.pk])
    assert "Stop the recovery" in client.get(page).content.decode()
    assert "Stop the recovery" not in signed_in(cast, "otto").get(page).content.decode()
    for other in ("mia", "otto", "stella"):
        with pytest.raises(NotAllowed):
            operations.withdraw_invitation(row.pk, actor=cast.as_(other))
    assert client.post(page, {"act": "withdraw", "invitation": str(row.pk)}).status_code == 302
    travel.to(at + dt.timedelta(hours=80))
    with pytest.raises(NotFound):
        accepted(cast)


def test_a_few_wrong_keys_are_checked_and_all_get_the_same_answer(cast: Cast, travel: Any) -> None:
    at = travel.freeze()
    key, pages = made(cast), set()
    for wrong in ("AAAA", recovery.make(), recovery.make(), key[:-1], key + "2"):
        answer = used(cast, wrong)
        assert answer.status_code == 422
        pages.add(answer.content.decode().partition("<main")[2].partition("<form")[0])
    assert len(pages) == 1
    assert events_in(cast.contoso) == ["recovery_key.made"]
    refused = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event="recovery_key.refused")
    assert refused.count() == 5
    # The sixth try is not checked, even with the right key. Another address can still try.
    with nothing_happens():
        assert used(cast, key).status_code == 429
    travel.to(at + dt.timedelta(minutes=15))
    assert used(cast, key, "mia@contoso.example").status_code == 422
    assert used(cast, key).status_code == 200


def test_wrong_keys_are_counted_for_the_network_that_they_come_from(cast: Cast) -> None:
    """With IPv6, one caller has a whole network of addresses.

    With a limit for each address, they could fill the provider's log.
    """
    key, named = made(cast), {"email": "next@contoso.example"}
    for number in range(5):
        wrong = {"recovery_key": recovery.make(), **named}
        assert Client(REMOTE_ADDR=f"2001:db8::{number:x}").post(HERE, wrong).status_code == 422
    for last in ("ffff", "1:2:3:4"):
        with nothing_happens():
            assert Client(REMOTE_ADDR=f"2001:db8::{last}").post(HERE, {"recovery_key": key, **named}).status_code == 429
    # From another network the key works, and a correct key is not counted.
    assert Client(REMOTE_ADDR="2001:db8:0:1::1").post(HERE, {"recovery_key": key, **named}).status_code == 200
    assert [row.count for row in Tries.objects.order_by("subject")] == [0, 5]


def test_get_of_the_page_changes_nothing(cast: Cast) -> None:
    with nothing_happens():
        for method in ("get", "head"):
            assert getattr(Client(), method)(HERE).status_code == 200
        assert Client().post(HERE, {}).status_code == 422
