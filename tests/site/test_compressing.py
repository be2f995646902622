"""Large pages are compressed. A page with a secret, an answer to an act, and a stream never are."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from lockbox_site.compressing import LEAST, CompressionMiddleware
from requests_app import operations
from requests_app.platform.secret_answers import is_secret
from tests.cast import Cast
from tests.content import fill, mail_id
from tests.factors import force_login
from tests.isolation.test_routes import personal_paths, rows_named
from tests.isolation.world import World

LONG = b"<p>All of this is the same.</p>" * 200


def answered(response: Any, *, method: str = "get", path: str = "/", accepts: str = "gzip, br") -> Any:
    request = getattr(RequestFactory(), method)(path, headers={"Accept-Encoding": accepts})
    return CompressionMiddleware(lambda _request: response)(request)


def browser(cast: Cast, name: str) -> Client:
    client = Client(headers={"Accept-Encoding": "gzip, deflate, br"})
    force_login(client, cast.people[name], is_fresh=True)
    return client


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "application/scim+json"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_a_long_answer_is_compressed_if_the_client_accepts_it(kind: str, method: str) -> None:
    response = answered(HttpResponse(LONG, content_type=kind), method=method)
    assert (response["Content-Encoding"], response["Vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(response.content) == LONG
    assert int(response["Content-Length"]) == len(response.content) < len(LONG) / 5


@pytest.mark.parametrize("accepts", ["", "br", "identity", "gzip;q=0, br", "gzip; q=0.0"])
def test_it_is_sent_as_it_is_to_other_clients_and_caches_know_that_it_varies(accepts: str) -> None:
    response = answered(HttpResponse(LONG), accepts=accepts)
    assert (response.content, response["Vary"]) == (LONG, "Accept-Encoding")
    assert not response.has_header("Content-Encoding")


def test_each_compressed_answer_has_another_length() -> None:
    """A length that can't be compared hides what a guess in the page changes (BREACH)."""
    assert len({len(answered(HttpResponse(LONG)).content) for _ in range(40)}) > 10


def secret(response: HttpResponse) -> HttpResponse:
    response.is_secret = True  # type: ignore[attr-defined]  # as the API marks it
    return response


@pytest.mark.parametrize(
    ("response", "asked"),
    [
        (HttpResponse(LONG), {"method": "post"}),
        (HttpResponse(LONG, status=422), {}),
        (HttpResponse(LONG[: LEAST - 1]), {}),
        (HttpResponse(LONG, content_type="text/plain; version=0.0.4"), {}),
        (HttpResponse(LONG, content_type="image/png"), {}),
        (HttpResponse(LONG, headers={"Content-Encoding": "br"}), {}),
        (HttpResponse(LONG, headers={"Cache-Control": "private, no-store, no-transform"}), {}),
        (secret(HttpResponse(LONG)), {}),
        (HttpResponse(LONG), {"path": "/invitation/abcdef/"}),
        (HttpResponse(LONG), {"path": "/set-up/abcdef/"}),
        (StreamingHttpResponse([LONG], content_type="text/event-stream"), {}),
        (StreamingHttpResponse([LONG], content_type="text/html"), {}),
        (FileResponse(iter([LONG]), content_type="text/html"), {}),
    ],
)
def test_these_are_never_compressed(response: Any, asked: dict[str, str]) -> None:
    before = response.get("Content-Encoding")
    found = answered(response, **asked)
    assert found.get("Content-Encoding") == before
    assert (b"".join(found) if found.streaming else found.content) in (LONG, LONG[: LEAST - 1])


def test_an_entity_tag_of_a_compressed_answer_is_weak() -> None:
    """The same tag must not name two different sequences of bytes (RFC 9110, section 8.8.1)."""
    assert answered(HttpResponse(LONG, headers={"ETag": '"1"'}))["ETag"] == 'W/"1"'
    assert answered(HttpResponse(LONG, headers={"ETag": '"1"'}), accepts="")["ETag"] == '"1"'


