"""Outsiders open every page: for a missing row and for another tenant's row, they get the same 404."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import Client, RequestFactory
from django.urls import resolve, reverse
from django_htmx.middleware import HtmxDetails

from audit_app.models import AuditEntry
from requests_app.domain.errors import DomainError
from requests_app.doors import web
from requests_app.doors.web import errors, middleware, urls
from requests_app.models import Person
from tests.cast import Cast
from tests.factors import force_login
from tests.isolation.world import Ids, Route, World, routes, unknown_collections

pytestmark = pytest.mark.django_db

PUBLIC = {"limits", "recover", "sso"}


def pages() -> list[Route]:
    """Return the routes of the product's pages. Other tests cover the administration and the sign-in library."""
    return [route for route in routes() if route.namespace == "web"]


def rows_named(world: World) -> Iterator[tuple[str, Ids]]:
    """Yield each page whose URL contains the id of a row. A page occurs once for each combination of ids."""
    for route in pages():
        if route.names_a_row:
            for ids in route.ids(world):
                yield route.name, ids


def personal_paths() -> list[str]:
    """Return the pages that show people only their own rows. Pages whose URL contains a secret have other tests."""
    found = {route.name for route in pages() if not route.names_a_row and not route.takes_free_text}
    return sorted(found - PUBLIC)


def signed_in(cast: Cast, name: str) -> Client:
    client = Client()
    force_login(client, cast.people[name], is_fresh=True)
    return client


def test_every_row_that_an_address_names_is_in_the_world(cast: Cast) -> None:
    assert unknown_collections(World(cast)) == []


def test_only_these_pages_open_by_a_secret() -> None:
    """These are the pages for the set-up, invitations, single sign-on and confirming an address.

    Other tests cover them.
    """
    secret = {route.name for route in pages() if route.takes_free_text and not route.names_a_row}
    saml = {"saml_metadata", "saml_answer", "saml_arrived"}
    assert secret == {"invitation", "set_up", "sso_callback", "address_confirm", *saml}


def test_every_page_has_a_path_and_its_own_name() -> None:
    """This makes sure that the other tests here reach every page."""
    assert [route.path for route in pages() if not route.is_path] == []
    assert [name for name, count in Counter(route.name for route in pages()).items() if count > 1] == []


def test_the_pages_of_every_module_are_reached() -> None:
    """`urls.py` lists the modules.

    If it left one out, the pages of that module would have no URL, and no error would show it.
    """
    modules = [importlib.import_module(f"{web.__name__}.{found.name}") for found in pkgutil.iter_modules(web.__path__)]
    declared = [(module.__name__, page) for module in modules for page in getattr(module, "urlpatterns", ())]
    assert len(declared) > 100
    assert [(name, str(page)) for name, page in declared if page not in urls.urlpatterns] == []


def test_no_route_is_outside_the_known_interfaces() -> None:
    assert {route.namespace for route in routes()} == {"web", "api", "admin", ""}
    bare = {route.name for route in routes() if not route.namespace}
    assert {name for name in bare if not name.startswith("account_")} <= {
        "healthz",
        "readyz",
        "metrics",
        "mfa_authenticate",
        "passkey_sign_in",
    }


