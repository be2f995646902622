"""Limits on attempts to sign in."""

import datetime as dt
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.conf import settings as site_settings
from django.db import connection
from django.test import Client
from pytest_django import Settings
from structlog.testing import capture_logs

from bench.sign_in import plain
from lockbox_site.environment import env
from requests_app import tasks
from requests_app.identity import guesses, verification
from requests_app.identity.guesses import Attempt
from requests_app.models import Person, Tries
from tests.conftest import Traveller
from tests.factors import a_code
from tests.offenders import collected
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
    """The sixth try within five minutes is not checked, even if the password is right."""

    def attempt(email: str, password: str) -> bytes:
        return client.post("/accounts/login/", {"login": email, "password": password}).content

    known, unknown = attempt("approver@contoso.example", "wrong"), attempt("nobody@contoso.example", "wrong")
    assert known.count(b"errorlist") == unknown.count(b"errorlist")
    for _ in range(4):
        attempt("approver@contoso.example", "wrong")
    answer = client.post("/accounts/login/", {"login": "approver@contoso.example", "password": PASSWORD})
    assert answer.status_code != 302
    assert "_auth_user_id" not in client.session


def test_a_sign_in_has_a_new_session_and_a_line_in_the_log(client: Client, member: Person) -> None:
    """Otherwise an attacker who knows the session id from before the sign-in could use the session afterwards."""
    session = client.session
    session["put"] = "there before"
    session.save()
    before = str(session.session_key)
    with capture_logs() as logs:
        client.post("/accounts/login/", {"login": member.email, "password": "wrong"})
        client.post("/accounts/login/", {"login": member.email, "password": PASSWORD})
    assert client.session.session_key != before
    assert client.session["_auth_user_id"] == str(member.pk)
    assert not client.session.__class__(before).exists(before)
    shown = [line for line in logs if line["event"].startswith("sign_in.")]
    assert [(line["event"], line.get("user_id")) for line in shown] == [
        ("sign_in.failed", None),
        ("sign_in.done", str(member.pk)),
    ]
    assert member.email not in str(shown)


def test_existing_and_unknown_addresses_get_the_same_answer(approver: Person) -> None:
    """The responses are equal byte by byte, at the first try and after too many.

    Only tokens, nonces, ids and times differ.
    """

    def answers(who: str, page: str, **form: str) -> list[bytes]:
        found = []
        for number in range(6):
            browser = Client(REMOTE_ADDR=f"10.9.{number}.1")
            found.append(plain(browser.post(page, {name: value or who for name, value in form.items()})))
        return found

    login: dict[str, str] = {"page": "/accounts/login/", "login": "", "password": "wrong for everybody"}
    reset: dict[str, str] = {"page": "/accounts/password/reset/", "email": ""}
    for ask in (login, reset):
        known, unknown = (answers(email, **ask) for email in (approver.email, "nobodies@contoso.example"))
        assert known == unknown
        assert known[0] == known[4] != known[5]


def test_right_ones_count_for_nothing_and_wrong_ones_of_others_keep_nobody_out(
    client: Client, approver: Person, member: Person
) -> None:
    def attempt(email: str, password: str, *, ip: str = "10.0.0.1") -> str:
        answer = Client(REMOTE_ADDR=ip).post("/accounts/login/", {"login": email, "password": password})
        return str(answer.headers.get("Location", ""))

    for _ in range(6):
        assert attempt(member.email, PASSWORD) == "/"
    for number in range(5):
        assert attempt(approver.email, "wrong", ip=f"10.0.1.{number}") == ""
    assert attempt(approver.email, PASSWORD, ip="10.0.2.1") == ""
    # The limit stops only sign-ins. A person who is signed in can still confirm.
    assert verification.is_this_person(approver, PASSWORD, a_code(approver))
    for number in range(10):
        attempt(f"nobody{number}@contoso.example", "wrong", ip="10.0.3.1")
    assert attempt(member.email, PASSWORD, ip="10.0.3.1") == ""
    assert attempt(member.email, PASSWORD, ip="10.0.4.1") == "/"


