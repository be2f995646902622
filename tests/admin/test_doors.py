"""Only staff can open URLs under /admin/."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from audit_app.models import AuditEntry
from requests_app.domain.errors import NotFound
from requests_app.doors.web import errors
from requests_app.models import AccessRequest, Person, Tenant
from tests.admin.conftest import act_address, address, signed_in
from tests.cast import Cast
from tests.offenders import collected

pytestmark = pytest.mark.django_db
#: One person of each side tries every address. The others try only the most important ones.
WALKERS, KNOCKERS = ["ada", "priya"], ["mia", "otto", "ines", "pat", "bea"]
#: Each walker sends one kind of call through the whole site, and the other kind to the view alone.
THROUGH_THE_SITE = {("ada", "get"), ("priya", "post")}
#: Values for the variable parts of an address. A person without access gets no row, so any value will do.
PARTS = {"object_id": "1", "act": "change", "pk": str(uuid4()), "app_label": "requests_app", "url": "nothing/here"}


def addresses(patterns: list[Any] | None = None, before: str = "/admin/") -> Iterator[str]:
    """Yield every URL below /admin/, with values for its variable parts."""
    for pattern in admin.site.urls[0] if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, before + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            yield before + filled(pattern)


def filled(pattern: URLPattern) -> str:
    route = str(pattern.pattern)
    if "(?P<" in route:
        return "requests_app/" if "app_label" in route else PARTS["url"]
    for name, value in {**PARTS, "content_type_id": "1"}.items():
        for kind in ("path", "uuid", "slug", "int"):
            route = route.replace(f"<{kind}:{name}>", value)
    return route.replace("<path:object_id>", "1")


def test_the_walk_finds_every_page_and_fills_in_every_part() -> None:
    found = list(addresses())
    assert len(found) > 24 * 5
    assert [url for url in found if "<" in url or "(" in url] == []
    resolver = get_resolver()
    assert all(resolver.resolve(url) for url in found)


@pytest.mark.slow
def test_people_who_are_not_staff_find_nothing_anywhere(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = {name: signed_in(cast, name) for name in WALKERS}
    for client in clients.values():
        assert client.get("/nothing-here/").status_code == 404
        found = client.get("/admin/")
        assert (found.status_code, b"portal" in found.content) == (404, False)
    # The page is the same at all these addresses. To render it again takes half of the time.
    monkeypatch.setattr(errors, "render", lambda _request, template, status: HttpResponse(template, status=status))
    requests = RequestFactory()
    for url in addresses():
        for name, method in product(WALKERS, ("get", "post")):
            if (name, method) in THROUGH_THE_SITE:
                found = getattr(clients[name], method)(url)
                assert found.status_code == 404, (name, method, url)
                assert found.content == b"404.html", (name, method, url)
            else:
                request, page = getattr(requests, method)(url), resolve(url)
                request.user = cast.people[name]
                with pytest.raises(NotFound):
                    pytest.fail(f"{(name, method, url)}: {page.func(request, *page.args, **page.kwargs)}")
    assert AuditEntry.objects.count() == 0


def test_no_other_role_opens_the_portal(cast: Cast) -> None:
    with collected() as case:
        for name in KNOCKERS:
            with case(name):
                client = signed_in(cast, name)
                for url in (
                    "/admin/",
                    address(AccessRequest),
                    address(Person, "add"),
                    act_address(cast.erik, "switch-off"),
                ):
                    assert client.get(url).status_code == 404
                    assert client.post(url).status_code == 404
                assert AuditEntry.objects.count() == 0


def test_a_stranger_is_sent_to_the_one_sign_in(cast: Cast, client: Client) -> None:
    for url in addresses():
        answer = client.get(url)
        assert answer.status_code == 302, url
        assert answer.headers["Location"].startswith("/accounts/login/?next=/admin/"), (url, answer.headers)
        assert client.post(url).status_code == 302


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_the_sign_in_leads_nowhere_else(cast: Cast, client: Client, staff: Client, target: str) -> None:
    assert client.get("/admin/login/", {"next": target}).headers["Location"] == "/accounts/login/?next=/admin/"
    assert staff.get("/admin/login/", {"next": target}).headers["Location"] == "/admin/"


def test_staff_without_superuser_rights_sees_everything(world: Cast, staff: Client) -> None:
    Person.objects.filter(pk=world.stella.pk).update(is_superuser=False)
    assert staff.get("/admin/").status_code == 200
    assert staff.get(address(AccessRequest)).status_code == 200


def test_a_person_who_is_no_longer_staff_loses_access_immediately(world: Cast, staff: Client) -> None:
    Person.objects.filter(pk=world.stella.pk).update(is_staff=False)
    assert staff.get("/admin/").status_code == 404
    assert staff.get(address(AccessRequest)).status_code == 404


def test_every_change_needs_its_csrf_token(world: Cast) -> None:
    client = signed_in(world, "stella", enforce_csrf_checks=True)
    person = world.erik
    before = AuditEntry.objects.count()
    assert client.post(act_address(person, "switch-off"), {}).status_code == 403
    chosen = {"action": "switch-off", "_selected_action": [str(person.pk)], "index": "0"}
    assert client.post(address(Person), chosen).status_code == 403
    assert client.post(address(Tenant, "add"), {"name": "New", "slug": "new"}).status_code == 403
    person.refresh_from_db()
    assert person.is_active
    assert AuditEntry.objects.count() == before


def test_the_pages_carry_the_strict_policy_and_nothing_inline(world: Cast, staff: Client) -> None:
    for url in ("/admin/", address(AccessRequest), address(Person, "add"), address(AccessRequest, "change", first())):
        answer = staff.get(url)
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe-inline" not in policy
        page = answer.content.decode()
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page


def first() -> Any:
    return AccessRequest.objects.order_by("pk").first().pk


def test_only_declared_filters_are_taken(world: Cast, staff: Client) -> None:
    cases = [
        "password__startswith=a",
        "email__contains=a",
        "is_superuser__exact=1",
        "_connector=OR",
        "state__in=OPEN",
        "x=1",
    ]
    with collected() as case:
        for query in cases:
            with case(query):
                assert staff.get(f"{address(Person)}?{query}").status_code == 400


def test_a_hostile_address_gets_an_answer_and_no_error(world: Cast, staff: Client) -> None:
    cases = [
        ("tenant=nonsense", 302),
        ("tenant=00000000-0000-0000-0000-00000000000f", 302),
        ("state=MAYBE", 302),
        ("submitted_at__year=abc", 400),
        ("submitted_at__year=9999", 400),
        ("submitted_at__year=" + "9" * 5000, 400),
        ("submitted_at__year=2026&submitted_at__month=13", 302),
        ("submitted_at__month=3", 200),
        ("p=99999", 200),
        ("p=-1", 200),
        ("o=99", 200),
        ("o=abc", 200),
        ("q=%00", 200),
        ("q=" + "x" * 3000, 200),
        ("q=%27%3B--", 200),
    ]
    with collected() as case:
        for query, status in cases:
            with case(query, status):
                assert staff.get(f"{address(AccessRequest)}?{query}").status_code == status


def test_a_row_that_is_not_there_is_404(world: Cast, staff: Client) -> None:
    for wrong in ("nonsense", str(uuid4())):
        assert staff.get(address(AccessRequest, "change", wrong)).status_code == 404
        assert staff.get(address(AccessRequest, "act", wrong, "revoke")).status_code == 404
    assert staff.get(act_address(AccessRequest.objects.first(), "approve")).status_code == 404


def test_djangos_own_pages_lead_to_the_products(world: Cast, staff: Client) -> None:
    assert staff.get("/admin/logout/").headers["Location"] == "/accounts/logout/"
    assert staff.get("/admin/password_change/").headers["Location"] == "/accounts/password/change/"
    assert staff.get("/admin/requests_app/").headers["Location"] == "/admin/"
    row = AccessRequest.objects.first()
    assert staff.get(address(AccessRequest, "history", row.pk)).headers["Location"] == address(
        AccessRequest, "change", row.pk
    )