@pytest.mark.parametrize("outsider", ["frida", "finn", "fatima", "nils"])
def test_another_tenants_people_get_the_404_of_what_does_not_exist(
    cast: Cast, outsider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The administrator's calls pass through the whole site, and their pages are compared.

    The calls of the others go directly to the views. So the database does not hide other tenants' rows from them, and
    each view must do it. For them, the templates of the two pages and their contexts are compared.
    """
    world = World(cast)
    client: Any = signed_in(cast, outsider)
    if outsider != "finn":
        client = ToView(client, cast.people[outsider])
    for module in (errors, middleware):
        monkeypatch.setattr(module, "render", _rendered if outsider == "finn" else _named)
    before = AuditEntry.objects.count()
    for name, ids in rows_named(world):
        absent = {key: uuid4() if isinstance(value, UUID) else value for key, value in ids.items()}
        for method in ("get", "head", "post"):
            foreign = getattr(client, method)(reverse(f"web:{name}", kwargs=ids), {"id": "1.mail"})
            nothing = getattr(client, method)(reverse(f"web:{name}", kwargs=absent), {"id": "1.mail"})
            assert foreign.status_code == nothing.status_code, (name, method, ids)
            assert foreign.status_code in (404, 405), (name, method, ids)
            assert _plain(foreign) == _plain(nothing), (name, method)
        assert AuditEntry.objects.count() == before, name


def test_an_engineer_of_another_queue_is_an_outsider_too(cast: Cast) -> None:
    world = World(cast)
    client = signed_in(cast, "samir")
    of_engineers = {"tickets", "access-requests", "windows"}
    for route in pages():
        if not of_engineers & {*route.collections.values()}:
            continue
        for name, ids in ((route.name, found) for found in route.ids(world)):
            for method in ("get", "post"):
                response = getattr(client, method)(reverse(f"web:{name}", kwargs=ids), {"id": "1.mail"})
                assert response.status_code in (404, 405), (name, method, ids)


@pytest.mark.parametrize("outsider", ["frida", "fred", "samir"])
def test_personal_pages_show_nothing_of_another_tenant(cast: Cast, outsider: str) -> None:
    World(cast)
    client = signed_in(cast, outsider)
    for name in personal_paths():
        response = client.get(reverse(f"web:{name}"), {"q": World.CANARY})
        text = response.content.decode().replace(f'value="{World.CANARY}"', "")
        # The search text of the person may appear. Nothing that the search found may appear.
        assert f"{World.CANARY} ticket" not in text, name
        assert f"{World.CANARY} body" not in text, name
        assert "Contoso" not in text or outsider == "samir", name


def test_a_stranger_is_sent_to_the_sign_in(cast: Cast) -> None:
    world = World(cast)
    for name, ids in [*rows_named(world), *((name, {}) for name in personal_paths())]:
        for method in ("get", "post"):
            response = getattr(Client(), method)(reverse(f"web:{name}", kwargs=ids))
            assert response.status_code in (302, 405), (name, method, ids)
            if response.status_code == 302:
                assert response["Location"].startswith("/accounts/login/"), name


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_pages_are_public(db: None, name: str) -> None:
    assert Client().get(reverse(f"web:{name}")).status_code == 200


class ToView(RequestFactory):
    """Calls views as a signed-in person, without the middleware around them."""

    def __init__(self, client: Client, person: Person) -> None:
        super().__init__()
        self._person, self._session = person, client.session

    def request(self, **environ: Any) -> Any:
        request: Any = super().request(**environ)
        request.user, request.session = self._person, self._session
        request.actor, request.htmx = middleware._actor(request), HtmxDetails(request)
        request.resolver_match = found = resolve(request.path)
        try:
            return found.func(request, *found.args, **found.kwargs)
        except DomainError as error:
            return errors.refusal(request, error)


def _named(request: HttpRequest, template: str, context: Any = None, **options: Any) -> HttpResponse:
    """Name the template and the context of a page, from which it is rendered."""
    return HttpResponse(repr((template, context)), **options)


def _rendered(request: HttpRequest, template: str, context: Any = None, **options: Any) -> HttpResponse:
    """Render the page of a refusal, for GET only. HEAD has no body, and POST gets the same page."""
    made = render if request.method == "GET" else _named
    return made(request, template, context, **options)


#: The parts of a page that differ in each call: ids, tokens, the time, and the URL.
VARYING = re.compile(
    r"""
      name="(?:csrfmiddlewaretoken|once)"[ ]value="[^"]+"
    | nonce="[^"]+"
    | "X-CSRFToken":[ ]"[^"]+"
    | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}
    | [0-9a-f]{32}
    | content="\d{4}-\d\d-\d\dT[^"]+"
    | (?:datetime|data-[a-z-]+)="\d{4}-[^"]+"
    """,
    re.VERBOSE,
)


def _plain(response: Any) -> str:
    """Return a page without the parts that differ in each call."""
    return VARYING.sub("", response.content.decode())
