"""The set-up link makes the first staff member: once, in time, in one browser, and only over TLS or on this machine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as site
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from structlog.testing import capture_logs

from audit_app.models import AuditEntry
from lockbox_site import logs
from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.errors import WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.identity import guesses
from requests_app.management import _logs
from requests_app.management.commands import lockbox
from requests_app.models import Installation, Person, StaffTerm, Tries
from requests_app.platform import program
from requests_app.work import supervisor
from tests.cast import Cast, outbox_topics
from tests.factors import a_code

pytestmark = pytest.mark.django_db

STAFF: dict[str, Any] = {"name": "Sten", "side": "provider", "is_staff": True, "created_at": "2026-11-30T09:00Z"}

ACCOUNT: dict[str, Any] = {
    "name": "Stella  Okafor",
    "email": "Stella@Provider.example",
    "time_zone": "Europe/Berlin",
    "password": "another battery of 7 horses",
}


def made() -> str:
    """Return the address of a new set-up link."""
    return reverse("web:set_up", args=[operations.make_setup_link(actor=_logs.actor("setup-link"))])


def begun(here: str) -> Client:
    """Return the browser that has opened this link first."""
    browser = Client()
    answer: Any = browser.post(here)
    assert (answer.status_code, answer["Location"]) == (302, here)
    return browser


def events() -> list[str]:
    return list(AuditEntry.objects.filter(tenant_id=PROVIDER_LOG).order_by("seq").values_list("event", flat=True))


def reasons(act: Callable[[], Any], status: int = 404) -> list[str]:
    """Do what must be refused. Return the reasons in the security log, after checking that nothing happened."""
    before = events(), list(Person.objects.values_list("pk")), Installation.objects.values().first(), outbox_topics()
    with capture_logs() as logged:
        answer = act()
    after = events(), list(Person.objects.values_list("pk")), Installation.objects.values().first(), outbox_topics()
    assert after == before
    assert answer.status_code == status
    assert "password" not in answer.content.decode().replace("your password", "")
    return [line["why"] for line in logged if line["event"] == "setup_link.refused"]


def test_the_first_staff_member_is_made_and_has_a_second_factor_before_anything_else(db: None) -> None:
    here = made()
    browser: Any = begun(here)
    page = browser.get(here)
    assert page.status_code == 200
    assert list(page.context["form"].fields) == ["name", "email", "time_zone", "password"]
    answer = browser.post(here, ACCOUNT)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/set-up/")
    person = Person.objects.get()
    assert (person.name, person.email, person.time_zone) == (
        "Stella Okafor",
        "stella@provider.example",
        "Europe/Berlin",
    )
    assert (person.is_staff, person.is_superuser, person.side) == (True, True, "provider")
    assert StaffTerm.objects.get().person == person
    assert events() == ["setup_link.made", "setup_link.opened", "setup_link.used", "role.given"]
    # The person is signed in, and every page leads to the second factor.
    for page_of_staff in ("/admin/", "/", "/preferences/"):
        led = browser.get(page_of_staff)
        assert led["Location"].startswith("/security/passkeys/add/"), page_of_staff
    shown = browser.get("/security/set-up/?next=/admin/set-up/")
    code = a_code(secret=shown.context["secret"])
    codes = browser.post("/security/set-up/", {"code": code, "next": "/admin/set-up/"})
    assert (len(codes.context["codes"]), codes.context["onward"]) == (10, "/admin/set-up/")
    assert browser.get("/admin/set-up/").status_code == 200


def test_opening_the_link_changes_nothing_and_shows_the_same_page_for_every_link(db: None) -> None:
    """A program that only looks at the link, as a scanner of a mail does, can't use it up or try secrets."""
    here = made()
    before = Installation.objects.values().get(), AuditEntry.objects.count(), Tries.objects.count()
    first, other = Client().get(here), Client().get(reverse("web:set_up", args=["x" * 43]))
    assert (Installation.objects.values().get(), AuditEntry.objects.count(), Tries.objects.count()) == before
    assert (first.status_code, other.status_code) == (200, 200)
    assert [t.name for t in first.templates] == [t.name for t in other.templates]
    begun(here)


