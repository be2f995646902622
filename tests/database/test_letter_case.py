"""A search finds names in capital and small letters, on both databases, also with letters beyond ASCII."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db.models import QuerySet
from django.urls import reverse

from requests_app.domain.scopes import Scope
from requests_app.models import Resource, Tenant, Ticket
from requests_app.queries import ticket_list
from tests.caller import caller_for
from tests.cast import Cast
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db

#: What is searched for, and whether it is a part of the name "Łódź *50 % [Süd]_Straße Σίσυφος".
NAME = "Łódź *50 % [Süd]_Straße Σίσυφος"
PARTS = {
    **dict.fromkeys(
        ["łódź", "ŁÓDŹ", "Łódź *50", "ÓDŹ *50 % [SÜD]_s", "straße", "STRAßE", "σίσυφ", "ΣΊΣΥΦ", "süd]"], True
    ),
    **dict.fromkeys(
        ["łódz", "lódź", "łódź ?50", "łódź *5* %", "[łÓ]dź", "süd*", "süd%", "süd]?", "strässe", "üs"], False
    ),
}


@pytest.fixture
def named(cast: Cast) -> Tenant:
    Tenant.objects.filter(pk=cast.contoso.pk).update(name=NAME)
    return cast.contoso


@pytest.mark.parametrize(("part", "is_found"), PARTS.items())
def test_a_part_of_a_name_is_found_in_capital_and_small_letters(named: Tenant, part: str, is_found: bool) -> None:
    assert Tenant.objects.filter(name__icontains=part).exists() is is_found


def test_the_beginning_the_end_and_the_whole_are_found_too(named: Tenant) -> None:
    found = {
        "istartswith": [Tenant.objects.filter(name__istartswith=text).exists() for text in ("łÓ", "ódź")],
        "iendswith": [Tenant.objects.filter(name__iendswith=text).exists() for text in ("ΦΟς", "łódź")],
        "iexact": [
            Tenant.objects.filter(name__iexact=text).exists() for text in (NAME.swapcase().replace("SS", "ß"), "łódź")
        ],
    }
    assert found == dict.fromkeys(found, [True, False])


@pytest.mark.parametrize("letter", ["a", "ł", "Τ"])
def test_a_text_that_is_longer_than_any_name_finds_nothing(
    cast: Cast, letter: str, django_assert_num_queries: Any
) -> None:
    """SQLite refuses patterns of more than 50,000 bytes, and PostgreSQL long regular expressions."""
    text = letter * 60_000
    with django_assert_num_queries(0):
        for lookup in ("icontains", "istartswith", "iendswith", "iexact"):
            assert not Tenant.objects.filter(**{f"name__{lookup}": text}).exists()
    assert signed_in(cast, "stella").get(reverse("web:ticket_new"), {"find": text[:10_000]}).status_code == 200


def test_lists_and_the_api_find_such_a_name(cast: Cast, named: Tenant) -> None:
    Resource.objects.filter(pk=cast.resource().pk).update(name="Księgowość")
    stella: Any = signed_in(cast, "stella")
    pages = [
        (reverse("web:ticket_new"), {"find": "łódź"}),
        (reverse("admin:requests_app_tenant_changelist"), {"q": "ŁÓDŹ"}),
        (reverse("admin:requests_app_resource_changelist"), {"q": "KSIĘGOWOŚĆ"}),
    ]
    shown = [stella.get(page, search).content.decode() for page, search in pages]
    names = [NAME, NAME, "Księgowość"]
    assert [name in text for name, text in zip(names, shown, strict=True)] == [True] * 3
    caller = caller_for(cast, "contoso", Scope.TENANT_READ)
    answer = caller.get(f"tenants/{named.pk}/resources?name=KSIĘG")
    assert [each["name"] for each in answer.json()["items"]] == ["Księgowość"]


@pytest.mark.sqlite
def test_such_a_search_reads_the_same_indexes_of_sqlite(cast: Cast) -> None:
    """It also calls no function of Python, which would take long for a million rows."""
    for make in (_by_name, _by_title):
        plain, other = (re.sub(r"\d+", "", make(text).explain()) for text in ("lodz", "łódź"))
        assert (plain, "GLOB" in str(make("łódź").query)) == (other, True)


def _by_name(text: str) -> QuerySet[Any]:
    return Tenant.objects.filter(name__icontains=text)


def _by_title(text: str) -> QuerySet[Any]:
    return Ticket.objects.filter(ticket_list._named(text)).order_by("-changed_at", "-pk")[:50]
