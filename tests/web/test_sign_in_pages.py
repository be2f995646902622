"""The pages of the sign-in look like all pages, have no inline code, and show strangers nothing about accounts."""

import re

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from requests_app.domain import clock
from requests_app.models import OutboxMessage, Person
from requests_app.work import outbox
from tests.cast import Cast
from tests.factors import a_code

PASSWORD = "correct horse battery staple"


@pytest.fixture
def ana(db: None) -> Person:
    at = clock.now()
    person = Person(
        email="ana@contoso.example", name="Ana Torres", side="customer", created_at=at, email_verified_at=at
    )
    person.set_password(PASSWORD)
    person.save()
    return person


def is_ours(html: str) -> bool:
    return 'class="entrance"' in html and "<main" in html and not re.search(r"\sstyle=|<style", html)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    [
        "account_login",
        "account_inactive",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key_done",
    ],
)
def test_a_page_before_the_sign_in_has_our_layout(client: Client, name: str) -> None:
    assert is_ours(client.get(reverse(name)).content.decode())


@pytest.mark.parametrize("name", ["account_change_password", "account_logout"])
def test_a_page_behind_the_sign_in_has_our_layout(client: Client, ana: Person, name: str) -> None:
    client.post(reverse("account_login"), {"login": ana.email, "password": PASSWORD})
    client.post(reverse("web:step_up"), {"password": PASSWORD})
    assert is_ours(client.get(reverse(name)).content.decode())


def test_a_wrong_password_is_reported_in_the_summary(client: Client, ana: Person) -> None:
    html = client.post(reverse("account_login"), {"login": ana.email, "password": "wrong"}).content.decode()
    assert 'class="problem form-errors" role="alert"' in html
    assert PASSWORD not in html


def test_signing_out_takes_a_post(client: Client, ana: Person) -> None:
    client.post(reverse("account_login"), {"login": ana.email, "password": PASSWORD})
    client.get(reverse("account_logout"))
    assert "_auth_user_id" in client.session
    client.post(reverse("account_logout"))
    assert "_auth_user_id" not in client.session


def test_the_link_of_a_reset_opens_the_form_and_works_once(client: Client, ana: Person) -> None:
    client.post(reverse("account_reset_password"), {"email": ana.email})
    assert mail.outbox == []
    outbox.drain(limit=10)
    [message] = mail.outbox
    assert message.subject == "Set a new password"
    path = re.search(r"https?://[^/\s]+(/\S+)", str(message.body))
    assert path
    form = client.get(path[1], follow=True)
    assert "Choose a new password" in form.content.decode()
    new = {"password1": "another horse 4711 xyz", "password2": "another horse 4711 xyz"}
    done = client.post(form.request["PATH_INFO"], new, follow=True)
    assert "Your password is changed" in done.content.decode()
    again = Client().get(path[1], follow=True)
    assert "This link no longer works" in again.content.decode()


def test_a_reset_by_mail_leaves_the_second_factor_as_it_is(cast: Cast) -> None:
    """Access to the mailbox is not enough: the next sign-in asks for the code, and no session begins before that."""
    browser = Client()
    browser.post(reverse("account_reset_password"), {"email": cast.ada.email})
    outbox.drain(limit=50)
    [message] = [each for each in mail.outbox if each.to == [cast.ada.email] and each.subject == "Set a new password"]
    path = re.search(r"https?://[^/\s]+(/\S+)", str(message.body))
    assert path
    form = browser.get(path[1], follow=True)
    new = {"password1": "another horse 4711 xyz", "password2": "another horse 4711 xyz"}
    browser.post(form.request["PATH_INFO"], new, follow=True)
    assert "_auth_user_id" not in browser.session
    answer = browser.post(reverse("account_login"), {"login": cast.ada.email, "password": new["password1"]})
    assert answer["Location"] == reverse("mfa_authenticate")
    assert "_auth_user_id" not in browser.session
    browser.post(answer["Location"], {"code": a_code(cast.ada)})
    assert browser.session["_auth_user_id"] == str(cast.ada.pk)


def test_a_reset_for_a_stranger_looks_the_same_and_sends_nothing(client: Client, ana: Person) -> None:
    known = client.post(reverse("account_reset_password"), {"email": ana.email}, follow=True)
    stranger = client.post(reverse("account_reset_password"), {"email": "nobody@contoso.example"}, follow=True)
    # The two messages differ only in the address. The account is looked up when the mail is sent.
    messages = OutboxMessage.objects.order_by("created_at").values_list("topic", "lane", "tenant", "payload__email")
    assert list(messages) == [
        ("notify.password_reset", "fanout", None, "ana@contoso.example"),
        ("notify.password_reset", "fanout", None, "nobody@contoso.example"),
    ]
    outbox.drain(limit=10)
    assert [message.to for message in mail.outbox] == [["ana@contoso.example"]]
    assert stranger.status_code == known.status_code
    assert stranger.redirect_chain == known.redirect_chain
