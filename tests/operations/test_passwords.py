"""A new password is set together with an entry and mails, or not at all."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse

from audit_app import recorder
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import NotAllowed, Unacceptable
from requests_app.models import OutboxMessage, Person
from requests_app.operations._change import PROVIDER_LOG
from requests_app.work import outbox
from tests.cast import PASSWORD, Cast, events_in, outbox_topics
from tests.factors import sign_in, stepped_up

pytestmark = pytest.mark.django_db

NEW = "another battery of 7 horses"


def entries() -> list[AuditEntry]:
    return list(AuditEntry.objects.order_by("pk"))


def has(cast: Cast, name: str, password: str) -> bool:
    return Person.objects.get(pk=cast.people[name].pk).check_password(password)


def change(client: Client, *, old: str = PASSWORD, new: str = NEW) -> Any:
    form = {"oldpassword": old, "password1": new, "password2": new}
    return client.post(reverse("account_change_password"), form)


def signed_in(cast: Cast, name: str) -> Client:
    client = Client()
    sign_in(cast.people[name], PASSWORD, client=client)
    stepped_up(client, cast.people[name])
    return client


def link_for(cast: Cast, name: str, mailoutbox: list[Any]) -> str:
    Client().post(reverse("account_reset_password"), {"email": cast.people[name].email})
    outbox.drain(limit=10)
    found = re.search(r"http://\S+(/accounts/password/reset/key/\S+)", mailoutbox.pop().body)
    OutboxMessage.objects.all().delete()
    assert found
    return found[1]


@pytest.mark.parametrize(("name", "tenant"), [("ada", "contoso"), ("otto", "contoso"), ("pat", ""), ("stella", "")])
def test_a_changed_password_is_in_the_log_and_mailed_to_its_holder(
    cast: Cast, mailoutbox: list[Any], name: str, tenant: str
) -> None:
    client, elsewhere = signed_in(cast, name), signed_in(cast, name)
    assert change(client).status_code == 302
    assert has(cast, name, NEW)
    [entry] = entries()
    assert (entry.event, entry.door) == ("person.password_changed", "pages")
    assert entry.tenant_id == (cast.tenants[tenant].pk if tenant else PROVIDER_LOG)
    assert str(entry.actor_id) == entry.subject_id == str(cast.people[name].pk)
    body = bytes(entry.canonical).decode()
    assert '"how":"change"' in body
    assert NEW not in body
    assert "pbkdf2" not in body
    assert mailoutbox == []
    outbox.drain(limit=10)
    [mail] = mailoutbox
    assert mail.to == [cast.people[name].email]
    assert mail.subject == "Your password was changed"
    assert "by a person who knew the previous password" in mail.body
    # All other sessions of the person end, in this browser and in others.
    for browser in (client, elsewhere):
        assert browser.get(reverse("web:home")).status_code == 302


@pytest.mark.parametrize("name", ["ada", "pat"])
def test_a_password_that_is_set_through_a_link_is_in_the_log_as_that(
    cast: Cast, mailoutbox: list[Any], name: str
) -> None:
    token = operations.create_token(name="old", scopes=["log:read"], days=7, actor=cast.as_(name)).row
    elsewhere, client = signed_in(cast, name), Client()
    page = client.get(link_for(cast, name, mailoutbox), follow=True)
    form = {"password1": NEW, "password2": NEW}
    assert client.post(page.redirect_chain[-1][0], form).status_code == 302
    assert has(cast, name, NEW)
    [_made, entry] = entries()
    assert entry.event == "person.password_changed"
    assert '"how":"reset"' in bytes(entry.canonical).decode()
    outbox.drain(limit=10)
    assert "through a link that was sent to this address" in mailoutbox[0].body.replace("\n", " ")
    assert elsewhere.get(reverse("web:home")).status_code == 302
    # Tokens that were made before are revoked, and the new password alone is not enough to sign in.
    token.refresh_from_db()
    assert (token.revoked_at is not None, token.revoked_by_id) == (True, cast.people[name].pk)
    answer = client.post(reverse("account_login"), {"login": cast.people[name].email, "password": NEW})
    assert answer["Location"] == reverse("mfa_authenticate")
    assert client.get(reverse("web:home")).status_code == 302


def test_somebody_of_two_tenants_is_in_both_logs(cast: Cast) -> None:
    cast.fabrikam.memberships.create(person=cast.ada, role="approver", given_at=cast.fabrikam.created_at)
    operations.set_password(actor=cast.as_("ada"), password=NEW, how="change")
    assert events_in(cast.contoso) == events_in(cast.fabrikam) == ["person.password_changed"]
    assert outbox_topics() == ["notify.password_changed"]


def test_somebody_without_a_role_yet_is_in_the_providers_log(cast: Cast) -> None:
    cast.otto.memberships.all().delete()
    assert change(signed_in(cast, "otto")).status_code == 302
    assert [entry.tenant_id for entry in entries()] == [PROVIDER_LOG]
    assert outbox_topics() == ["notify.password_changed"]


@pytest.mark.parametrize("way", ["change", "reset"])
def test_if_no_entry_can_be_written_the_password_stays(
    cast: Cast, mailoutbox: list[Any], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    client = signed_in(cast, "ada")
    link = link_for(cast, "ada", mailoutbox)

    def fail(*_: Any, **__: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(recorder, "record", fail)
    if way == "change":
        answer = change(client)
    else:
        other = Client()
        page = other.get(link, follow=True)
        answer = other.post(page.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    assert answer.status_code == 503
    assert has(cast, "ada", PASSWORD)
    assert (entries(), OutboxMessage.objects.count(), mailoutbox) == ([], 0, [])
    assert client.get(reverse("web:home")).status_code == 200


def test_a_wrong_old_password_changes_nothing(cast: Cast) -> None:
    assert change(signed_in(cast, "ada"), old="wrong").status_code == 200
    assert has(cast, "ada", PASSWORD)
    assert (entries(), outbox_topics()) == ([], [])


def test_a_weak_password_and_somebody_who_is_switched_off_are_refused(cast: Cast) -> None:
    with pytest.raises(Unacceptable):
        operations.set_password(actor=cast.as_("ada"), password="short", how="change")
    Person.objects.get_queryset().filter(pk=cast.alan.pk).update(is_active=False)
    with pytest.raises(NotAllowed):
        operations.set_password(actor=cast.as_("alan"), password=NEW, how="change")
    assert events_in(cast.contoso) == ["act.refused"], "nobody is accused of a weak password"
    assert has(cast, "ada", PASSWORD)
    assert has(cast, "alan", PASSWORD)
    assert outbox_topics() == []
