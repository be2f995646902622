"""Every interface accepts an id only in its usual form, in upper or lower case. Some ids sort by their time."""

from __future__ import annotations

import ast
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.urls.converters import UUIDConverter

from requests_app.domain.ids import as_id, id_by_time
from tests.caller import Caller, caller_for, token_of
from tests.cast import Cast
from tests.offenders import collected
from tests.sources import ROOT, modules, nodes_of
from tests.web.pages import page_of, signed_in

ONE = uuid.UUID("0193c2a4-7f1e-7c3b-9d55-2f6f0d1c8eab")
OTHERS = ["{%s}", "urn:uuid:%s", "%s ", "x%s"]


def _routes(patterns: Any, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from _routes(each.url_patterns, before + str(each.pattern))
        else:
            yield before + str(each.pattern), each


def test_every_route_with_an_id_takes_it_in_upper_case_and_in_no_other_form() -> None:
    """This tests only the pattern of the route. Whether the row exists is the view's question."""
    routes = [
        (path, pattern)
        for path, pattern in _routes(get_resolver().url_patterns)
        if any(isinstance(each, UUIDConverter) for each in pattern.pattern.converters.values())
    ]
    assert len(routes) > 80
    offenders = [
        path
        for path, pattern in routes
        for each in pattern.pattern.converters.values()
        if isinstance(each, UUIDConverter) and each.regex != UUIDConverter.regex
    ]
    assert offenders == []
    found = resolve(f"/access-requests/{str(ONE).upper()}/")
    assert found.kwargs == {"pk": ONE}


def test_no_other_form_is_an_id() -> None:
    cases = [*OTHERS, ONE.hex, "", "٠193c2a4-7f1e-7c3b-9d55-2f6f0d1c8eab"]
    with collected() as case:
        for other in cases:
            with case(other):
                text = other % ONE if "%s" in other else other
                assert as_id(text) is None
                assert as_id(str(ONE).upper()) == as_id(str(ONE)) == as_id(ONE) == ONE


@pytest.mark.django_db
def test_every_interface_finds_a_row_by_its_id_in_upper_case(cast: Cast) -> None:
    row = cast.confirmed()
    upper, tenant = str(row.pk).upper(), str(row.tenant_id).upper()
    ada, version = Caller(token_of(cast, "ada")), "api-version=2018-02-28-preview"
    azure = f"/subscriptions/{tenant}/providers/Microsoft.CustomerLockbox/requests"
    assert signed_in(cast, "ada").get(page_of(row).replace(str(row.pk), upper)).status_code == 200
    assert ada.get(f"access-requests/{upper}").json()["id"] == str(row.pk)
    assert [each["id"] for each in ada.get(f"access-requests?tenant={tenant}").json()["items"]] == [str(row.pk)]
    assert ada.get(f"{azure}/{upper}?{version}").json()["properties"]["requestId"] == str(row.pk)
    assert ada.get(azure).json()["value"][0]["name"] == f"LockboxRequest_{row.pk}"
    found = signed_in(cast, "stella").get(f"/admin/requests_app/accessrequest/{upper}/change/")
    assert (found.status_code, row.reference in found.content.decode()) == (200, True)
    directory = caller_for(cast, "contoso")
    person = str(cast.mia.pk).upper()
    assert directory.get(f"/scim/v2/Users/{person}").status_code == 200
    # RFC 7643, section 3.1: a filter compares the id with upper and lower case distinguished.
    assert directory.get(f'/scim/v2/Users?filter=id eq "{person.lower()}"').json()["totalResults"] == 1


@pytest.mark.django_db
@pytest.mark.parametrize("other", OTHERS)
def test_every_interface_refuses_another_form_of_an_id(cast: Cast, other: str) -> None:
    row = cast.confirmed()
    text, ada = other % row.pk, Caller(token_of(cast, "ada"))
    azure = f"/subscriptions/{row.tenant_id}/providers/Microsoft.CustomerLockbox/requests"
    assert signed_in(cast, "ada").get(f"/access-requests/{text}/").status_code == 404
    assert signed_in(cast, "stella").get(f"/admin/requests_app/accessrequest/{text}/change/").status_code == 404
    assert ada.get(f"access-requests/{text}").status_code == 404
    assert ada.get(f"{azure}/{text}?api-version=2018-02-28-preview").status_code == 404
    assert ada.get(f"access-requests?engineer={text}").status_code in (400, 422)


def test_text_is_made_an_id_in_one_place() -> None:
    """A call of `UUID(…)` elsewhere would accept the other forms of an id."""
    ours = {
        "domain/ids.py": "the place",
        "queries/inbox.py": "its own cursor",
        "queries/ticket_list.py": "the ends of its order",
        "queries/log.py": "a column of the log",
        "messages/webhooks/messages.py": "a column of the log",
        "operations/_keys.py": "a column",
        "operations/_locked_rows.py": "a column",
        "operations/accounts.py": "what was kept of a proposal",
        "operations/sign_ins.py": "columns",
        "operations/single_sign_on.py": "what was kept of a proposal",
        "doors/api/passkeys.py": "the caller's own",
        "doors/api/scim/groups.py": "members as they were shown a moment ago",
        "domain/events.py": "a constant",
        "platform/token_ids.py": "its own ids, compared as texts",
        "models/row_security.py": "a constant",
        "models/callers.py": "a column",
        "models/evaluations.py": "columns",
        "models/gate_calls.py": "columns",
        "templatetags/addresses.py": "a constant",
    }
    found = set()
    for path in modules("requests_app", with_migrations=False):
        name = path.relative_to(ROOT / "requests_app").as_posix()
        calls = [each for each in nodes_of(path) if isinstance(each, ast.Call)]
        if not name.startswith("demo/") and any(getattr(each.func, "id", "") == "UUID" for each in calls):
            found.add(name)
    assert found == ours.keys()


def test_an_id_by_time_sorts_by_its_time_and_is_random_otherwise() -> None:
    at = datetime(2026, 12, 1, 22, 30, tzinfo=UTC)
    made = [id_by_time(at + timedelta(milliseconds=number)) for number in range(50)]
    assert made == sorted(made)
    same = [id_by_time(at) for _ in range(1_000)]
    assert len({*same}) == 1_000
    assert {(each.version, each.variant) for each in (*made, *same)} == {(7, uuid.RFC_4122)}
    assert {str(each)[:13] for each in same} == {str(made[0])[:13]}
    # Each bit is 0 in some ids and 1 in others, except the time and the six bits of the version and the variant.
    all_ones = ones = same[0].int
    for each in same:
        all_ones, ones = all_ones & each.int, ones | each.int
    assert (ones ^ all_ones).bit_count() == 74
