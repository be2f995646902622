"""Passkeys on pages: how they are added and removed, and used to sign in and to confirm."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from allauth.mfa.models import Authenticator as Kept
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.domain import clock, errors
from requests_app.domain.errors import LastPasskey, LastSecondFactor
from requests_app.identity import factors
from requests_app.models import Passkey, Person, Tries
from requests_app.operations._change import PROVIDER_LOG
from requests_app.queries.installation import MAIL_FILES
from tests.cast import PASSWORD, Cast, events_in, outbox_topics
from tests.conftest import Traveller
from tests.factors import a_code, sign_in
from tests.passkeys import ORIGIN, added, answer_of, enrolled, options_for, options_on, signs_in
from tests.web.pages import nothing_happens, only_a_refusal, signed_in

pytestmark = pytest.mark.django_db

ADD, SET_UP, LATER = "/security/passkeys/add/", "/security/set-up/", "/access-requests/?q=later"


def without_factor(cast: Cast, name: str) -> Person:
    person: Person = cast.people[name]
    Kept.objects.filter(user=person).delete()
    person.totp_set_up_at = None
    person.save()
    return person


def at_the_door(cast: Cast, name: str) -> Client:
    client = Client()
    sign_in(without_factor(cast, name), PASSWORD, client=client)
    return client


def holder(cast: Cast, name: str, **device: Any) -> Authenticator:
    """Return the device of a person whose only second factor is this passkey."""
    without_factor(cast, name)
    made = Authenticator(**{"origin": ORIGIN, **device})
    assert added(signed_in(cast, name), made).status_code == 200
    return made


def who(client: Client) -> str:
    return str(client.session.get("_auth_user_id", ""))


# --- Adding -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "tenant"), [("ada", "contoso"), ("stella", "")])
def test_the_first_sign_in_sets_up_a_passkey_in_place_of_the_app(cast: Cast, name: str, tenant: str) -> None:
    person, client, device = without_factor(cast, name), Client(), Authenticator(origin=ORIGIN)
    sign_in(person, PASSWORD, client=client, to=LATER)
    page = client.get(LATER)["Location"]
    assert page == f"{ADD}?next=/access-requests/%3Fq%3Dlater"
    done = added(client, device, called="  Ada’s   phone ", page=page)
    assert (done.status_code, "no-store" in done["Cache-Control"]) == (200, True)
    assert f'href="{LATER}"' in done.content.decode()
    assert client.get(LATER).status_code == 200
    row = Passkey.objects.get()
    assert (row.name, row.person_id, row.origin, row.is_live) == ("Ada’s phone", person.pk, ORIGIN, True)
    stored_row = Kept.objects.get(user=person, type="webauthn")
    assert (stored_row.data["passkey"], stored_row.data["name"], str(stored_row)) == (str(row.pk), row.name, row.name)
    assert factors.codes_left(person) == 10
    [entry] = AuditEntry.objects.all()
    assert (entry.event, entry.tenant_id) == (
        "passkey.enrolled",
        cast.tenants[tenant].pk if tenant else PROVIDER_LOG,
    )
    assert outbox_topics() == ["notify.passkeys_changed"]


def test_a_further_one_brings_no_new_codes_and_goes_back_to_the_page(cast: Cast) -> None:
    client, first = signed_in(cast, "ada"), Authenticator(origin=ORIGIN)
    assert added(client, first).status_code == 200
    codes = Kept.objects.get(user=cast.ada, type="recovery_codes").data
    page = client.get(ADD)
    assert [each["id"] for each in options_on(page, "data-create")["excludeCredentials"]] == [
        first.get({"challenge": "AAAA", "rpId": "localhost"})["id"]
    ]
    assert options_on(page, "data-create")["authenticatorSelection"] == {
        "residentKey": "required",
        "userVerification": "required",
    }
    answer = added(client, Authenticator(origin=ORIGIN, is_backup_eligible=True), called="<b>Laptop</b>")
    assert (answer.status_code, answer["Location"]) == (302, "/security/")
    shown = client.get("/security/").content.decode()
    assert "&lt;b&gt;Laptop&lt;/b&gt;" in shown
    assert "<b>Laptop" not in shown
    assert (shown.count("Stays on its device"), shown.count("Can be copied to your other devices")) == (1, 1)
    assert Kept.objects.get(user=cast.ada, type="recovery_codes").data == codes


def as_in_a_trial(settings: Any) -> None:
    settings.BASE_URL, settings.EMAIL_BACKEND, settings.PRODUCTION = "http://localhost:8000", MAIL_FILES, False


def test_in_a_trial_nobody_must_save_codes_and_everybody_can_make_them_later(cast: Cast, settings: Any) -> None:
    as_in_a_trial(settings)
    client, device = at_the_door(cast, "ada"), Authenticator(origin=ORIGIN)
    done = added(client, device, page=f"{ADD}?next={LATER}")
    assert (done.status_code, done["Location"]) == (302, LATER)
    assert factors.codes_left(cast.ada) is None
    client = signed_in(cast, "ada")
    assert "You have no recovery codes." in client.get("/security/").content.decode()
    page = client.get(reverse("web:security_new_codes")).content.decode()
    assert "Your current codes stop working" not in page
    assert client.post(reverse("web:security_new_codes")).status_code == 200
    assert factors.codes_left(cast.ada) == 10
    assert "Your current codes stop working" in client.get(reverse("web:security_new_codes")).content.decode()
    settings.PRODUCTION = True
    other = at_the_door(cast, "alan")
    assert "Save these recovery codes" in added(other, Authenticator(origin=ORIGIN)).content.decode()
    assert factors.codes_left(cast.people["alan"]) == 10


def test_the_proposed_name_is_folded_until_it_is_wrong(cast: Cast) -> None:
    client = signed_in(cast, "ada")
    page = client.get(ADD, headers={"user-agent": CHROME}).content.decode()
    assert '<details class="fold">' in page
    assert 'Name of the passkey: <bdi class="visible-line">Chrome on Linux</bdi>' in page
    page = client.post(ADD, {"name": "", "credential": "", "next": ""}).content.decode()
    assert '<details class="fold" open>' in page


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
EDGE = CHROME.replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64") + " Edg/140.0.0.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (CHROME, "Chrome on Linux"),
        (EDGE, "Edge on Windows"),
        (SAFARI, "Safari on iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Mac"),
        ("<b>Lockbox 1</b> on Linux", "Linux"),
        ("", "Passkey"),
    ],
)
def test_the_page_proposes_a_name_and_numbers_a_second_one(cast: Cast, agent: str, name: str) -> None:
    client = signed_in(cast, "ada")

    def proposed() -> str:
        return str(client.get(ADD, headers={"user-agent": agent}).context["form"]["name"].value())

    assert proposed() == name
    for number, called in enumerate((name, f"{name} 2"), start=2):
        assert added(client, Authenticator(origin=ORIGIN), called=called).status_code in (200, 302)
        assert proposed() == f"{name} {number}"
    Passkey.objects.filter(name=name).update(removed_at=clock.now())
    assert proposed() == name


def test_later_is_offered_only_to_people_who_need_no_second_factor_and_leads_only_to_this_site(cast: Cast) -> None:
    def later(name: str, onward: str) -> str:
        return str(at_the_door(cast, name).get(f"{ADD}?next={onward}").context["later"])

    assert later("mia", "/preferences/") == "/preferences/"
    assert later("mia", "//evil.example/") == ""
    assert later("ada", "/preferences/") == ""
    again = at_the_door(cast, "mia").post(ADD, {"name": "Mine", "credential": "[1]", "next": "https://evil.example/"})
    assert again.context["later"] == ""


def test_a_response_to_another_challenge_adds_nothing(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    client, other = signed_in(cast, "ada"), signed_in(cast, "alan")
    options = options_on(client.get(ADD), "data-create")
    good = Authenticator(origin=ORIGIN).create(options)
    foreign = Authenticator(origin=ORIGIN).create(options_on(other.get(ADD), "data-create"))
    made_up = Authenticator(origin=ORIGIN).create(options_for(cast, "ada", bytes(56)))
    tries = [
        ({"credential": json.dumps(foreign)}, errors.PasskeyTooLate),
        ({"credential": json.dumps(made_up)}, errors.PasskeyTooLate),
        ({"credential": "[1]"}, errors.PasskeyUnreadable),
    ]
    for form, wrong in tries:
        with nothing_happens():
            answer = client.post(ADD, {"name": "Mine", **form})
        assert answer.status_code == wrong.status
        assert str(wrong.default) in answer.content.decode()
    elsewhere = Authenticator(origin="https://evil.example").create(options)
    unverified = Authenticator(origin=ORIGIN, verifies_user=False).create(options)
    for bad, refused in ((elsewhere, errors.PasskeyWrongOrigin), (unverified, errors.PasskeyNotVerified)):
        with only_a_refusal():
            assert client.post(ADD, {"name": "Mine", "credential": json.dumps(bad)}).status_code == refused.status
    with nothing_happens():
        for form in ({"credential": "no JSON"}, {"credential": ""}, {"credential": json.dumps(good), "name": ""}):
            assert client.post(ADD, {"name": "Mine", **form}).status_code == 422
        assert client.post(ADD, {"name": "Mine", "credential": json.dumps(good), "more": "1"}).status_code == 400
        travel.by(minutes=15)
        late = signed_in(cast, "ada").post(ADD, {"name": "Mine", "credential": json.dumps(good)})
        assert late.status_code == errors.PasskeyTooLate.status
    assert not Passkey.objects.exists()
    assert not Kept.objects.filter(type="webauthn").exists()


def test_a_stolen_session_neither_adds_nor_removes(cast: Cast) -> None:
    row, _device = enrolled(cast, "ada")
    stale, mine = signed_in(cast, "ada", fresh=False), Authenticator(origin=ORIGIN)
    remove = reverse("web:security_remove_passkey", args=[row.pk])
    for page in (ADD, remove):
        assert stale.get(page)["Location"] == f"/step-up/?next={page}"
    answer = mine.create(options_on(signed_in(cast, "ada").get(ADD), "data-create"))
    with nothing_happens():
        assert stale.post(ADD, {"name": "Mine", "credential": json.dumps(answer)}).status_code == 403
        assert stale.post(remove).status_code == 403
    assert Passkey.objects.live().get() == row


# --- Signing in with only a passkey -------------------------------------------------------------------------


def test_a_passkey_alone_signs_in_and_is_second_factor_enough(cast: Cast) -> None:
    device, client = holder(cast, "ada"), Client()
    options = client.get("/accounts/passkey/")
    assert not client.cookies
    assert "no-store" in options["Cache-Control"]
    assert (options.json()["allowCredentials"], options.json()["userVerification"]) == ([], "required")
    assert options.json()["rpId"] == "localhost"
    answer = signs_in(client, device, to=LATER)
    assert (answer.status_code, answer["Location"]) == (302, LATER)
    assert client.get(LATER).status_code == 200
    assert signs_in(Client(), device, to="//evil.example/")["Location"] == "/"
    row = Passkey.objects.get()
    assert row.sign_count == device.sign_count
    assert "Last used" in client.get("/security/").content.decode()
    # The session ends together with the account's other sessions.
    Person.objects.filter(pk=cast.ada.pk).update(session_epoch=7)
    assert client.get(LATER).status_code == 302


def test_every_wrong_passkey_signs_nobody_in_and_gets_the_same_answer(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    device, other = holder(cast, "ada"), holder(cast, "alan", counts=False)
    used = answer_of(Client(), other)
    assert Client().post("/accounts/passkey/", {"assertion": json.dumps(used)}).status_code == 302
    old = answer_of(Client(), other)
    travel.by(seconds=301)
    row = Passkey.objects.get(person=cast.ada)

    def got(**changed: Any) -> dict[str, Any]:
        return answer_of(Client(), replace(other, **changed))

    step_up = replace(other).get(options_on(signed_in(cast, "alan").get("/step-up/?next=/")))
    handle = {**(answer := got()), "response": {**answer["response"], "userHandle": "AAAA"}}
    nameless = {**(answer := got()), "response": {**answer["response"], "userHandle": None}}
    wrong = {
        "replayed": used,
        "301 seconds old": old,
        "not verified": got(verifies_user=False),
        "another origin": got(origin="https://evil.example"),
        "another site": got(rp_id="evil.example"),
        "another key": got(key=device.key),
        "another credential": got(credential_id=b"nobody's"),
        "somebody else's": got(credential_id=device.credential_id, user_handle=device.user_handle),
        "for a step-up": step_up,
        "names another": handle,
        "names nobody": nameless,
        "copied": answer_of(Client(), replace(device, sign_count=row.sign_count - 1)),
        "nothing": {},
    }
    words: set[str] = set()
    for number, (what, assertion) in enumerate(wrong.items()):
        client = Client(REMOTE_ADDR=f"10.0.0.{number}")
        with nothing_happens():
            refused = client.post("/accounts/passkey/", {"assertion": json.dumps(assertion), "next": LATER})
        assert (refused.status_code, who(client)) == (403, ""), what
        page = refused.content.decode()
        words.add(page[page.index('class="problem"') : page.index("data-sign-answer")])
        assert f'value="{LATER}"' in page
    assert len(words) == 1
    assert "You are not signed in" in words.pop()
    Person.objects.filter(pk=cast.alan.pk).update(is_active=False)
    assert signs_in(Client(), other).status_code == 403
    # No person is locked out, because wrong passkeys are counted for the address of the caller.
    assert {row.subject.partition(":")[0] for row in Tries.objects.all()} <= {"passkey", "challenge"}


def test_the_tries_of_one_address_are_limited(cast: Cast) -> None:
    device = holder(cast, "ada")
    for _ in range(10):
        assert Client().post("/accounts/passkey/", {"assertion": "{}"}).status_code == 403
    assert signs_in(client := Client(), device).status_code == 429
    assert who(client) == ""


def test_a_removed_one_signs_in_no_more_and_neither_does_one_of_the_approval_page(cast: Cast) -> None:
    device = Authenticator(origin=ORIGIN)
    added(signed_in(cast, "ada"), device)
    row = Passkey.objects.get()
    Passkey.objects.filter(pk=row.pk).update(rp_id="approvals.contoso.example")
    assert signs_in(Client(), device).status_code == 403
    Passkey.objects.filter(pk=row.pk).update(rp_id="localhost")
    assert signed_in(cast, "ada").post(reverse("web:security_remove_passkey", args=[row.pk])).status_code == 302
    assert signs_in(Client(), device).status_code == 403
    assert events_in(cast.contoso) == ["passkey.enrolled", "passkey.removed"]


def test_a_key_of_the_approval_page_is_no_second_factor_here(cast: Cast) -> None:
    holder(cast, "ada")
    Passkey.objects.update(rp_id="approvals.contoso.example")
    client = Client()
    assert sign_in(cast.ada, PASSWORD, client=client).url == "/"
    assert client.get("/")["Location"] == f"{ADD}?next=/"


# --- After the password -------------------------------------------------------------------------------------


def test_after_the_password_a_passkey_replaces_the_code(cast: Cast) -> None:
    device, client = holder(cast, "ada"), Client()
    code = reverse("mfa_authenticate")
    form = {"login": cast.ada.email, "password": PASSWORD}
    assert client.post(f"{reverse('account_login')}?next={LATER}", form)["Location"] == code
    page = client.get(code)
    options = options_on(page)
    assert len(options["allowCredentials"]) == 1
    for wrong in (replace(device, verifies_user=False), replace(device, origin="https://evil.example")):
        answer = client.post(code, {"assertion": json.dumps(wrong.get(options))})
        assert (answer.status_code, who(client)) == (200, "")
    foreign = signed_in(cast, "ada").get("/step-up/?next=/")
    client.post(code, {"assertion": json.dumps(device.get(options_on(foreign)))})
    assert who(client) == ""
    done = client.post(code, {"assertion": json.dumps(device.get(options))})
    assert (done.status_code, done["Location"], who(client)) == (302, LATER, str(cast.ada.pk))


def test_after_five_wrong_answers_the_right_one_is_not_checked(cast: Cast) -> None:
    device, client = holder(cast, "ada"), Client()
    code = reverse("mfa_authenticate")
    client.post(reverse("account_login"), {"login": cast.ada.email, "password": PASSWORD})
    for _ in range(5):
        page = client.post(code, {"assertion": '{"type": "public-key"}'})
    last = client.post(code, {"assertion": json.dumps(device.get(options_on(page)))})
    assert "Too many wrong passwords or codes" in last.content.decode()
    assert who(client) == ""


# --- Confirming ---------------------------------------------------------------------------------------------


def test_a_passkey_confirms_that_it_is_still_the_same_person(cast: Cast) -> None:
    device, client = holder(cast, "ines"), signed_in(cast, "ines", fresh=False)
    page = reverse("web:tenant", args=[cast.contoso.pk])
    with nothing_happens():
        response = client.post(page, {"window_cap": "3600"})
    assert response.status_code == 403
    answer = device.get(options_on(response))
    with only_a_refusal():
        unsure = replace(device, verifies_user=False).get(options_on(response))
        again = client.post(page, {"window_cap": "3600", "step-up-assertion": json.dumps(unsure)})
    assert again.status_code == 403
    assert str(errors.PasskeyNotVerified.default) in again.content.decode()
    assert 'name="window_cap" value="3600"' in again.content.decode()
    assert client.post(page, {"window_cap": "3600", "step-up-assertion": json.dumps(answer)}).status_code == 302
    assert client.post(page, {"window_cap": "7200"}).status_code == 302
    assert client.session["stepped_up"]["way"] == "passkey"
    other = signed_in(cast, "ines", fresh=False)
    replayed = other.post("/step-up/", {"assertion": json.dumps(answer), "next": page})
    assert (replayed.status_code, "stepped_up" in other.session) == (403, False)
    fresh = device.get(options_on(other.get(f"/step-up/?next={page}")))
    assert other.post("/step-up/", {"assertion": json.dumps(fresh), "next": page})["Location"] == page


def test_the_passkey_of_somebody_else_confirms_nothing(cast: Cast) -> None:
    alan, client = holder(cast, "alan"), signed_in(cast, "ada", fresh=False)
    enrolled(cast, "ada")
    answer = alan.get(options_on(client.get("/step-up/?next=/")))
    assert client.post("/step-up/", {"assertion": json.dumps(answer)}).status_code == 403
    assert "stepped_up" not in client.session


# --- Removing -----------------------------------------------------------------------------------------------


def test_a_required_last_second_factor_cannot_be_removed(cast: Cast) -> None:
    holder(cast, "ada")
    client, row = signed_in(cast, "ada"), Passkey.objects.get()
    page = reverse("web:security_remove_passkey", args=[row.pk])
    with only_a_refusal():
        answer = client.post(page)
    assert answer.status_code == 409
    assert str(LastSecondFactor.default) in answer.content.decode()
    with pytest.raises(LastSecondFactor), only_a_refusal():
        operations.remove_passkey(row.pk, actor=cast.as_("ada"), keep=factors.drops_passkey)
    assert Passkey.objects.live().get() == row
    assert Kept.objects.filter(user=cast.ada, type="webauthn").exists()
    added(client, Authenticator(origin=ORIGIN), called="Second")
    assert client.post(page)["Location"] == "/security/"
    assert Passkey.objects.live().get().name == "Second"
    assert Kept.objects.get(user=cast.ada, type="webauthn").data["name"] == "Second"
    assert factors.codes_left(cast.ada) == 10


def test_an_approver_who_must_sign_keeps_an_accepted_passkey(cast: Cast) -> None:
    def gone(row: Passkey) -> None:
        operations.remove_passkey(row.pk, actor=cast.as_("ada"))

    copied = enrolled(cast, "ada", is_backup_eligible=True, called="Copied")[0]
    operations.set_yes_rule(cast.contoso.pk, rule="signed", actor=cast.as_("ines"))
    with pytest.raises(LastPasskey), only_a_refusal():
        gone(copied)
    bound = enrolled(cast, "ada", called="Bound")[0]
    operations.set_yes_rule(cast.contoso.pk, rule="device_bound", actor=cast.as_("ines"))
    with pytest.raises(LastPasskey), only_a_refusal():
        gone(bound)
    gone(copied)
    of_ines = enrolled(cast, "ines")[0]
    operations.remove_passkey(of_ines.pk, actor=cast.as_("ines"))
    assert Passkey.objects.live().get() == bound
    operations.set_yes_rule(cast.contoso.pk, rule="any", actor=cast.as_("ines"))
    gone(bound)
    assert not Passkey.objects.live().exists()


def test_others_may_give_the_last_up_and_their_recovery_codes_go_with_it(cast: Cast) -> None:
    client = signed_in(cast, "mia")
    assert added(client, Authenticator(origin=ORIGIN)).status_code == 200
    row = Passkey.objects.get()
    page = client.get(reverse("web:security_remove_passkey", args=[row.pk]))
    assert "Phone" in page.content.decode()
    assert client.post(reverse("web:security_remove_passkey", args=[row.pk])).status_code == 302
    assert not Kept.objects.filter(user=cast.mia).exists()
    assert sign_in(cast.mia, PASSWORD).url == "/"


def test_nobody_removes_anothers_here(cast: Cast) -> None:
    row, _device = enrolled(cast, "ada")
    for name in ("alan", "ines", "frida", "stella", "priya"):
        client = signed_in(cast, name)
        with nothing_happens():
            for method in (client.get, client.post):
                assert method(reverse("web:security_remove_passkey", args=[row.pk])).status_code == 404


def test_an_app_beside_the_passkey_leaves_both_ways_open(cast: Cast) -> None:
    device = Authenticator(origin=ORIGIN)
    added(signed_in(cast, "ada"), device)
    assert signs_in(Client(), device).status_code == 302
    assert sign_in(cast.ada, PASSWORD, client=(client := Client())).status_code == 302
    assert who(client) == str(cast.ada.pk)
    form = {"password": PASSWORD, "code": a_code(cast.ada), "next": "/"}
    assert signed_in(cast, "ada", fresh=False).post("/step-up/", form).status_code == 302
