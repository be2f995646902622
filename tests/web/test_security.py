"""Second factors: who needs one, how people set one up, and what the sign-in asks for afterwards."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import StepUpRequired, WrongState
from requests_app.identity import factors
from requests_app.models import OutboxMessage, Person
from requests_app.operations._change import PROVIDER_LOG
from requests_app.platform import totp
from tests.cast import PASSWORD, Cast, events_in, outbox_topics
from tests.conftest import Traveller
from tests.factors import SECRET, a_code, set_up_app, sign_in, stepped_up
from tests.web.pages import nothing_happens, only_a_refusal, signed_in

pytestmark = pytest.mark.django_db

SET_UP, ADD = "/security/set-up/", "/security/passkeys/add/"
LATER = "/access-requests/?q=later"


def without_factor(cast: Cast, name: str) -> Person:
    person: Person = cast.people[name]
    Authenticator.objects.filter(user=person).delete()
    person.totp_set_up_at = None
    person.save()
    return person


def at_the_door(cast: Cast, name: str, *, to: str = "/") -> Client:
    """Return a browser in which this person has entered the password. They have no second factor yet."""
    client = Client()
    sign_in(without_factor(cast, name), PASSWORD, client=client, to=to)
    return client


def codes_on(answer: Any) -> list[str]:
    shown = re.search(r'data-copy="([\d\n]+)"', answer.content.decode())
    assert shown is not None
    return shown[1].split("\n")


def entries() -> list[tuple[str, Any]]:
    return list(AuditEntry.objects.order_by("pk").values_list("event", "tenant_id"))


# --- Who needs a second factor ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ada", "ines", "pat", "bea", "stella", "erik"])
def test_deciders_and_administrators_must_set_up_a_second_factor_first(cast: Cast, name: str) -> None:
    client = at_the_door(cast, name)
    row = cast.submitted()
    for page in ("/", LATER, "/preferences/", f"/access-requests/{row.pk}/", "/security/", "/admin/"):
        answer = client.get(page)
        assert answer.status_code == 302, page
        assert answer["Location"].startswith(f"{ADD}?next="), page
    with nothing_happens():
        for act in (f"/access-requests/{row.pk}/decide/approve/", f"/access-requests/{row.pk}/withdraw/"):
            assert client.post(act, {"password": PASSWORD})["Location"] == f"{ADD}?next=/"
    polled = client.get("/", headers={"HX-Request": "true"})
    assert (polled.status_code, polled["HX-Refresh"]) == (401, "true")
    assert client.get("/nothing/here/").status_code == 404
    assert client.get("/limits/").status_code == 200
    assert client.post(reverse("account_logout")).status_code == 302


@pytest.mark.parametrize("name", ["mia", "otto"])
def test_for_others_a_password_is_enough_until_they_are_given_such_a_role(cast: Cast, name: str) -> None:
    client = signed_in(cast, name)
    assert client.get("/").status_code == 200
    if name in ("mia", "otto"):
        # A deputy may have to decide at any moment, and then it would be too late for the set-up.
        role = "approver" if name == "mia" else "deputy"
        operations.give_role(cast.contoso.pk, cast.people[name].pk, role=role, actor=cast.as_("ines"))
        assert client.get("/")["Location"] == f"{ADD}?next=/"


# --- Setting up a second factor -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "tenant"), [("ada", "contoso"), ("stella", "")])
def test_the_first_sign_in_sets_up_the_app_and_continues_to_the_wanted_page(
    cast: Cast, name: str, tenant: str, mailoutbox: list[Any]
) -> None:
    client = at_the_door(cast, name, to=LATER)
    first = client.get(client.get(LATER)["Location"]).content.decode()
    # The first page offers a passkey, and has a link to the app.
    page = f"{SET_UP}?next=/access-requests/%3Fq%3Dlater"
    assert f'href="{page}"' in first
    shown = client.get(page)
    assert f'href="{ADD}?next=/access-requests/%3Fq%3Dlater"' in shown.content.decode()
    assert 'src="data:image/svg+xml;base64,' in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    found = re.search(r'data-copy="([A-Z2-7]{32})"', shown.content.decode())
    assert found is not None
    secret = found[1]
    # The secret stays the same during the set-up, and the session does not contain it in plain text.
    assert secret in client.get(page).content.decode()
    assert secret not in str(dict(client.session))
    done = set_up_app(client, page=page)
    assert done.status_code == 200
    assert "no-store" in done["Cache-Control"]
    codes = codes_on(done)
    assert (len(codes), len(set(codes)), {len(code) for code in codes}) == (10, 10, {10})
    # The device where a person reads this is often another one than the second factor, so "this device" would be wrong.
    assert "Save them on another device than your second factor." in done.content.decode()
    assert f'href="{LATER}"' in done.content.decode()
    assert client.get(LATER).status_code == 200
    log = cast.tenants[tenant].pk if tenant else PROVIDER_LOG
    assert entries() == [("person.totp_set_up", log)]
    body = bytes(AuditEntry.objects.get().canonical).decode()
    row = Authenticator.objects.get(user=cast.people[name], type="totp")
    assert secret not in body + str(row.data)
    assert factors.opened(row.data["secret"]) == secret
    assert all(
        code not in str(Authenticator.objects.get(user=cast.people[name], type="recovery_codes").data) for code in codes
    )
    assert outbox_topics() == ["notify.second_factor_changed"]
    # The code from the set-up is used, and does not work again.
    again = Client()
    again.post(reverse("account_login"), {"login": cast.people[name].email, "password": PASSWORD})
    now = totp.code(secret, totp.step_at(clock.now()))
    assert again.post(reverse("mfa_authenticate"), {"code": now}).status_code == 200
    assert "_auth_user_id" not in again.session


def test_a_wrong_code_sets_nothing_up(cast: Cast) -> None:
    client = at_the_door(cast, "ada")
    with nothing_happens():
        answer = client.post(SET_UP, {"code": "000000"})
    assert answer.status_code == 422
    assert "This code does not match this secret" in answer.content.decode()
    assert not Authenticator.objects.filter(user=cast.ada).exists()


def test_a_stolen_session_sets_nothing_up(cast: Cast, travel: Traveller) -> None:
    """If the password was entered more than five minutes ago, the page asks for it again."""
    travel.freeze()
    client = at_the_door(cast, "ada")
    travel.by(minutes=5)
    assert client.get(SET_UP)["Location"] == "/step-up/?next=/security/set-up/"
    with nothing_happens():
        assert client.post(SET_UP, {"code": "000000"}).status_code == 302
    wrong = client.post("/step-up/", {"password": "wrong", "next": SET_UP})
    assert wrong.status_code == 403
    assert client.post("/step-up/", {"password": PASSWORD, "next": SET_UP})["Location"] == SET_UP
    assert set_up_app(client).status_code == 200
    with pytest.raises(StepUpRequired):
        operations.set_up_totp(actor=cast.as_("otto", fresh=False), keep=factors.keeps_totp(SECRET))


# --- Signing in with a second factor ------------------------------------------------------------------------


def test_the_code_is_asked_for_after_the_password_and_counts_once(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    first, second = Client(), Client()
    for client in (first, second):
        answer = client.post(
            reverse("account_login") + f"?next={LATER}", {"login": cast.ada.email, "password": PASSWORD}
        )
        assert answer["Location"] == reverse("mfa_authenticate")
        assert client.get("/").status_code == 302
    code = a_code(cast.ada)
    assert first.post(reverse("mfa_authenticate"), {"code": f"{code[:3]} {code[3:]}"})["Location"] == LATER
    assert "This code was already used." in second.post(reverse("mfa_authenticate"), {"code": code}).content.decode()
    travel.by(seconds=30)
    assert second.post(reverse("mfa_authenticate"), {"code": a_code()}).status_code == 302
    assert second.get("/").status_code == 200


def test_after_five_wrong_codes_the_right_one_is_not_checked(cast: Cast) -> None:
    client = Client()
    client.post(reverse("account_login"), {"login": cast.ada.email, "password": PASSWORD})
    for _ in range(5):
        assert client.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == 200
    answer = client.post(reverse("mfa_authenticate"), {"code": a_code(cast.ada)})
    assert "Too many wrong passwords or codes" in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_a_recovery_code_works_once(cast: Cast) -> None:
    stored = factors.KeepsRecoveryCodes()
    operations.make_recovery_codes(actor=cast.as_("ada"), keep=stored)
    code = stored.codes[3]
    for wanted in (302, 200):
        client = Client()
        client.post(reverse("account_login"), {"login": cast.ada.email, "password": PASSWORD})
        assert client.post(reverse("mfa_authenticate"), {"code": f"{code[:5]} {code[5:]}"}).status_code == wanted
    assert factors.codes_left(cast.ada) == 9


# --- Changing the second factor -----------------------------------------------------------------------------


def proven(cast: Cast, name: str) -> Any:
    client = signed_in(cast, name)
    form = {"password": PASSWORD, "next": "/security/"}
    if cast.people[name].has_second_factor:
        form["code"] = a_code(cast.people[name])
    assert client.post("/step-up/", form).status_code == 302
    return client


def test_the_page_says_what_there_is(cast: Cast) -> None:
    page = signed_in(cast, "ada").get("/security/").content.decode()
    assert "Remove the app" in page
    assert "You have no recovery codes." in page
    page = signed_in(cast, "mia").get("/security/").content.decode()
    assert "Set up an app" in page
    assert "Recovery codes" not in page


def test_a_change_asks_for_password_and_code_first(cast: Cast) -> None:
    client = signed_in(cast, "ada", fresh=False)
    with nothing_happens():
        for page in ("/security/app/remove/", "/security/recovery-codes/"):
            for ask in (client.get, client.post):
                assert ask(page)["Location"] == f"/step-up/?next={page}"
        assert client.post("/step-up/", {"password": PASSWORD}).status_code == 422
        elsewhere = client.post(
            "/step-up/", {"password": PASSWORD, "code": a_code(cast.ada), "next": "//evil.example/"}
        )
        assert elsewhere["Location"] == "/"
    assert client.get("/security/recovery-codes/").status_code == 200


def test_a_wrong_proof_lets_nobody_on_and_is_in_the_log(cast: Cast) -> None:
    client = signed_in(cast, "ada", fresh=False)
    with only_a_refusal():
        for wrong in ({"password": PASSWORD, "code": "000000"}, {"password": "wrong", "code": a_code(cast.ada)}):
            assert client.post("/step-up/", wrong).status_code == 403
    assert client.get("/security/recovery-codes/").status_code == 302


def test_a_deciders_last_second_factor_cannot_be_removed(cast: Cast) -> None:
    answer = proven(cast, "ada").post("/security/app/remove/")
    assert answer.status_code == 409
    cast.ada.refresh_from_db()
    assert cast.ada.has_second_factor
    assert Authenticator.objects.filter(user=cast.ada, type="totp").exists()
    assert events_in(cast.contoso) == ["act.refused"]
    assert outbox_topics() == []


def test_others_may_give_it_up_and_their_recovery_codes_go_with_it(cast: Cast) -> None:
    client = at_the_door(cast, "mia")
    set_up_app(client)
    stepped_up(client, cast.mia)
    assert client.post("/security/app/remove/")["Location"] == "/security/"
    assert not Authenticator.objects.filter(user=cast.mia).exists()
    assert events_in(cast.contoso) == ["person.totp_set_up", "person.totp_removed"]
    assert OutboxMessage.objects.filter(topic="notify.second_factor_changed").count() == 2
    with pytest.raises(WrongState):
        operations.make_recovery_codes(actor=cast.as_("mia"), keep=factors.KeepsRecoveryCodes())


def test_new_recovery_codes_take_the_place_of_the_old_ones(cast: Cast) -> None:
    client = proven(cast, "ada")
    [first, second] = [codes_on(client.post("/security/recovery-codes/")) for _ in range(2)]
    assert not set(first) & set(second)
    assert not factors.is_code(cast.ada, first[0], at=clock.now())
    assert factors.is_code(cast.ada, second[0], at=clock.now())
    assert events_in(cast.contoso) == ["person.recovery_codes_made"] * 2


def test_a_second_app_is_not_taken_over_the_first(cast: Cast) -> None:
    client = proven(cast, "ada")
    assert client.get(SET_UP)["Location"] == "/security/"
    with pytest.raises(WrongState):
        operations.set_up_totp(actor=cast.as_("ada"), keep=factors.keeps_totp(totp.new_secret()))


def test_if_the_library_stores_nothing_there_is_no_entry(cast: Cast) -> None:
    def fail(person: Person) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        operations.set_up_totp(actor=cast.as_("otto"), keep=fail)
    assert entries() == []
    assert outbox_topics() == []
    assert not Person.objects.get(pk=cast.otto.pk).has_second_factor


# --- Open sessions ------------------------------------------------------------------------------------------


def test_sessions_are_listed_and_ended_one_by_one_or_all_others_at_once(cast: Cast) -> None:
    here, there, elsewhere, stranger = Client(), Client(headers={"user-agent": "<b>Old phone</b>"}), Client(), Client()
    for client in (here, there, elsewhere):
        sign_in(cast.ada, PASSWORD, client=client)
    sign_in(cast.mia, PASSWORD, client=stranger)
    page = here.get("/security/").content.decode()
    assert (page.count("Another browser"), page.count("This browser")) == (2, 1)
    assert "&lt;b&gt;Old phone&lt;/b&gt;" in page
    assert str(there.session.session_key) not in page
    ids = re.findall(r'name="session" value="(\d+)"', page)
    assert len(ids) == 2
    # Nobody can end another person's session.
    assert stranger.post("/security/sessions/end/", {"session": ids[0]}).status_code == 404
    assert [client.get("/").status_code for client in (there, elsewhere)] == [200, 200]
    assert here.post("/security/sessions/end/", {"session": ids[0]}).status_code == 302
    assert sorted(client.get("/").status_code for client in (there, elsewhere)) == [200, 302]
    assert here.post("/security/sessions/end/", {"session": "others"}).status_code == 302
    assert [client.get("/").status_code for client in (here, there, elsewhere, stranger)] == [200, 302, 302, 200]


def test_switching_a_person_off_ends_their_sessions_permanently(cast: Cast) -> None:
    client = signed_in(cast, "mia")
    assert client.get("/").status_code == 200
    operations.switch_off_person(cast.mia.pk, actor=cast.as_("ines"))
    operations.switch_on_person(cast.mia.pk, actor=cast.as_("ines"))
    assert client.get("/")["Location"] == "/accounts/login/?next=/"
