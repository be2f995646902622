"""Only people who can do an act see its refused form again. All others get a refusal that contains nobody's id."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import RequestFactory
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Field, Kind, Noun
from requests_app.doors.web import acts
from requests_app.doors.web._things import Visit
from tests.cast import Cast
from tests.web.pages import only_a_refusal, page_of, signed_in

pytestmark = pytest.mark.django_db

#: People of the customer, of the provider and of another customer.
_PEOPLE = ("mia", "ada", "alan", "otto", "ines", "priya", "erik", "samir", "pat", "paula", "stella", "finn", "frida")
_LONG = "x" * 3000
_FORMS: list[tuple[str, dict[str, str], tuple[str, ...]]] = [
    ("mutes", {"hours": "4", "engineer": "nonsense"}, ("ada", "alan")),
    ("mutes", {"hours": "4", "engineer": "everybody", "note": _LONG}, ("ada", "alan")),
    ("mutes", {}, ("ada", "alan")),
    ("out_of_office", {}, ("ada", "alan")),
    ("clients", {}, ("ines",)),
    ("addresses", {}, ("ines",)),
    ("webhooks", {}, ("ines",)),
]


def _ids_of_people(cast: Cast, text: str) -> list[str]:
    return [name for name, person in cast.people.items() if f'value="{person.pk}"' in text]


@pytest.mark.parametrize(("page", "form", "allowed"), _FORMS)
def test_a_tenants_page_refuses_a_wrong_person_whatever_the_form_holds(
    cast: Cast, page: str, form: dict[str, str], allowed: tuple[str, ...]
) -> None:
    cast.confirmed()
    address = reverse(f"web:{page}", args=[cast.contoso.pk])
    for name in ("mia", "otto", "ada", "ines", "stella", "finn"):
        before = AuditEntry.objects.count()
        answer = signed_in(cast, name).post(address, form)
        if name in allowed:
            assert answer.status_code == 422, name
            continue
        assert answer.status_code == (404 if name == "finn" else 403), name
        assert _ids_of_people(cast, answer.content.decode()) == [], name
        assert AuditEntry.objects.count() - before == (answer.status_code == 403), name


def test_a_deputy_cannot_name_another_whatever_the_form_holds(cast: Cast) -> None:
    cast.contoso.memberships.create(person=cast.ines, role="deputy", given_at=cast.contoso.created_at)
    now = clock.now()
    operations.set_out_of_office(
        cast.contoso.pk,
        deputy_id=cast.ines.pk,
        from_at=now,
        until_at=now + timedelta(days=30),
        actor=cast.as_("ada"),
    )
    address = reverse("web:out_of_office", args=[cast.contoso.pk])
    browser = signed_in(cast, "ines")
    with only_a_refusal():
        assert browser.post(address, {}).status_code == 403


@pytest.mark.parametrize("name", sorted(acts._ACTS))
def test_a_form_from_a_declaration_names_nobody_to_those_who_cannot_act(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The test changes each act so that it asks for a person.

    The act's form then contains ids of people, and an empty form is refused.
    """
    asked = Field("colleague", Kind.ID, of=Noun.PERSON, roles=frozenset({Role.APPROVER}))
    monkeypatch.setitem(acts._ACTS, name, replace(acts._ACTS[name], inputs=(asked,)))
    row = cast.opened().access_request
    seen: dict[int, list[str]] = {}
    for person in _PEOPLE:
        answer = signed_in(cast, person).post(page_of(row, "access_request_act", name), {})
        seen.setdefault(answer.status_code, []).append(person)
        if answer.status_code != 422:
            assert _ids_of_people(cast, answer.content.decode()) == [], person
    assert {"finn", "frida", "samir"} <= set(seen[404])
    assert {"mia", "otto", "ines"} <= set(seen[403])
    assert seen.keys() <= {403, 404, 409, 422}
    assert not {"mia", "otto", "ines"} & set(seen.get(422, []))


@pytest.mark.parametrize("text", ["<b>raw</b>", "{x}", "{tenant} & {0}"])
def test_what_a_function_of_a_page_returns_is_escaped_and_no_template(cast: Cast, text: str) -> None:
    visit = Visit(request=RequestFactory().get("/"), actor=cast.as_("ines"), at=clock.now(), of_tenant=cast.contoso)
    shown: Any = visit.says(lambda visit: text)
    assert shown == text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert visit.says("{tenant} & co").startswith("<bdi")
