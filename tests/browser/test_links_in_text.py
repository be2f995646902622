"""A link in a text leads to the same host as the address in the text, when a browser opens the address."""

from __future__ import annotations

from requests_app.words import links
from requests_app.words.text import HIDDEN
from tests.browser.conftest import Visit

ADDRESSES = [
    "https://example.com/a?b=c#d",
    "HTTPS://Example.COM:8443/",
    "https://good.example@evil.example/x",
    "https://good.example:443@evil.example",
    "https://a@good.example@evil.example/",
    "https://good.example#@evil.example/",
    "https://good.example?@evil.example/",
    "https://evil.example\\@good.example/",
    "https://evil.example;@good.example/",
    "https://good.example。evil.example/",
    "https://ｅvil.example/",
    "https://аррӏе.example/",
    "https://straße.example/",
    "https://xn--80ak6aa92e.example/",
    "https://[2001:db8::1]:8/",
    "https://192.0.2.1./x",
    "https://a_b.example/",
    "https://good.example\t.evil.example/",
    "https://good.example\u202e/",
    "https://good.example:/x",
    "https://good.example|evil.example/",
    "https://good.example^evil.example/",
    "https://go%6fd.example/",
    "https://good.example&amp;.evil.example/",
]


def test_a_browser_finds_the_host_that_is_shown(visit: Visit) -> None:
    page = visit("").goto("/")
    wrong, read = [], 0
    for text in ADDRESSES:
        for part in links.parts(text, ends=HIDDEN):
            if isinstance(part, str):
                continue
            read += 1
            written = part.before + part.written_host + part.after
            hosts = page.evaluate("(all) => all.map((one) => new URL(one).hostname)", [written, part.address])
            if {host.removesuffix(".") for host in hosts} != {part.host.removesuffix(".")}:
                wrong.append((text, part.host, hosts))
    assert wrong == []
    assert read > len(ADDRESSES) / 2
