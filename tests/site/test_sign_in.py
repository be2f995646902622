"""Who may try to sign in, and how often."""

import threading
from typing import Any

import pytest
from django.conf import settings as site_settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection
from django.test import Client
from pytest_django import Settings

from lockbox_site.environment import env
from requests_app.models import Person
from tests.site.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def test_nobody_signs_up(client: Client) -> None:
    fields = {
        "email": "new@contoso.example",
        "password1": "long-enough-for-us",
        "password2": "long-enough-for-us",
    }
    client.post("/accounts/signup/", fields)
    assert not Person.objects.exists()


def test_a_sign_in_is_limited_and_does_not_tell_who_exists(client: Client, approver: object) -> None:
    """The sixth try within five minutes is not looked at, right password or not."""

    def attempt(email: str, password: str) -> bytes:
        return client.post("/accounts/login/", {"login": email, "password": password}).content

    known, unknown = attempt("approver@contoso.example", "wrong"), attempt("nobody@contoso.example", "wrong")
    assert known.count(b"errorlist") == unknown.count(b"errorlist")
    for _ in range(4):
        attempt("approver@contoso.example", "wrong")
    answer = client.post("/accounts/login/", {"login": "approver@contoso.example", "password": PASSWORD})
    assert answer.status_code != 302
    assert "_auth_user_id" not in client.session


@pytest.fixture
def shared_cache(transactional_db: None, settings: Settings) -> None:
    """The cache that a real installation has."""
    shared = env.cache_url_config("dbcache://lockbox_cache?max_entries=10000")
    settings.CACHES = {**site_settings.CACHES, "default": shared}


@pytest.mark.slow
@pytest.mark.usefixtures("shared_cache")
def test_a_hundred_tries_at_once_are_looked_at_five_times(approver: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []

    def check(person: AbstractBaseUser, raw: str) -> bool:
        looked_at.append(raw)
        return False

    monkeypatch.setattr(Person, "check_password", check)
    answers: list[int] = []

    def attempt() -> None:
        fields: dict[str, Any] = {"login": approver.email, "password": "wrong"}
        try:
            answers.append(Client(raise_request_exception=False).post("/accounts/login/", fields).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=attempt) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 100
    assert 1 <= len(looked_at) <= 5


@pytest.mark.usefixtures("shared_cache")
def test_the_cache_of_all_processes_has_its_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM lockbox_cache")
        assert cursor.fetchone() is not None


def test_a_mail_server_that_fails_does_not_tell_who_has_an_account(
    client: Client, approver: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.message.EmailMessage.send", refuse)
    known = client.post("/accounts/password/reset/", {"email": approver.email})
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@contoso.example"})
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert known.status_code == 302
