"""Refusals of forms that are sent empty or with invalid values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

from django.test import Client

from requests_app.models import Person
from tests.words.crawl import Visited, undone

#: A value that no field accepts: too long for a line, and not an address, date, number or choice.
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
    """The forms of a page, each with the data that its first button sends."""

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


#: These people only read. All their forms are also forms of others.
LOOKERS = frozenset({"otto.brandt", "noah.kim"})
#: Statuses of a refusal or of a new question.
REFUSED = (200, 400, 403, 409, 422, 429)


def refusals(page: Visited, form: Form) -> Iterator[Any]:
    """Yield the responses to this form, sent empty and with invalid values. Both are rolled back."""
    for values in ({}, dict.fromkeys(form.typed, UNFIT)):
        with undone():
            client = Client()
            if page.login:
                client.force_login(Person.objects.get(email__startswith=f"{page.login}@"))
            sent = {**dict.fromkeys(form.typed, ""), **form.hidden, **values}
            answer = client.post(urljoin(page.address, form.action), sent)
        if answer.status_code in REFUSED and not answer.streaming:
            yield answer
