"""Every page of every role against axe-core, in both themes, on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from requests_app.demo import world as demo
from requests_app.models import AccessRequest, Grant
from tests.browser.axe import faults
from tests.browser.conftest import Visit
from tests.words.crawl import FILES, Visited, crawl

#: One person for every role, and those beside them who have what the first ones have not.
PEOPLE = [
    "",
    "ada.keller",
    "otto.brandt",
    "ines.vogel",
    "mia.weber",
    "frida.olsen",
    "noah.kim",
    "priya.nair",
    "samira.haddad",
    "pat.doyle",
    "stella.okafor",
]
#: Answers to forms, and to scripts.
NO_PAGES = {"set_theme", "log_verify", "log_export", "window_state", "window_raw"}
PER_ROUTE = 4


def addresses(login: str) -> tuple[str, ...]:
    """Where a person starts; beside the first page, what nobody comes to by a link from there."""
    if not login:
        return ("/", "/limits/", "/accounts/password/reset/", "/accounts/password/reset/done/")
    first = ["/", "/nothing/here/", "/accounts/logout/"]
    rows = {row.state: row for row in AccessRequest.objects.filter(tenant__slug="contoso")}
    if login == "ada.keller":
        first += [f"/access-requests/{rows['CLOSED'].pk}/{page}/" for page in ("receipt", "live")]
        first += [f"/access-requests/{rows['CLOSED'].pk}/decide/approve/", "/access-requests/?state=closed"]
        first += ["/access-requests/?q=nothing"]
    if login == "otto.brandt":
        # Without the role to decide.
        first += [f"/access-requests/{rows['PENDING_CUSTOMER'].pk}/decide/approve/"]
    if login == "frida.olsen":
        grant = Grant.objects.get(tenant__slug="fabrikam")
        first += [f"/access-requests/{grant.access_request_id}/{page}/" for page in ("live", "receipt", "revoke")]
    if login == "priya.nair":
        closed, opened = Grant.objects.get(tenant__slug="contoso"), Grant.objects.get(tenant__slug="fabrikam")
        first += [f"/windows/{closed.pk}/", f"/access-requests/{opened.access_request_id}/release/"]
        first += [f"/access-requests/legal-demand/?tenant={opened.tenant_id}"]
        first += [f"/access-requests/legal-demand/?tenant={opened.tenant_id}&service={opened.access_request.service_id}"]
    if login == "pat.doyle":
        first += [f"/access-requests/{rows['CLOSED'].pk}/receipt/"]
    if login == "stella.okafor":
        first += ["/admin/requests_app/person/?q=nobody-has-this-name", "/admin/requests_app/person/?q=ada"]
        first += ["/admin/requests_app/person/?side__exact=customer", "/admin/requests_app/person/no-id/change/"]
    return tuple(first)


class _Shape(HTMLParser):
    """What a page is made of, without its words: two pages of one shape are one page to the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: set[tuple[Any, ...]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.pieces.add((tag, given.get("class"), given.get("type"), given.get("role"), *sorted(given)))


def shape(page: Visited) -> tuple[Any, ...]:
    parser = _Shape()
    parser.feed(page.html)
    return page.route, page.status, frozenset(parser.pieces)


def pages(login: str) -> list[Visited]:
    """What this person can come to, each shape once."""
    found: dict[tuple[Any, ...], Visited] = {}
    for page in crawl(login, first=addresses(login), per_route=PER_ROUTE):
        found.setdefault(shape(page), page)
    return list(found.values())


def names(resolver: URLResolver, wanted: str, namespace: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from names(entry, wanted, entry.namespace or namespace)
        elif isinstance(entry, URLPattern) and namespace == wanted and entry.name:
            yield entry.name


@pytest.mark.django_db
@pytest.mark.timeout(300)
def test_every_page_that_there_is_is_among_them() -> None:
    demo.build()
    seen = {page.route.partition(" ")[0] for login in PEOPLE for page in crawl(login, first=addresses(login))}
    assert {f"web:{name}" for name in names(get_resolver(), "web")} - {f"web:{name}" for name in NO_PAGES} - seen == set()
    lists = {f"admin:{name}" for name in names(get_resolver(), "admin") if name.endswith("_changelist")}
    assert lists | {"admin:index"} <= seen
    assert {f"account_{name}" for name in ("login", "logout", "change_password", "reset_password")} <= seen
    assert FILES <= NO_PAGES


@pytest.mark.timeout(600)
@pytest.mark.parametrize("login", PEOPLE, ids=lambda login: login or "nobody")
def test_pages_have_no_fault(visit: Visit, login: str) -> None:
    visitor = visit(login)
    visitor.watch.expected |= {403, 404, 409}
    found: list[Any] = []
    for page in pages(login):
        visitor.goto(page.address)
        found += faults(visitor.page)
    if found:
        raise AssertionError("\n".join(str(fault) for fault in found))
