"""Which new passwords are refused. The rules are the same for all ways to set a password."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.hashers import get_hashers_by_algorithm
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils.module_loading import import_string

from lockbox_site import settings as site
from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.errors import Unacceptable
from requests_app.identity import passwords
from requests_app.models import Invitation, Person
from requests_app.platform import outbound
from requests_app.platform.outbound import Answer, Unreachable
from tests.cast import Cast, events_in
from tests.offenders import collected

GOOD = "another battery of 7 horses"


def refused_as(password: str, person: Person | None = None) -> list[str]:
    try:
        validate_password(password, person)
    except ValidationError as error:
        return sorted(str(each.code) for each in error.error_list)
    return []


def test_a_password_that_is_easy_to_guess_is_refused() -> None:
    cases = [
        ("short 7 ones", ""),
        ("elevenchars", "password_too_short"),
        ("qwertyuiop123", "password_guessed_soon"),
        ("Password12345!", "password_guessed_soon"),
        ("aaaaaaaaaaaaaaaaaa", "password_guessed_soon"),
        ("x" * 500, "password_guessed_soon"),
        ("my lockbox is full", "password_near"),
        ("M1cr0s0ft for ever", "password_near"),
        # All characters are allowed (ASVS 5.0, 6.2.5), also only digits, if the password is hard to guess.
        ("839201746528", ""),
        ("вечером тихо шумит камыш", ""),
        (GOOD + "x" * 200, ""),
    ]
    with collected() as case:
        for password, code in cases:
            with case(password, code):
                found = refused_as(password)
                assert (code in found) if code else found == []


@pytest.mark.django_db
def test_a_password_contains_nothing_of_its_holder(cast: Cast) -> None:
    ada = Person.objects.get(pk=cast.ada.pk)
    ada.name, ada.email = "Ada Lovelace", "ada.king@mail.contoso.example"
    for password in (
        "seven lovelace battery",
        "the Ada-Lovelace case 7",
        "l0v3l@ce runs engines",
        "whose ada.king rules it",
        "contoso buys 7 horses",
        "CÓNTOSO buys 7 horses",
    ):
        assert refused_as(password, ada) == ["password_near"], password
    # Names of three letters are parts of too many words, and many people share the last part of a domain.
    assert refused_as("adaptive example, seven of them", ada) == []
    with pytest.raises(Unacceptable) as refusal:
        operations.set_password(actor=cast.as_("ada"), password="contoso buys 7 horses", how="change")
    assert (refusal.value.field, events_in(cast.contoso)) == ("password", [])


@pytest.mark.django_db
def test_an_invited_person_must_meet_the_password_rules_of_their_tenant(cast: Cast) -> None:
    row = cast.invited("grace@elsewhere.example", by="ines")
    with pytest.raises(Unacceptable) as refusal:
        operations.accept_invitation(
            cast.link_of(row), name="Grace", password="contoso buys 7 horses", actor=Actor.stranger(door="pages")
        )
    assert refusal.value.field == "password"
    assert Invitation.objects.get().accepted_at is None
    assert not Person.objects.filter(email="grace@elsewhere.example").exists()


def _listed(password: str) -> tuple[str, str]:
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    return digest[:5], f"0018A45C4D1DEF81644B54AB7F969B88D65:4\r\n{digest[5:]}:17\r\n{'A' * 35}:0\r\n"


@pytest.mark.parametrize("name", ["{}", "{}.txt"])
def test_a_stolen_password_is_refused_by_a_list_in_a_folder(name: str, tmp_path: Path, settings: Any) -> None:
    prefix, lines = _listed(GOOD)
    (tmp_path / name.format(prefix)).write_text(lines)
    assert refused_as(GOOD) == []
    settings.BREACHED_PASSWORDS = str(tmp_path)
    assert refused_as(GOOD) == ["password_stolen"]
    # A line with count 0 is padding, not a stolen password.
    (tmp_path / name.format(prefix)).write_text(lines.replace(":17", ":0"))
    assert refused_as(GOOD) == []


def test_a_service_hears_five_digits_of_a_hash_and_nothing_else(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.BREACHED_PASSWORDS = "https://pwned.example/range/"
    prefix, lines = _listed(GOOD)
    calls: list[tuple[str, float]] = []

    def get(url: str, *, seconds: float, **_: Any) -> Answer:
        calls.append((url, seconds))
        return Answer(200, "text/plain", lines.encode())

    monkeypatch.setattr(outbound, "get", get)
    assert refused_as(GOOD) == ["password_stolen"]
    assert calls == [(f"https://pwned.example/range/{prefix}", 0.8)]


@pytest.mark.parametrize("trouble", ["no folder", "no answer", "wrong status", "no text"])
def test_an_unreadable_list_does_not_prevent_a_new_password(
    trouble: str, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.BREACHED_PASSWORDS = "/nowhere" if trouble == "no folder" else "https://pwned.example/range"

    def get(url: str, **_: Any) -> Answer:
        if trouble == "no answer":
            raise Unreachable("timeout")
        return Answer(503 if trouble == "wrong status" else 200, "", b"\xff")

    monkeypatch.setattr(passwords, "_away", {})
    monkeypatch.setattr(outbound, "get", get)
    assert refused_as(GOOD) == []
    assert "breached_passwords.unreadable" in caplog.text
    assert GOOD not in caplog.text


def test_a_silent_service_is_not_asked_for_a_while(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form asks the service that knows stolen passwords, and then the act asks it again.

    The act has locks that others need, so it must not wait for the service a second time.
    """
    settings.BREACHED_PASSWORDS = "https://pwned.example/range"
    calls: list[str] = []
    now = [1000.0]

    def get(url: str, **_: Any) -> Answer:
        calls.append(url)
        raise Unreachable("timeout")

    monkeypatch.setattr(passwords, "_away", {})
    monkeypatch.setattr(passwords.clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(outbound, "get", get)
    assert refused_as(GOOD) == refused_as(GOOD) == []
    assert len(calls) == 1
    now[0] += 15
    assert refused_as(GOOD) == []
    assert len(calls) == 2


@pytest.mark.django_db
def test_the_page_says_what_is_wrong_beside_the_field(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.mia)
    from tests.factors import stepped_up

    stepped_up(client, cast.mia)
    form = {"oldpassword": "correct horse battery staple 9", "password1": "qwertyuiop123", "password2": "qwertyuiop123"}
    answer = client.post(reverse("account_change_password"), form)
    assert answer.status_code == 200
    assert "is easy to guess" in answer.content.decode()


def test_passwords_are_stored_as_argon2id() -> None:
    first = site.PASSWORD_HASHERS[0]
    stored = import_string(first)().encode(GOOD, "0123456789abcdef")
    # At least the minimum of OWASP's Password Storage Cheat Sheet: 19 MiB, two rounds.
    assert stored.startswith("argon2$argon2id$v=19$m=102400,t=2,p=8$")
    assert "argon2" not in get_hashers_by_algorithm()