def test_neither_secret_is_stored_or_logged(db: None) -> None:
    here = made()
    browser = begun(here)
    secret, of_browser = here.split("/")[2], browser.cookies["lockbox_setup"].value
    stored = str([Installation.objects.values().get(), *AuditEntry.objects.values()])
    assert len(secret) == len(of_browser) == 43
    assert secret not in stored
    assert of_browser not in stored
    assert secret not in str(logs.redact(None, "", {"request": f"GET {here}", "path": here}))


def test_a_link_that_was_used_is_refused(db: None) -> None:
    here = made()
    browser, same = begun(here), Client()
    same.cookies["lockbox_setup"] = browser.cookies["lockbox_setup"].value
    browser.post(here, ACCOUNT)
    again = ACCOUNT | {"email": "second@provider.example"}
    assert reasons(lambda: same.post(here, again)) == ["staff_exists"]
    assert reasons(lambda: Client().post(here)) == ["staff_exists"]


@pytest.mark.parametrize("step", ["opened", "filled in"])
def test_a_link_is_refused_from_the_last_instant_on(db: None, travel: Any, step: str) -> None:
    at = travel.freeze()
    here = made()
    browser = Client() if step == "opened" else begun(here)
    form: dict[str, Any] = {} if step == "opened" else ACCOUNT
    travel.to(at + limits.SETUP_LINK_FOR)
    assert reasons(lambda: browser.post(here, form)) == ["late"]
    travel.to(at + limits.SETUP_LINK_FOR - dt.timedelta(microseconds=1))
    assert browser.post(here, form).status_code == 302


def test_a_second_browser_is_refused(db: None) -> None:
    here = made()
    first = begun(here)
    assert reasons(lambda: Client().post(here)) == ["other_browser"]
    assert reasons(lambda: Client().post(here, ACCOUNT)) == ["other_browser"]
    thief = Client()
    thief.cookies["lockbox_setup"] = "x" * 43
    assert reasons(lambda: thief.post(here, ACCOUNT)) == ["other_browser"]
    # The first browser can still continue, and pressing the button twice does no harm.
    assert first.post(here).status_code == 302
    assert first.post(here, ACCOUNT).status_code == 302
    assert events().count("setup_link.opened") == 1


def test_nobody_fills_in_the_form_of_a_link_that_no_browser_has_opened(db: None) -> None:
    here = made()
    assert reasons(lambda: Client().post(here, ACCOUNT)) == ["other_browser"]


def test_a_new_link_ends_the_one_before_also_for_the_browser_that_opened_it(db: None) -> None:
    old = made()
    browser = begun(old)
    new = made()
    assert reasons(lambda: browser.post(old, ACCOUNT)) == ["unknown"]
    assert reasons(lambda: browser.post(new, ACCOUNT)) == ["other_browser"]
    assert begun(new).post(new, ACCOUNT).status_code == 302


def test_while_somebody_is_staff_there_is_no_link(db: None) -> None:
    here = made()
    browser = begun(here)
    person = Person.objects.create_superuser("s@provider.example", ACCOUNT["password"], name="Sten")
    assert reasons(lambda: browser.post(here, ACCOUNT)) == ["staff_exists"]
    for page in (Client().get(here), browser.get(here)):
        assert (page.status_code, b"Begin" in page.content, b"does not work" in page.content) == (404, False, True)
    # A staff member whose account is switched off still exists.
    Person.objects.filter(pk=person.pk).update(is_active=False)
    assert reasons(lambda: browser.post(here, ACCOUNT)) == ["staff_exists"]
    stored = Installation.objects.values().get()
    with pytest.raises(WrongState):
        made()
    assert Installation.objects.values().get() == stored


