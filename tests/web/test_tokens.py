"""Personal tokens on pages: each person's own tokens, and for an administrator those of the tenant's people."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from requests_app import operations
from requests_app.domain.acts import SCOPES
from requests_app.models import Token
from requests_app.operations import Made
from requests_app.queries import callers
from tests.acts import CASES, act_of
from tests.caller import Caller
from tests.cast import PASSWORD, Cast, events_in
from tests.web.pages import nothing_happens, only_a_refusal, queries_of, same_queries, signed_in
from tests.web.test_security import without_factor

pytestmark = pytest.mark.django_db

HERE = "/tokens/"
FORM: dict[str, Any] = {"name": "laptop", "scopes": ["requests:read", "grants:read"], "days": "7"}


def make(cast: Cast, by: str = "otto", **fields: Any) -> Made:
    given = {"name": "laptop", "scopes": ["log:read"], "days": 7, **fields}
    return operations.create_token(actor=cast.as_(by), **given)


def revoke_page(made: Made) -> str:
    return reverse("web:token_revoke", args=[made.row.pk])


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "ines", "priya", "pat", "stella"])
def test_everybody_makes_their_own_and_sees_it_once(cast: Cast, name: str) -> None:
    client = signed_in(cast, name)
    answer = client.post(HERE, FORM)
    secret = answer.context["secret"]
    assert answer.status_code == 200
    assert f'data-copy="{secret}"' in answer.content.decode()
    assert "Bearer $LOCKBOX_TOKEN&quot; http://localhost:8000/api/v1/me" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    token = Token.objects.get()
    assert (token.account_id, token.scopes) == (cast.people[name].pk, ["requests:read", "grants:read"])
    assert Caller(secret).get("me").json()["scopes"] == ["requests:read", "grants:read"]
    for where in (HERE, reverse("web:token_revoke", args=[token.pk])):
        text = client.get(where).content.decode()
        assert secret not in text
        assert token.hint in text


@pytest.mark.parametrize(
    ("name", "offered", "withheld"),
    [
        (
            "mia",
            {"tickets:write", "requests:read"},
            {"decisions:write", "log:read", "tenant:manage", "requests:submit"},
        ),
        ("ada", {"decisions:write", "grants:close", "log:read"}, {"tenant:manage", "requests:submit"}),
        ("otto", {"log:read", "evaluate"}, {"decisions:write", "tickets:write", "grants:close"}),
        ("ines", {"tenant:manage", "webhooks:manage"}, {"decisions:write", "requests:submit"}),
        ("priya", {"requests:submit", "grants:close"}, {"decisions:write", "tenant:manage", "log:read"}),
        ("pat", {"decisions:write", "grants:close"}, {"requests:submit", "tenant:manage"}),
        ("stella", {"members:manage", "webhooks:manage"}, {"decisions:write", "tenant:manage", "requests:submit"}),
    ],
)
def test_only_what_ones_roles_can_use_is_offered(cast: Cast, name: str, offered: set[str], withheld: set[str]) -> None:
    client = signed_in(cast, name)
    page = client.get(HERE).content.decode()
    assert {scope for scope in offered | withheld if f'value="{scope}"' in page} == offered
    for scope in withheld:
        with nothing_happens():
            assert client.post(HERE, {**FORM, "scopes": [scope]}).status_code == 422


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "ines", "priya", "pat", "stella"])
def test_the_scope_of_every_act_of_a_person_is_offered(cast: Cast, name: str) -> None:
    """A token with the offered scopes is enough for every case of an act that this person does with the API."""
    actor = cast.as_(name)
    for case_name, case in CASES.items():
        act = act_of(case_name)
        if case.who == name and case.api and act in SCOPES:
            assert SCOPES[act] in actor.usable_scopes, case_name


def test_one_is_led_there_from_the_menu_and_from_the_settings(cast: Cast) -> None:
    client = signed_in(cast, "mia")
    assert f'href="{HERE}"' in client.get("/").content.decode()
    assert client.get("/preferences/").content.decode().count(f'href="{HERE}"') == 2


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({**FORM, "scopes": []}, "Choose at least one scope."),
        ({**FORM, "scopes": ["content:read"]}, "content:read"),
        ({**FORM, "name": " "}, "Fill in this field."),
        ({**FORM, "days": "8"}, "8"),
        (
            {**FORM, "scopes": ["decisions:write"], "days": "90"},
            "A token that can approve or deny is valid for at most 30 days.",
        ),
    ],
)
def test_a_wrong_value_is_explained_beside_the_field(cast: Cast, form: dict[str, Any], words: str) -> None:
    client = signed_in(cast, "ada")
    with nothing_happens():
        answer = client.post(HERE, form)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Token.objects.exists()


def test_a_field_that_the_form_lacks_is_refused(cast: Cast) -> None:
    client, made = signed_in(cast, "otto"), make(cast)
    with nothing_happens():
        for extra in ({"account": str(cast.ada.pk)}, {"expires_at": "2099-01-01"}, {"days": ["7", "365"]}):
            assert client.post(HERE, {**FORM, **extra}).status_code == 400
        assert client.post(revoke_page(made), {"id": "1"}).status_code == 400
    assert Token.objects.get().revoked_at is None


def test_there_is_an_end_to_how_many_one_has(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations.integrations, "MOST_TOKENS", 1)
    make(cast)
    answer = signed_in(cast, "otto").post(HERE, FORM)
    assert answer.status_code == 429
    assert "You can have at most 1 tokens. Revoke a token first." in answer.content.decode()
    assert Token.objects.count() == 1


def test_a_persons_own_token_is_revoked_immediately(cast: Cast) -> None:
    made, client = make(cast), signed_in(cast, "otto")
    with nothing_happens():
        assert "stops working immediately" in client.get(revoke_page(made)).content.decode()
    assert Caller(made.secret).get("me").status_code == 200
    answer = client.post(revoke_page(made), follow=True)
    assert "is revoked." in answer.content.decode()
    assert answer.redirect_chain == [(HERE, 302)]
    assert Caller(made.secret).get("me").status_code == 401
    assert events_in(cast.contoso)[-1] == "token.revoked"
    assert "Revoke this token" not in client.get(revoke_page(made)).content.decode()


def test_the_administrator_sees_and_revokes_those_of_the_tenants_people(cast: Cast) -> None:
    made, mine = make(cast, name="nightly"), make(cast, "ines", name="mine")
    foreign = make(cast, "fatima", name="foreign")
    where = reverse("web:tenant_tokens", args=[cast.contoso.pk])
    client = signed_in(cast, "ines")
    assert where in client.get(reverse("web:clients", args=[cast.contoso.pk])).content.decode()
    text = client.get(where).content.decode()
    assert [word in text for word in ("nightly", "mine", "foreign", "Otto Test")] == [True, True, False, True]
    answer = client.post(revoke_page(made))
    assert answer["Location"] == where
    assert Caller(made.secret).get("me").status_code == 401
    # The next page shows a message with the token's name once.
    client.get("/")
    assert "nightly" not in client.get(where).content.decode()
    assert client.post(revoke_page(mine))["Location"] == HERE
    assert client.post(revoke_page(foreign)).status_code == 404
    assert Caller(foreign.secret).get("me").status_code == 200


@pytest.mark.parametrize("name", ["mia", "ada", "priya", "frida", "finn"])
def test_nobody_else_sees_or_revokes_it(cast: Cast, name: str) -> None:
    made, client = make(cast), signed_in(cast, name)
    with nothing_happens():
        assert client.get(revoke_page(made)).status_code == 404
        assert client.post(revoke_page(made)).status_code == 404
        answer = client.get(reverse("web:tenant_tokens", args=[cast.contoso.pk]))
    assert answer.status_code == (403 if name in ("mia", "ada") else 404)
    assert "laptop" not in answer.content.decode()
    assert Caller(made.secret).get("me").status_code == 200


def test_staff_revoke_anybodys(cast: Cast) -> None:
    made = make(cast)
    answer = signed_in(cast, "stella").post(revoke_page(made))
    assert answer["Location"] == reverse("admin:requests_app_token_changelist")
    assert Caller(made.secret).get("me").status_code == 401


def test_the_pages_cost_the_same_with_many(cast: Cast) -> None:
    make(cast)
    mine, all_ = signed_in(cast, "otto"), signed_in(cast, "ines")
    where = reverse("web:tenant_tokens", args=[cast.contoso.pk])

    def grow() -> None:
        for name in ("otto", "mia", "ada"):
            for _ in range(5):
                operations.revoke_token(make(cast, name).row.pk, actor=cast.as_(name))
                make(cast, name)

    same_queries(lambda: queries_of(mine, HERE) + queries_of(all_, where), grow)


def test_a_very_long_list_shows_the_newest_and_says_so(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "SHOWN", 2)
    for name in ("first", "second", "third"):
        make(cast, name=name)
    text = signed_in(cast, "ines").get(reverse("web:tenant_tokens", args=[cast.contoso.pk])).content.decode()
    assert [word in text for word in ("third", "second", "first")] == [True, True, False]
    assert "This list shows only the newest 2 tokens." in text


def test_a_person_who_is_switched_off_has_no_token_any_more_nor_after_being_switched_on(cast: Cast) -> None:
    made = make(cast)
    ines = signed_in(cast, "ines")
    person = reverse("web:person", args=[cast.contoso.pk, cast.otto.pk])
    ines.post(person, {"act": "switch_off", "role": ""})
    assert Caller(made.secret).get("me").status_code == 401
    ines.post(person, {"act": "switch_on", "role": ""})
    assert Caller(made.secret).get("me").status_code == 401
    token = Token.objects.get()
    assert (token.revoked_at is not None, token.revoked_by_id) == (True, cast.ines.pk)


def test_a_role_that_is_taken_away_on_its_page_is_gone_from_the_token_at_once(cast: Cast) -> None:
    made = make(cast, "ada", scopes=["requests:read", "grants:read"])
    caller = Caller(made.secret)
    assert caller.get("me").json()["roles"] == ["approver", "member"]
    where = reverse("web:person", args=[cast.contoso.pk, cast.ada.pk])
    assert signed_in(cast, "ines").post(where, {"act": "take", "role": "approver"}).status_code == 302
    assert caller.get("me").json()["roles"] == ["member"]


def test_a_token_never_makes_a_session(cast: Cast) -> None:
    made = make(cast)
    client = signed_in(cast, "otto")
    client.logout()
    answer = client.get(HERE, headers={"Authorization": f"Bearer {made.secret}"})
    assert answer["Location"].startswith("/accounts/login/")


def test_a_person_who_is_switched_off_makes_no_token(cast: Cast) -> None:
    """The account is switched off while the person has the form open."""
    client = signed_in(cast, "otto")
    operations.switch_off_person(cast.otto.pk, actor=cast.as_("ines"))
    with nothing_happens():
        assert client.post(HERE, FORM).status_code == 302
    assert not Token.objects.exists()


@pytest.mark.parametrize("name", ["otto", "priya"])
def test_a_session_alone_makes_no_token(cast: Cast, name: str, settings: Any) -> None:
    """A stolen session ends within a day. A token that it makes would work for longer."""
    settings.ENGINEER_SECOND_FACTOR = False
    without_factor(cast, name)
    client = signed_in(cast, name, fresh=False)
    with nothing_happens():
        response = client.post(HERE, FORM)
        assert (response.status_code, response.templates[0].name) == (403, "security/step_up.html")
    with only_a_refusal():
        for _ in range(5):
            answer = client.post(HERE, {**FORM, "step-up-password": "wrong"})
            assert (answer.status_code, "This is not your password." in answer.content.decode()) == (403, True)
    with only_a_refusal():
        assert client.post(HERE, {**FORM, "step-up-password": PASSWORD}).status_code == 429
    assert not Token.objects.exists()
