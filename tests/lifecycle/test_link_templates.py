"""A link into the application of an external service leads to the host that staff wrote, with every id."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_app.domain import link_templates
from requests_app.domain.errors import Unacceptable
from tests.offenders import collected

GOOD = [
    "https://quillo.example/support/{external_id}",
    "https://quillo.example:8443/{tenant}/{external_id}?for={access_request}#top",
    "https://quillo.example/#/support/{external_id}",
    "https://quillo.example?id={external_id}",
    "https://quillo.example/fixed%20page",
    "HTTPS://Quillo.example/{external_id}",
    "http://localhost:8001/{external_id}",
    "http://127.0.0.1/{external_id}",
    "http://[::1]:8001/{external_id}",
]
BAD = [
    "",
    "quillo.example/{external_id}",
    "//quillo.example/{external_id}",
    "http://quillo.example/{external_id}",
    "http://localhost.example/{external_id}",
    "http://localhost@quillo.example/{external_id}",
    "http://127.0.0.1.example/{external_id}",
    "http://10.0.0.1/{external_id}",
    "ftp://quillo.example/{external_id}",
    "javascript:alert(1)",
    "javascript://quillo.example/%0aalert({external_id})",
    "data:text/html,{external_id}",
    "{external_id}",
    "{tenant}://quillo.example/",
    "https://",
    "https:///support",
    "https://{tenant}.quillo.example/",
    "https://{external_id}/",
    "https://quillo.example{tenant}/",
    "https://quillo.example:{external_id}/",
    "https://quillo.example:99999/",
    "https://user@quillo.example/",
    "https://user:secret@quillo.example/{external_id}",
    "https://quillo.example@evil.example/",
    "https://quillo.example\\@evil.example/",
    "https://quillo.example\\.evil.example/",
    "https://quillo..example/",
    "https://[::1]/",
    "https://quillo.example/ {external_id}",
    "https://quillo.example/\n{external_id}",
    "https://quïllo.example/{external_id}",
    "https://quillo.example/{password}",
    "https://quillo.example/{external_id",
    "https://quillo.example/external_id}",
    "https://quillo.example/{{external_id}}",
    "https://quillo.example/{}",
    "https://quillo.example/{external_id.real}",
    "https://quillo.example/{external_id!r}",
    "https://quillo.example/%{external_id}",
    "https://quillo.example/%2{external_id}",
    "https://quillo.example/" + "x" * 400,
]


@pytest.mark.parametrize("template", GOOD)
def test_a_link_template_is_https_with_a_host_and_known_placeholders(template: str) -> None:
    assert link_templates.require(template, field="link_template") == template


def test_every_other_link_template_is_refused() -> None:
    with collected() as case:
        for template in BAD:
            with case(template), pytest.raises(Unacceptable):
                link_templates.require(template, field="link_template")


def test_a_link_has_the_values_in_their_places() -> None:
    values = {"external_id": "a/b?c=d&e#f g", "tenant": "contoso", "access_request": "AR-2222-3333"}
    link = link_templates.fill("https://quillo.example/{tenant}/{external_id}?for={access_request}", values)
    assert link == "https://quillo.example/contoso/a%2Fb%3Fc%3Dd%26e%23f%20g?for=AR-2222-3333"


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("https://quillo.example/support/{external_id}", ".."),
        ("https://quillo.example/support/{external_id}/edit", "."),
        ("https://quillo.example/support/.{external_id}", "."),
        ("https://quillo.example/support/%2e{external_id}", "."),
    ],
)
def test_an_id_that_leads_to_the_directory_above_gives_no_link(template: str, value: str) -> None:
    values = {"external_id": value, "tenant": "contoso", "access_request": "AR-2222-3333"}
    assert link_templates.fill(link_templates.require(template, field="link_template"), values) == ""


@given(st.text(min_size=1).filter(lambda text: not any(0xD800 <= ord(char) <= 0xDFFF for char in text)))
def test_no_id_leaves_its_part_of_the_address(external_id: str) -> None:
    values = {"external_id": external_id, "tenant": external_id, "access_request": external_id}
    link = link_templates.fill("https://quillo.example/support/{external_id}/x?t={tenant}&z=1#{access_request}", values)
    if not link:
        assert external_id in (".", "..")
        return
    found = urlsplit(link)
    assert (found.scheme, found.netloc) == ("https", "quillo.example")
    assert [unquote(part) for part in found.path.split("/")] == ["", "support", external_id, "x"]
    assert parse_qs(found.query, keep_blank_values=True) == {"t": [external_id], "z": ["1"]}
    assert unquote(found.fragment) == external_id


@pytest.mark.parametrize(
    ("template", "origin"),
    [
        ("", ""),
        ("https://quillo.example/{external_id}", "https://quillo.example"),
        ("HTTPS://Quillo.example:443?id={external_id}", "https://quillo.example"),
        ("https://quillo.example:8443/x", "https://quillo.example:8443"),
        ("http://localhost:8001/x", "http://localhost:8001"),
        ("http://localhost:80/x", "http://localhost"),
        ("http://[::1]:8001/x", "http://[::1]:8001"),
    ],
)
def test_the_origin_is_as_a_browser_writes_it(template: str, origin: str) -> None:
    assert link_templates.origin_of(template) == origin


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("https://quillo.example", "/"),
        ("https://quillo.example?id=7", "/?id=7"),
        ("https://quillo.example/a%2Fb?x=1#top", "/a%2Fb?x=1#top"),
        ("https://quillo.example//evil.example/x", "/evil.example/x"),
        ("https://quillo.example/#/support/7", "/#/support/7"),
    ],
)
def test_the_path_of_a_link_never_names_another_host(link: str, path: str) -> None:
    assert link_templates.path_of(link) == path