@pytest.mark.parametrize(
    ("base_url", "headers"),
    [
        ("http://lockbox.example.com", {}),
        ("https://lockbox.example.com", {}),
        ("http://localhost:8000", {"REMOTE_ADDR": "203.0.113.7"}),
        # A proxy on this machine forwards a request from another machine.
        ("http://localhost:8000", {"HTTP_X_FORWARDED_FOR": "203.0.113.7"}),
    ],
)
def test_beyond_this_machine_the_link_works_only_with_tls(
    db: None, settings: Any, base_url: str, headers: dict[str, Any]
) -> None:
    here = made()
    settings.BASE_URL = base_url
    client: Any = Client(**headers)
    for act in (lambda: client.get(here), lambda: client.post(here), lambda: client.post(here, ACCOUNT)):
        assert reasons(act, 403) == ["not_private"]
    assert client.post(here, secure=True).status_code == 302
    assert client.post(here, ACCOUNT, secure=True).status_code == 302
    assert Person.objects.get().is_staff


def test_without_tls_the_link_is_refused_and_not_redirected(db: None, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT, settings.BASE_URL = True, "https://lockbox.example.com"
    assert Client().get("/recovery/").status_code == 301
    answer = Client().get(made())
    assert (answer.status_code, "https" in answer.content.decode()) == (403, True)


def test_guesses_are_limited_and_a_right_link_is_no_guess(db: None) -> None:
    here, wrong = made(), reverse("web:set_up", args=["x" * 43])
    browser = begun(here)
    for _ in range(guesses.OF_ADDRESS.most + 1):
        # The password is refused, and the link is right.
        assert browser.post(here, ACCOUNT | {"password": "short"}).status_code == 422
    for _ in range(guesses.OF_ADDRESS.most):
        assert Client().post(wrong).status_code == 404
    assert Client().post(wrong).status_code == 429
    # Now the right link is not checked either, in a browser that it does not belong to.
    assert Client().post(here, ACCOUNT).status_code == 429
    assert not Person.objects.exists()
    # Nobody at the same address can lock its owner out.
    assert browser.post(here, ACCOUNT).status_code == 302
    assert Person.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "no address"), ("time_zone", "Mars/Base"), ("password", "stella-okafor"), ("name", " ")],
)
def test_a_mistake_in_the_form_is_shown_and_the_link_still_works(db: None, field: str, value: str) -> None:
    here = made()
    browser = begun(here)
    answer: Any = browser.post(here, ACCOUNT | {field: value})
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, [field])
    assert not Person.objects.exists()
    assert browser.post(here, ACCOUNT).status_code == 302


@pytest.mark.parametrize("city", ["Berlin", " berlin "])
def test_a_city_is_a_time_zone(db: None, city: str) -> None:
    here = made()
    assert begun(here).post(here, ACCOUNT | {"time_zone": city}).status_code == 302
    assert Person.objects.get().time_zone == "Europe/Berlin"


def test_without_a_time_zone_the_account_has_utc(db: None) -> None:
    """A script proposes the browser's zone. Without JavaScript, the field can stay empty."""
    here = made()
    browser = begun(here)
    page: Any = browser.get(here)
    assert page.context["form"]["time_zone"].value() is None
    assert "data-own-zone" in page.content.decode()
    assert browser.post(here, ACCOUNT | {"time_zone": " "}).status_code == 302
    assert Person.objects.get().time_zone == "UTC"


def test_after_a_wrong_time_zone_only_the_password_must_be_typed_again(db: None) -> None:
    here = made()
    page: Any = begun(here).post(here, ACCOUNT | {"time_zone": "Gotham"})
    shown = page.content.decode()
    for value in (ACCOUNT["name"], ACCOUNT["email"], "Gotham"):
        assert f'value="{value}"' in shown
    assert ACCOUNT["password"] not in shown


@pytest.mark.parametrize("city", ["Istanbul", "South", "Gotham", "Europe"])
def test_a_city_of_several_zones_or_of_none_is_refused(db: None, city: str) -> None:
    here = made()
    answer: Any = begun(here).post(here, ACCOUNT | {"time_zone": city})
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, ["time_zone"])
    assert not Person.objects.exists()


