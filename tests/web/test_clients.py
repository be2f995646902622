"""A tenant's clients on pages: all its people see them, its administrator manages them, and a secret is shown once."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from requests_app import operations
from requests_app.domain.errors import NotFound
from requests_app.domain.scopes import Scope
from requests_app.models import Client, Person, Token
from requests_app.operations import Made
from tests.caller import Caller, access_token, client_of
from tests.cast import PASSWORD, Cast, events_in, outbox_topics
from tests.factors import a_code
from tests.web.pages import nothing_happens, only_a_refusal, queries_of, same_queries, signed_in

pytestmark = pytest.mark.django_db

FORM: dict[str, Any] = {"name": "Help desk", "scopes": ["tickets:read", "tickets:write"]}
ONE = ("client", "client_change", "client_rotate", "client_remove")


def page(cast: Cast, name: str = "clients", *more: Any) -> str:
    return reverse(f"web:{name}", args=[cast.contoso.pk, *more])


def add(cast: Cast, **fields: Any) -> Made:
    return operations.create_client(tenant_id=cast.contoso.pk, actor=cast.as_("ines"), **{**FORM, **fields})


def test_the_secret_is_the_answer_to_adding_and_is_never_shown_again(cast: Cast) -> None:
    browser = signed_in(cast, "ines")
    answer = browser.post(page(cast), FORM)
    secret, text = answer.context["secret"], answer.content.decode()
    client = Client.objects.get()
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    for words in (secret, str(client.pk), "http://localhost:8000/oauth/token"):
        assert f'data-copy="{words}"' in text
    assert access_token(client, secret).status_code == 200
    assert (client.scopes, client.decides_for) == (["tickets:read", "tickets:write"], None)
    for where in (page(cast), *(page(cast, name, client.pk) for name in ONE)):
        assert secret not in browser.get(where).content.decode()


def test_a_new_secret_is_shown_once_and_the_previous_one_stops_working(cast: Cast) -> None:
    client, secret = client_of(cast, "contoso", Scope.LOG_READ)
    token = access_token(client, secret).json()["access_token"]
    browser = signed_in(cast, "ines")
    with nothing_happens():
        assert "stop working immediately" in browser.get(page(cast, "client_rotate", client.pk)).content.decode()
    answer = browser.post(page(cast, "client_rotate", client.pk))
    assert "no-store" in answer["Cache-Control"]
    assert Caller(token).get("me").status_code == 401
    assert access_token(client, secret).status_code == 401
    assert access_token(client, answer.context["secret"]).status_code == 200


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_everybody_of_the_tenant_sees_who_calls_and_who_decides(cast: Cast, name: str) -> None:
    add(cast)
    add(cast, name="Robot", scopes=["decisions:write"], decides_for_id=cast.ada.pk)
    text = signed_in(cast, name).get(page(cast)).content.decode()
    for words in ("Help desk", "Robot", "Ada Test", "Decide on access requests"):
        assert words in text
    assert "Add an API client" not in text
    assert "/change/" not in text


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_the_page_of_a_client_is_only_for_the_administrator(cast: Cast, name: str) -> None:
    client = add(cast).row
    browser = signed_in(cast, name)
    for each in ONE:
        with nothing_happens():
            assert browser.get(page(cast, each, client.pk)).status_code == 403, each


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_nobody_else_changes_anything(cast: Cast, name: str) -> None:
    client = add(cast).row
    browser = signed_in(cast, name)
    acts = [
        (page(cast), FORM),
        (page(cast, "client_change", client.pk), {"scopes": ["log:read"]}),
        (page(cast, "client_rotate", client.pk), {}),
    ]
    # Staff can remove a client although they can't change it. The others can do neither.
    if name != "stella":
        acts.append((page(cast, "client_remove", client.pk), {}))
    for where, form in acts:
        before = list(Client.objects.values()), list(Person.objects.order_by("pk").values())
        with only_a_refusal():
            assert browser.post(where, form).status_code == 403, where
        assert (list(Client.objects.values()), list(Person.objects.order_by("pk").values())) == before


def test_the_administrator_is_led_there_and_to_each(cast: Cast) -> None:
    client = add(cast).row
    browser = signed_in(cast, "ines")
    assert page(cast) in browser.get(reverse("web:tenant", args=[cast.contoso.pk])).content.decode()
    assert page(cast, "client", client.pk) in browser.get(page(cast)).content.decode()
    text = browser.get(page(cast, "client", client.pk)).content.decode()
    for name in ONE[1:]:
        assert page(cast, name, client.pk) in text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({**FORM, "scopes": []}, "Choose at least one scope."),
        ({**FORM, "scopes": ["tokens:manage"]}, "tokens:manage"),
        ({**FORM, "scopes": ["requests:submit"]}, "requests:submit"),
        ({**FORM, "name": " "}, "Fill in this field."),
        (
            {**FORM, "decides_for": "ada"},
            "Only a tenant’s own client with the scope decisions:write",
        ),
        ({**FORM, "scopes": ["decisions:write"], "decides_for": "otto"}, "Select a valid choice."),
        ({**FORM, "scopes": ["decisions:write"], "decides_for": "frida"}, "Select a valid choice."),
    ],
)
def test_a_wrong_value_is_explained_beside_the_field(cast: Cast, form: dict[str, Any], words: str) -> None:
    if "decides_for" in form:
        form = {**form, "decides_for": str(cast.people[form["decides_for"]].pk)}
    answer = signed_in(cast, "ines").post(page(cast), form)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Client.objects.exists()
    assert not Person.objects.filter(kind="client").exists()
    assert set(events_in(cast.contoso)) <= {"act.refused"}


def test_a_field_that_the_form_lacks_is_refused(cast: Cast) -> None:
    client, browser = add(cast).row, signed_in(cast, "ines")
    with nothing_happens():
        for extra in ({"tenant": str(cast.fabrikam.pk)}, {"account": str(cast.ada.pk)}, {"name": ["a", "b"]}):
            assert browser.post(page(cast), {**FORM, **extra}).status_code == 400
        # The name can't change, because the log contains it.
        assert browser.post(page(cast, "client_change", client.pk), {**FORM, "name": "x"}).status_code == 400
        for name in ("client_rotate", "client_remove"):
            assert browser.post(page(cast, name, client.pk), {"now": "1"}).status_code == 400
    assert Client.objects.count() == 1


def test_there_is_an_end_to_how_many_a_tenant_has(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations.integrations, "MOST_CLIENTS", 1)
    add(cast)
    answer = signed_in(cast, "ines").post(page(cast), FORM)
    assert answer.status_code == 429
    assert "There can be at most 1 clients." in answer.content.decode()
    assert Client.objects.count() == 1


def test_form_page_and_mail_warn_of_a_client_that_decides(cast: Cast) -> None:
    browser = signed_in(cast, "ines")
    assert "approve or deny in this approver’s name, without a password" in browser.get(page(cast)).content.decode()
    form = {
        **FORM,
        "scopes": ["requests:read", "decisions:write"],
        "decides_for": str(cast.ada.pk),
    }
    answer = browser.post(page(cast), form)
    client = Client.objects.get()
    assert outbox_topics()[-1] == "notify.client_decides"
    assert client.decides_for == cast.ada
    text = browser.get(page(cast, "client", client.pk)).content.decode()
    assert "can approve and deny in the name of" in text
    row = cast.confirmed()
    caller = Caller(access_token(client, answer.context["secret"]).json()["access_token"])
    assert caller.decide("deny", row).json()["state"] == "DENIED"


def test_a_removed_scope_is_gone_immediately(cast: Cast) -> None:
    made = add(cast, scopes=["log:read", "decisions:write"], decides_for_id=cast.ada.pk)
    token = access_token(made.row, made.secret).json()["access_token"]
    browser = signed_in(cast, "ines")
    where = page(cast, "client_change", made.row.pk)
    shown = browser.get(where).content.decode()
    assert f'value="{cast.ada.pk}" selected' in shown
    answer = browser.post(where, {"scopes": ["log:read"], "decides_for": ""})
    assert answer["Location"] == page(cast, "client", made.row.pk)
    client = Client.objects.get()
    assert (client.scopes, client.decides_for) == (["log:read"], None)
    assert Caller(token).get("me").json()["scopes"] == ["log:read"]
    answer = browser.post(where, {"scopes": ["log:read"], "decides_for": ""})
    assert answer.status_code == 422
    assert "The client already has these values." in answer.content.decode()


@pytest.mark.parametrize("name", ["ines", "stella"])
def test_a_removed_client_stops_working_immediately_and_leaves_the_pages(cast: Cast, name: str) -> None:
    made = add(cast)
    token = access_token(made.row, made.secret).json()["access_token"]
    assert Caller(token).get("me").status_code == 200
    if name == "ines":
        with nothing_happens():
            signed_in(cast, name).get(page(cast, "client_remove", made.row.pk))
    answer = signed_in(cast, name).post(page(cast, "client_remove", made.row.pk))
    assert answer["Location"] == page(cast)
    assert Caller(token).get("me").status_code == 401
    assert access_token(made.row, made.secret).json() == {"error": "invalid_client"}
    assert events_in(cast.contoso)[-1] == "client.removed"
    assert not Token.objects.filter(revoked_at=None).exists()
    browser = signed_in(cast, "ines")
    assert "Help desk" not in browser.get(page(cast)).content.decode()
    for each in ONE:
        assert browser.get(page(cast, each, made.row.pk)).status_code == 404


def test_a_client_of_another_tenant_or_the_provider_is_missing(cast: Cast) -> None:
    browser = signed_in(cast, "ines")
    for tenant in ("fabrikam", None):
        client, _secret = client_of(cast, tenant)
        assert "Help desk" not in browser.get(page(cast)).content.decode()
        for each in ONE:
            assert browser.get(page(cast, each, client.pk)).status_code == 404
            assert browser.post(page(cast, each, client.pk)).status_code in (404, 405)


def test_the_list_costs_the_same_with_many(cast: Cast) -> None:
    add(cast)
    browser = signed_in(cast, "ines")

    def grow() -> None:
        for _ in range(5):
            made = add(cast, scopes=["decisions:write"], decides_for_id=cast.ada.pk)
            access_token(made.row, made.secret)

    same_queries(lambda: queries_of(browser, page(cast)), grow)


def test_the_account_of_a_client_is_managed_by_nobody_as_a_person(cast: Cast) -> None:
    """If staff could switch on the account of a removed client, its old secret would work again."""
    made = add(cast)
    theirs, _secret = client_of(cast, None)
    operations.remove_client(made.row.pk, actor=cast.as_("ines"))
    for act in (
        lambda: operations.switch_on_person(made.row.account_id, actor=cast.as_("stella")),
        lambda: operations.switch_off_person(theirs.account_id, actor=cast.as_("stella")),
        lambda: operations.give_queue_role(
            cast.exchange.pk, theirs.account_id, role="engineer", actor=cast.as_("stella")
        ),
    ):
        with nothing_happens(), pytest.raises(NotFound):
            act()
    assert access_token(made.row, made.secret).json() == {"error": "invalid_client"}


def test_a_session_alone_lets_no_machine_decide_or_keep_people(cast: Cast) -> None:
    """A person must confirm their identity before they decide.

    So they must also confirm it before they create or take over a client that decides.
    """
    browser = signed_in(cast, "ines", fresh=False)
    quiet = add(cast).row
    deciding = add(cast, scopes=["decisions:write"], decides_for_id=cast.ada.pk)
    chosen = {"scopes": ["decisions:write"], "decides_for": str(cast.alan.pk)}
    asks: list[tuple[str, dict[str, Any]]] = [
        (page(cast), {"name": "Robot", **chosen}),
        (page(cast), {"name": "Directory", "scopes": ["members:provision"]}),
        (page(cast, "client_change", quiet.pk), chosen),
        (page(cast, "client_change", deciding.row.pk), chosen),
        (page(cast, "client_rotate", deciding.row.pk), {}),
        (page(cast, "client_rotate", quiet.pk), {}),
    ]
    before, messages = list(Client.objects.order_by("pk").values()), outbox_topics()
    for where, form in asks:
        with nothing_happens():
            response = browser.post(where, form)
        assert (response.status_code, response.templates[0].name) == (403, "security/step_up.html")
    assert list(Client.objects.order_by("pk").values()) == before
    assert access_token(deciding.row, deciding.secret).status_code == 200
    assert outbox_topics() == messages
    # Ending a client's right to decide needs no confirmation.
    taken = {"scopes": ["decisions:write"], "decides_for": ""}
    assert browser.post(page(cast, "client_change", deciding.row.pk), taken).status_code == 302
    proof = {"step-up-password": PASSWORD, "step-up-code": a_code(cast.ines)}
    made = browser.post(page(cast), {**asks[1][1], **proof})
    assert (made.status_code, Client.objects.filter(account__name="Directory").count()) == (200, 1)