@pytest.mark.django_db
def test_pages_are_compressed(cast: Cast) -> None:
    cast.confirmed()
    for name, path in (("ada", "/"), ("ada", reverse("web:log", args=[cast.contoso.pk])), ("stella", "/admin/")):
        response = browser(cast, name).get(path)
        assert response.status_code == 200
        assert response["Content-Encoding"] == "gzip", path
        assert {"Accept-Encoding", "Cookie"} <= set(response["Vary"].split(", "))
        assert b"<!doctype html>" in gzip.decompress(response.content)[:20].lower()


@pytest.mark.django_db
def test_a_long_list_of_the_api_is_compressed(cast: Cast) -> None:
    for _ in range(4):
        cast.confirmed()
    token = operations.create_token(name="Reader", scopes=["requests:read"], days=7, actor=cast.as_("ada"))
    client = Client(headers={"Accept-Encoding": "gzip", "Authorization": f"Bearer {token.secret}"})
    response = client.get("/api/v1/access-requests")
    assert response.status_code == 200
    assert response["Content-Encoding"] == "gzip"
    assert b'"reference"' in gzip.decompress(response.content)


@pytest.mark.django_db
def test_the_page_with_the_secret_of_an_app_is_never_compressed(cast: Cast) -> None:
    person = cast.stranger()
    client = Client(headers={"Accept-Encoding": "gzip"})
    force_login(client, person, is_fresh=True)
    response = client.get(reverse("web:security_set_up"))
    assert response.status_code == 200
    assert re.search(rb'data-copy="[A-Z2-7]{32}"', response.content)
    assert not response.has_header("Content-Encoding")
    assert is_secret(response)
    # A proxy must not compress it either.
    assert "no-transform" in response["Cache-Control"]


@pytest.mark.django_db
def test_a_page_that_shows_a_secret_once_is_never_compressed_by_anybody(cast: Cast) -> None:
    client = browser(cast, "mia")
    form = {"name": "My program", "scopes": ["requests:read"], "days": "30"}
    response = client.post(reverse("web:tokens"), form)
    assert response.status_code == 200, response.content.decode()[-3000:]
    assert b"lbp_" in response.content or b"data-copy" in response.content
    assert is_secret(response)
    assert not response.has_header("Content-Encoding")
    assert "no-transform" in response["Cache-Control"]


@pytest.mark.django_db
def test_two_copies_of_a_page_have_other_tokens(cast: Cast) -> None:
    """A token that stays the same could be guessed letter by letter from the lengths of many answers."""
    client = browser(cast, "ada")
    found = [
        set(re.findall(rb'(?:name="(?:csrfmiddlewaretoken|once)" value|nonce)="([^"]+)"', gzip.decompress(body)))
        for body in (client.get(reverse("web:log", args=[cast.contoso.pk])).content for _ in range(2))
    ]
    assert len(found[0]) >= 3
    assert not found[0] & found[1]


#: The page of a customer's item, the page that makes a passkey, and two pages whose addresses are like the one of the
#: first set-up. Other tests are about the secret of an authenticator app, and about answers that show a secret once.
NEVER = {"window_item", "security_add_passkey", "confirm_log_key", "confirm_recovery_key"}


@pytest.mark.django_db
def test_only_these_pages_are_not_compressed(cast: Cast, tmp_path: Path, settings: Any) -> None:
    settings.CONTENT_ROOT = tmp_path
    fill(tmp_path)
    item = {"id": mail_id()}
    world, plain, packed = World(cast), set[str](), set[str]()
    paths = [*rows_named(world), *((name, {}) for name in personal_paths())]
    for who in ("ada", "ines", "priya"):
        client = browser(cast, who)
        for name, ids in paths:
            response = client.get(reverse(f"web:{name}", kwargs=ids), item if name == "window_item" else {})
            if response.status_code == 200 and not response.streaming and "html" in response["Content-Type"]:
                found = packed if response.has_header("Content-Encoding") else plain
                if found is packed or len(response.content) >= LEAST:
                    found.add(name)
    assert plain == NEVER
    assert len(packed) > 60