def test_no_script_and_no_other_site_gets_the_secret_of_the_browser(db: None) -> None:
    morsel = begun(made()).cookies["lockbox_setup"]
    assert (morsel["httponly"], morsel["samesite"], morsel["max-age"]) == (True, "Strict", 900)
    assert site.CSRF_COOKIE_HTTPONLY


def test_a_person_who_is_signed_in_can_not_use_a_link(cast: Cast) -> None:
    with pytest.raises(WrongState):
        made()
    client = Client()
    assert reasons(lambda: client.post(reverse("web:set_up", args=["x" * 43]))) == ["unknown"]


def test_the_command_prints_a_link_and_ends_with_status_2_if_somebody_is_staff(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("setup_link")
    shown = capsys.readouterr()
    here = shown.out.strip().removeprefix(site.BASE_URL)
    assert "15 minutes" in shown.err
    assert begun(here).post(here, ACCOUNT).status_code == 302
    with pytest.raises(SystemExit) as refused:
        call_command("setup_link")
    shown = capsys.readouterr()
    assert (refused.value.code, shown.out, len(shown.err.splitlines())) == (2, "", 1)
    assert shown.err.startswith("There is a staff member already")


def test_the_refused_page_names_a_command_that_runs_while_nobody_is_staff(cast: Cast) -> None:
    here = reverse("web:set_up", args=["x" * 43])
    command = f"{site.BASE_DIR}/bin/customer-lockbox setup-link --data-dir {site.DATA_DIR}"
    assert Path(command.partition(" ")[0]).is_file()
    assert command not in Client().post(here).content.decode(), "no directory of the server without need"
    Person.objects.update(is_staff=False)
    assert command in Client().post(here).content.decode()


def test_while_nobody_is_staff_the_server_names_the_command_and_prints_no_link(
    db: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Many people may read the output of the server, because it is a log."""
    monkeypatch.setattr(lockbox, "connection", SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(supervisor, "Supervisor", lambda wanted, **_: SimpleNamespace(run=lambda: 0))
    made()
    row = Installation.objects.values().get()
    for is_empty in (True, False):
        call_command("lockbox", "--no-web", "--clusters", "0")
        shown = "".join(capsys.readouterr())
        assert (program.command("setup-link") in shown) is is_empty
        assert ("Open the set-up link that was printed." in shown) is is_empty
        assert "/set-up/" not in shown
        assert Installation.objects.values().get() == row
        Person.objects.update_or_create(email="s@provider.example", defaults=STAFF)


def test_in_a_trial_the_name_and_then_the_link_are_printed_when_the_server_is_ready(
    db: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Any
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    settings.PROVIDER_NAME_IS_SET = False
    later: list[list[str]] = []

    def supervised(wanted: Any, *, when_ready: list[str], has_labels: bool, nursery: Any) -> SimpleNamespace:
        assert not has_labels
        later.append(when_ready)
        return SimpleNamespace(run=lambda: 0)

    monkeypatch.setattr(lockbox, "connection", SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(supervisor, "Supervisor", supervised)
    call_command("lockbox", "--trial", "--no-web", "--clusters", "0")
    shown = "".join(capsys.readouterr())
    assert ("Nobody can sign in yet" in shown, "/set-up/" in shown) == (False, False)
    *_before, link, end = later[0]
    assert (link.partition("http")[0], end) == ("    ", ""), "the link is the last thing to read"
    here = link.strip().removeprefix(site.BASE_URL)
    assert begun(here).post(here, ACCOUNT).status_code == 302
    call_command("lockbox", "--trial", "--no-web", "--clusters", "0")
    assert not any("/set-up/" in line for line in later[1])
    name = f"Everybody reads the name “{site.PROVIDER_NAME}”. To change it, write a line with PROVIDER_NAME=… into "
    assert later[0][1].startswith(f"{name}{site.DATA_DIR}/.env")
    assert later[0][1] in later[1]
    settings.PROVIDER_NAME_IS_SET = True
    call_command("lockbox", "--trial", "--no-web", "--clusters", "0")
    assert later[2] == []
