"""What a form says when it is sent empty, or with what it cannot take, is marked as well."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest
from django.core.cache import cache
from django.test import Client

from requests_app.models import Person
from tests.words.crawl import GROUPS, addresses, crawl, undone
from tests.words.reading import World, spoken

#: What no field takes: too long for a line, no address, no date, no number, no choice.
UNFIT = "?" * 5000
_TYPED = frozenset({"text", "search", "email", "password", "date", "number", "url"})


@dataclass
class Form:
    action: str
    method: str
    hidden: dict[str, str] = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)
    has_button: bool = False


class _Forms(HTMLParser):
    """The forms of a page, each with what its first button sends along."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", ""), given.get("method", "get")))
        if not self.found or not given.get("name"):
            return
        form, name = self.found[-1], given["name"]
        if tag == "input" and given.get("type") == "hidden":
            form.hidden[name] = given.get("value", "")
        elif tag in ("textarea", "select") or (tag == "input" and given.get("type", "text") in _TYPED | {"radio"}):
            form.typed.append(name)
        elif tag == "button" and not form.has_button:
            form.has_button = True
            form.hidden[name] = given.get("value", "")


def forms(html: str) -> list[Form]:
    parser = _Forms()
    parser.feed(html)
    return [form for form in parser.found if form.method == "post" and form.typed]


#: Whose forms are sent, of each group.
SENDERS = {
    group: [login for login in logins if login not in ("otto.brandt", "noah.kim")] for group, logins in GROUPS.items()
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("group", SENDERS)
def test_every_word_of_a_refusal_is_marked(world: World, group: str) -> None:
    """One world for each group; what one person did in it is taken back before the next one comes."""
    found: dict[tuple[str, str], str] = {}
    for login in SENDERS[group]:
        cache.clear()
        with undone():
            assert _refuse(world, login, found), login
    if found:
        raise AssertionError("\n".join(f"{login} {route}: {raw}" for (login, raw), route in found.items()))


def _refuse(world: World, login: str, found: dict[tuple[str, str], str]) -> int:
    """Send every form that this person comes to, note the words that are not marked, and count the refusals."""
    refused = 0
    for page in list(crawl(login, first=addresses(login), per_route=2)):
        for form in forms(page.html):
            for values in ({}, dict.fromkeys(form.typed, UNFIT)):
                with undone():
                    client = Client()
                    if login:
                        client.force_login(Person.objects.get(email__startswith=f"{login}@"))
                    sent = {**dict.fromkeys(form.typed, ""), **form.hidden, **values}
                    answer = client.post(urljoin(page.address, form.action), sent)
                if answer.status_code in (200, 400, 403, 409, 422, 429) and not answer.streaming:
                    refused += 1
                    for raw in world.raw(spoken(answer.content.decode())):
                        found.setdefault((login, raw), f"{page.route} {answer.status_code}")
    return refused