def test_each_door_counts_its_guesses_until_its_time_is_over(approver: Person, travel: Traveller) -> None:
    """The period begins with the first guess. Exactly at its end, the count starts again."""
    at, minute = travel.freeze(), dt.timedelta(minutes=1)
    mail, ip = "ada@contoso.example", "10.1.0.1"
    doors: dict[str, tuple[Callable[[int], Attempt], int, dt.timedelta]] = {
        "a password for one account": (lambda n: guesses.at_sign_in(mail, f"10.2.{n}.1"), 5, 5 * minute),
        "a password from one address": (lambda n: guesses.at_sign_in(f"p{n}@contoso.example", ip), 10, minute),
        "a passkey": (lambda n: guesses.at_passkey(ip), 10, minute),
        "a mail to one account": (lambda n: guesses.at_reset(mail, f"10.3.{n}.1"), 5, 5 * minute),
        "a mail from one address": (lambda n: guesses.at_reset(f"p{n}@contoso.example", ip), 20, minute),
        "a recovery key": (lambda n: guesses.at_recovery(ip), 5, 15 * minute),
        "a proof of one person": (lambda n: guesses.of_person(approver), 5, 5 * minute),
        "a proof from one address": (lambda n: guesses.of_person(Person(pk=uuid4()), ip), 10, minute),
    }
    with collected() as case:
        for words, (attempt, most, within) in doors.items():
            with case(words):
                travel.to(at)
                assert [attempt(n).count() for n in range(most + 1)] == [True] * most + [False]
                travel.to(at + within - dt.timedelta(microseconds=1))
                late = attempt(most)
                assert (late.count(), late.refusal is None) == (False, False)
                travel.to(at + within)
                assert [attempt(n).count() for n in range(most + 1)] == [True] * most + [False]


def test_a_guess_that_is_given_back_leaves_the_others_counted(approver: Person) -> None:
    wrong, right = guesses.of_person(approver), guesses.of_person(approver)
    assert (wrong.count(), right.count()) == (True, True)
    for _ in range(3):
        # From the second time on, the guess was not counted, and giving it back must not remove another guess.
        right.give_back()
        right = guesses.of_person(approver)
    assert Tries.objects.get().count == 1
    wrong.give_back()
    wrong.give_back()
    assert Tries.objects.get().count == 0


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("2001:db8:0:1::", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::", "2001:db8:0:2::/64"),
        ("no address", "no address"),
        ("x" * 46, "x" * 45),
    ],
)
def test_addresses_that_one_caller_can_choose_from_count_as_one(ip: str, network: str) -> None:
    assert guesses.network_of(ip) == network


def test_counted_guesses_identify_nobody(client: Client) -> None:
    client.post("/accounts/login/", {"login": "my password by mistake@contoso.example", "password": "wrong"})
    client.post("/accounts/login/", {"login": "ada@contoso.example", "password": "wrong"})
    assert Tries.objects.count() > 1


def test_a_count_is_forgotten_after_a_day_and_not_before(travel: Traveller) -> None:
    at, day = travel.freeze(), dt.timedelta(days=1)
    assert guesses.at_passkey("10.0.0.1").count()
    assert guesses.forget_old(at + day) == 0
    assert guesses.forget_old(at + day + dt.timedelta(microseconds=1)) == 1
    assert not Tries.objects.exists()


def test_old_counts_are_forgotten(client: Client, travel: Traveller) -> None:
    travel.freeze()
    client.post("/accounts/login/", {"login": "ada@contoso.example", "password": "wrong"})
    travel.by(days=1, seconds=1)
    client.post("/accounts/login/", {"login": "alan@contoso.example", "password": "wrong"})
    assert tasks.forget_calls() == 1
    assert tasks.forget_calls() == 0


def test_the_cache_of_all_processes_has_its_table(settings: Settings) -> None:
    """A real installation stores this cache in the database."""
    shared = env.cache_url_config("dbcache://lockbox_cache?max_entries=10000")
    settings.CACHES = {**site_settings.CACHES, "default": shared}
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
