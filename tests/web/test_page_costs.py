"""What a page costs beside its own work, counted without a clock: statements, their texts, translated words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.db.models.sql.compiler import SQLCompiler
from django.template import Context, Template
from django.templatetags import i18n
from django.templatetags.static import StaticNode
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from lockbox_site import lighter, pseudolocale
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.states import State
from requests_app.models import Membership
from requests_app.queries import access
from requests_app.templatetags import lockbox, translated
from requests_app.words import skeletons
from tests.cast import Cast
from tests.web.pages import look, signed_in


def _sent(client: Any, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries if "set_config" not in query["sql"]]


def _about(table: str, sent: list[str]) -> list[str]:
    return [sql for sql in sent if f'FROM "{table}"' in sql]


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "most"), [("ada", 12), ("pat", 9), ("priya", 10)])
def test_a_home_page_stays_in_its_budget(cast: Cast, name: str, most: int) -> None:
    for _ in range(3):
        cast.confirmed()
        cast.submitted()
    client = signed_in(cast, name)
    client.get("/")
    sent = _sent(client, "/")
    assert len(sent) <= most, "\n".join([str(len(sent)), *sent])


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "shown"), [("ada", 3), ("pat", 3), ("priya", 0)])
def test_the_statements_of_a_home_page_are_made_once(
    cast: Cast, name: str, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.confirmed()
    look(cast, cast.opened(), "1.mail", "2.mail")
    client = signed_in(cast, name)
    for _ in range(2):
        assert client.get("/").content.count(b"live-item") == shown
    monkeypatch.setattr(SQLCompiler, "as_sql", None)
    assert client.get("/").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ada", "pat", "priya", "stella"])
def test_lists_read_only_the_columns_of_their_lines_and_none_of_them_later(
    cast: Cast, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for state in State:
        row = cast.in_state(state)
    cast.in_quillo()
    client = signed_in(cast, name)
    monkeypatch.setattr(Model, "refresh_from_db", None)
    for page in ("/", "/access-requests/", "/access-requests/?state=closed", "/tickets/"):
        sent = _sent(client, page)
        assert not [sql for sql in sent if 'accessrequest"."tried"' in sql], page
    assert not [sql for sql in sent if 'ticket"."body"' in sql]
    assert client.get(f"/access-requests/{row.pk}/").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ada", "pat"])
def test_two_statements_read_who_the_person_is(cast: Cast, name: str) -> None:
    """The session, and the person with their roles."""
    client = signed_in(cast, name)
    client.get("/limits/")
    sent = _sent(client, "/limits/")
    found = {table: len(_about(table, sent)) for table in ("django_session", "requests_app_person")}
    assert found == {"django_session": 1, "requests_app_person": 1}, "\n".join(sent)
    assert _about("requests_app_membership", sent) + _about("requests_app_queueassignment", sent) == []


@pytest.mark.real_clock
@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ada", "pat", "priya"])
def test_the_time_of_a_page_is_read_with_the_person(cast: Cast, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.confirmed()
    client = signed_in(cast, name)
    monkeypatch.setattr(clock, "now", None)
    for page in ("/", "/access-requests/", "/tickets/", "/limits/"):
        assert not [sql for sql in _sent(client, page) if sql.startswith("SELECT clock_timestamp()")], page


@pytest.mark.django_db
def test_a_role_that_is_taken_away_is_missing_on_the_next_page(cast: Cast) -> None:
    row = cast.confirmed()
    client = signed_in(cast, "ada")
    assert f"/access-requests/{row.pk}/" in client.get("/").content.decode()
    Membership.objects.filter(person=cast.ada, role="approver").delete()
    assert "Waiting for you" not in client.get("/").content.decode()
    Membership.objects.filter(person=cast.ada).delete()
    assert row.reference not in client.get("/").content.decode()


@pytest.mark.dialect
@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ada", "priya", "stella"])
@pytest.mark.parametrize("page", ["", "live/", "receipt/"])
def test_pages_of_a_closed_window_count_its_accesses_once(
    cast: Cast, name: str, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = cast.opened()
    look(cast, grant, "1.mail", "2.mail", "1.mail")
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    client, address = signed_in(cast, name), f"/access-requests/{grant.access_request_id}/{page}"
    content = client.get(address).content.decode()
    assert "2 messages" in content
    monkeypatch.setattr(access, "_grouped", None)
    sent = _sent(client, address)
    counts = [sql for sql in sent if "COUNT(DISTINCT" in sql or "SUM(lines)" in sql]
    assert len(counts) == 1, "\n".join(sent)


@pytest.mark.django_db
def test_the_events_of_a_timeline_are_filled_in_and_not_rendered(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    grant = cast.opened()
    look(cast, grant, "1.mail")
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    client, address = signed_in(cast, "ada"), f"/access-requests/{grant.access_request_id}/"
    before = client.get(address).content.decode()
    assert before.count('class="timeline-event') >= 5
    monkeypatch.setattr(skeletons, "Skeleton", None)
    assert client.get(address).content.decode().count('class="timeline-event') == before.count('class="timeline-event')


# --- Words ---------------------------------------------------------------------------------------------------


@pytest.fixture
def _pseudo() -> Iterator[None]:
    pseudolocale.install()
    with translation.override(pseudolocale.LANGUAGE):
        yield


TEXTS = [
    '{% translate "Save & go" %}',
    '{% translate "100% of <b>it</b>" %}',
    '{% translate "May" context "name of month" %}',
    '{% translate "Save" noop %}',
    '{% translate "Save" as word %}[{{ word }}]',
    '{% translate "Save"|upper %}',
    "{% translate word %}",
    '{% translate "Save" context word %}',
    '{% autoescape off %}{% translate "a & b" %}{% endautoescape %}',
    "{% trans 'Save' %}",
    "{% blocktranslate trimmed with name=word %}Save {{ name }}{% endblocktranslate %}",
]


@pytest.mark.parametrize("language", ["en", pseudolocale.LANGUAGE])
def test_words_are_those_that_django_writes(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pseudolocale.install()
    for text in TEXTS:
        ours = Template("{% load i18n lockbox %}" + text)
        with monkeypatch.context() as patch:
            patch.setattr(translated.Translate, "render", i18n.TranslateNode.render)
            with translation.override(language):
                expected = Template("{% load i18n lockbox %}" + text).render(Context({"word": "x & y"}))
        for _ in range(2):
            with translation.override(language):
                assert ours.render(Context({"word": "x & y"})) == expected


def test_each_language_has_its_own_words() -> None:
    pseudolocale.install()
    text = Template('{% load i18n lockbox %}{% translate "Save" %}')
    shown = []
    for language in ("en", pseudolocale.LANGUAGE, "en"):
        with translation.override(language):
            shown.append(text.render(Context()))
    assert shown == ["Save", pseudolocale.disguise("Save"), "Save"]


def test_words_without_variables_are_translated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Template('{% load i18n lockbox %}{% translate "Save" %}{% translate "Save" as word %}{{ word }}')
    assert text.render(Context()) == "SaveSave"
    monkeypatch.setattr(i18n.TranslateNode, "render", None)
    assert text.render(Context()) == "SaveSave"


@pytest.mark.django_db
def test_a_list_renders_no_component_for_each_row(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        cast.confirmed()
    client = signed_in(cast, "ada")
    first = client.get("/")
    monkeypatch.setattr(lockbox, "_partial", None)
    again = client.get("/")
    assert again.status_code == first.status_code == 200
    assert again.content.count(b"deadline-words") == 3


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ada", "priya"])
def test_the_rows_of_a_list_are_filled_in(cast: Cast, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        cast.confirmed()
        operations.deny_as_customer(cast.confirmed().pk, actor=cast.as_("ada"), note="Ask by telephone.")
    client = signed_in(cast, name)
    addresses = ("/", "/access-requests/", "/tickets/")
    first = [client.get(address).content.count(b"<tr>") for address in addresses]
    monkeypatch.setattr(skeletons, "get_template", None)
    assert [client.get(address).content.count(b"<tr>") for address in addresses] == first
    assert min(first) > 2


@pytest.mark.django_db
def test_what_is_around_a_page_is_filled_in_for_each_person(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """No person gets a name, an address, a token or a nonce of another one."""
    names = ("ada", "frida", "pat")
    clients = {name: signed_in(cast, name) for name in names}
    for client in clients.values():
        client.get("/limits/")
    monkeypatch.setattr(skeletons, "get_template", None)
    pages = {name: client.get("/limits/").content.decode() for name, client in clients.items()}
    for name, page in pages.items():
        assert [other for other in names if cast.people[other].email in page] == [name]
        assert [other for other in names if f">{cast.people[other].name}<" in page] == [name]
    for secret in ('name="once" value="([^"]+)"', 'nonce="([^"]+)"', 'name="csrfmiddlewaretoken" value="([^"]+)"'):
        found = [set(re.findall(secret, page)) for page in pages.values()]
        assert all(found), secret
        assert len(set.union(*found)) == sum(map(len, found)), secret


@pytest.mark.django_db
def test_no_two_forms_of_the_menu_have_the_same_token(cast: Cast) -> None:
    page = signed_in(cast, "ada").get("/limits/").content.decode()
    forms = re.findall("<form.*?</form>", page, re.DOTALL)
    once = [re.findall('name="once" value="([^"]+)"', form) for form in forms]
    assert [len(found) for found in once] == [1, 1]
    assert once[0] != once[1]


@pytest.mark.django_db
def test_the_address_of_a_file_is_made_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(cast, "ada")
    first = re.findall('href="[^"]*[.]css"', client.get("/").content.decode())
    monkeypatch.setattr(StaticNode, "handle_simple", None)
    assert re.findall('href="[^"]*[.]css"', client.get("/").content.decode()) == first
    assert len(first) > 5


# --- The policy ----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_policy_is_made_once(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("/healthz", "/accounts/login/"):
        client.get(address)
    monkeypatch.setattr(lighter, "build_policy", None)
    nonces = {client.get("/accounts/login/")["Content-Security-Policy"] for _ in range(2)}
    assert len(nonces) == 2
    assert all("'nonce-" in each and "place-of" not in each for each in nonces)
    assert "nonce" not in client.get("/healthz")["Content-Security-Policy"]
