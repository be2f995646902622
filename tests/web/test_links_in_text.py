"""URLs in people's texts become links. No link hides where it leads."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.template import Context, Template
from django.utils.html import strip_tags

from requests_app import operations
from tests.cast import Cast
from tests.offenders import collected
from tests.web.pages import signed_in


def show(text: str, name: str = "visible") -> str:
    return Template("{% load lockbox %}{{ text|" + name + " }}").render(Context({"text": text}))


def links(html: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'<a class="outward" href="([^"]*)" rel="[^"]*">', html)]


def words(html: str) -> str:
    return unescape(strip_tags(html))


def test_an_address_is_a_link_without_the_sentence_around_it() -> None:
    cases = [
        ("See https://example.com/a?b=c#d for more", ["https://example.com/a?b=c#d"]),
        ("HTTP://Example.COM", ["http://example.com"]),
        ("https://example.com:8443/x", ["https://example.com:8443/x"]),
        ("https://a.example, https://b.example.", ["https://a.example", "https://b.example"]),
        ("Is it https://a.example/x?!", ["https://a.example/x"]),
        ("(see https://a.example/x)", ["https://a.example/x"]),
        ("https://a.example/x_(y)", ["https://a.example/x_(y)"]),
        ("(https://a.example/x_(y)).", ["https://a.example/x_(y)"]),
        ("<https://a.example/>", ["https://a.example/"]),
        ('"https://a.example/"', ["https://a.example/"]),
        ("„https://a.example/“", ["https://a.example/"]),
        ("https://a.example/?x=1&y=<b>", ["https://a.example/?x=1&y="]),
        ("https://192.0.2.1/x and https://[2001:db8::1]:8/", ["https://192.0.2.1/x", "https://[2001:db8::1]:8/"]),
        ("https://a.example\nnext line", ["https://a.example"]),
    ]
    with collected() as case:
        for text, found in cases:
            with case(text, found):
                html = show(text)
                assert links(html) == found
                assert words(html) == text.replace("\n", "")
                assert html.count('rel="noopener noreferrer nofollow"') == len(found)


def test_nothing_else_is_a_link() -> None:
    cases = [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://a.example",
        "file:///etc/passwd",
        "//a.example",
        "www.a.example",
        "xhttps://a.example",
        "https://",
        "https:///x",
        "https://?x",
        "https://a b",
        "https://a.example:port/",
        "https://a.example:99999/",
        "https://go%6fd.example/",
        "https://a..example/",
        "https://[::1",
        "https://\u2100.example/",
        "mailto:ada@a.example",
    ]
    with collected() as case:
        for text in cases:
            with case(text):
                assert "<a" not in show(text) or links(show(text)) == ["https://a"]


def test_an_address_that_hides_its_host_shows_it() -> None:
    cases = [
        ("https://good.example@evil.example/x", "https://evil.example/x", "evil.example"),
        ("https://good.example:443@evil.example", "https://evil.example", "evil.example"),
        ("https://good.example%2f@evil.example", "https://evil.example", "evil.example"),
        ("https://a@good.example@evil.example/", "https://evil.example/", "evil.example"),
        ("https://аррӏе.example/", "https://xn--80ak6aa92e.example/", "xn--80ak6aa92e.example"),
        ("https://good。example/", "https://good.example/", "good.example"),
        ("https://ｅvil.example/", "https://evil.example/", "evil.example"),
        ("https://straße.example/", "https://xn--strae-oqa.example/", "xn--strae-oqa.example"),
    ]
    with collected() as case:
        for text, link, host in cases:
            with case(text, link, host):
                html = show(text)
                assert links(html) == [link]
                assert words(html) == f"{text} (leads to {host})"


@pytest.mark.parametrize(
    ("text", "link", "shown"),
    [
        # A browser treats a backslash as a slash, so this link would lead to evil.example.
        ("https://evil.example\\@good.example/", "https://evil.example", "https://evil.example\\@good.example/"),
        ("https://good.example/\u202egpj.exe", "https://good.example/", "https://good.example/U+202Egpj.exe"),
        (
            "https://good.example\u200b.evil.example/",
            "https://good.example",
            "https://good.exampleU+200B.evil.example/",
        ),
    ],
)
def test_an_address_ends_where_a_reader_could_be_misled(text: str, link: str, shown: str) -> None:
    html = show(text)
    assert links(html) == [link]
    assert words(html) == shown


def test_an_address_is_escaped() -> None:
    html = show("https://a.example/'><script>alert(1)</script>")
    assert "<script" not in html
    assert links(html) == ["https://a.example/"]
    assert show("https://a.example/&quot;onclick=x").count('href="https://a.example/&amp;quot;onclick=x"') == 1


@pytest.mark.parametrize("name", ["visible_line", "visible_verbatim"])
def test_titles_records_and_what_is_signed_have_no_links(name: str) -> None:
    assert "<a" not in show("https://a.example", name)


def test_many_brackets_take_no_time() -> None:
    assert links(show("https://a.example/" + ")" * 100_000)) == ["https://a.example/"]


@pytest.mark.django_db
def test_addresses_in_tickets_and_access_requests_become_links(cast: Cast) -> None:
    row = cast.confirmed(justification="The logs say https://why.example/1 and nothing else.")
    operations.comment(row.ticket_id, actor=cast.as_("mia"), body="As in https://comment.example/2")
    pages: dict[str, Any] = {
        f"/access-requests/{row.pk}/": "https://why.example/1",
        f"/tickets/{row.ticket_id}/": "https://comment.example/2",
    }
    for address, link in pages.items():
        assert link in links(signed_in(cast, "ada").get(address).content.decode()), address
    page = signed_in(cast, "stella").get(f"/admin/requests_app/accessrequest/{row.pk}/change/").content.decode()
    assert "https://why.example/1" in links(page)


@pytest.mark.django_db
def test_the_reason_keeps_its_lines_on_the_page_of_the_access_request(cast: Cast) -> None:
    row = cast.confirmed(justification="The first line of it.\nThe second line of it.")
    page = signed_in(cast, "ada").get(f"/access-requests/{row.pk}/").content.decode()
    assert "The first line of it.<br>The second line of it." in page
    home = signed_in(cast, "ada").get("/").content.decode()
    assert "The first line of it. The second line of it." in home
    assert "↵" not in page + home
