"""Every response has an id. The server's log has the same id, which can't be used to forge a line of the log."""

import re

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory
from pytest_django import Settings

from lockbox_site.middleware import RequestIdMiddleware, client_address


def test_an_answer_carries_its_own_id(client: Client) -> None:
    first, second = client.get("/healthz")["X-Request-ID"], client.get("/healthz")["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert first != second


def test_an_id_from_the_proxy_is_used(client: Client) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "edge-1234.abc_D"})["X-Request-ID"] == "edge-1234.abc_D"


@pytest.mark.parametrize(
    "offered", ["short", "x" * 65, "with space", "new\nline-here", "<script>alert</script>", "ünïcödé-id"]
)
def test_an_id_of_another_shape_is_replaced(client: Client, offered: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", client.get("/healthz", headers={"X-Request-ID": offered})["X-Request-ID"])


def test_pages_can_read_it() -> None:
    seen: list[str] = []

    def view(request: HttpRequest) -> dict[str, str]:
        seen.append(request.request_id)  # type: ignore[attr-defined]  # the middleware sets it
        return {}

    answer = RequestIdMiddleware(view)(RequestFactory().get("/"))  # type: ignore[arg-type]
    assert seen == [answer["X-Request-ID"]]


@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        (0, "203.0.113.9", "10.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "203.0.113.9", "10.0.0.1"),
        (1, "", "10.0.0.1"),
    ],
)
def test_a_caller_can_not_choose_the_address_it_is_known_by(
    settings: Settings, trusted: int, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXY_COUNT = trusted
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": forwarded})
    assert client_address(request.META) == expected
