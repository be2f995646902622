"""A form with a mistake is shown again only to people who may act: all others are refused, and see nobody's id."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from tests.cast import Cast
from tests.web.pages import only_a_refusal, signed_in

pytestmark = pytest.mark.django_db

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
    cast.contoso.memberships.create(person=cast.otto, role="deputy", given_at=cast.contoso.created_at)
    now = clock.now()
    operations.set_out_of_office(
        cast.contoso.pk,
        deputy_id=cast.otto.pk,
        from_at=now,
        until_at=now + timedelta(days=30),
        actor=cast.as_("ada"),
    )
    address = reverse("web:out_of_office", args=[cast.contoso.pk])
    browser = signed_in(cast, "otto")
    with only_a_refusal():
        assert browser.post(address, {}).status_code == 403
