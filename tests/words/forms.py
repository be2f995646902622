"""Sends forms empty or with invalid values, and returns the refusals."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urljoin

from django.test import Client

from requests_app.models import Person
from requests_app.platform.long_calls import MOST_PER_PERSON
from tests.words.crawl import Visited, route_of, undone
from tests.words.reading import Form

#: A value that no field accepts: too long for a line, and not an address, date, number or choice.
UNFIT = "?" * 5000
#: These people only read. All their forms are also forms of others.
LOOKERS = frozenset({"otto.brandt", "noah.kim"})
#: Statuses of a refusal or of a new question.
REFUSED = (200, 400, 403, 409, 422, 429)


def forms(page: Visited) -> list[Form]:
    return [form for form in page.reading.forms if form.method == "post" and form.typed]


def kind_of(page: Visited, form: Form) -> str:
    """Return the form's route and the names of its fields. They are the same for all rows."""
    return f"{route_of(urljoin(page.address, form.action))} {form.typed}"


class Sender:
    """Sends forms as one person. Each form is rolled back afterwards, and the browser gets its old cookies back."""

    def __init__(self, login: str) -> None:
        self._client = Client()
        if login:
            self._client.force_login(Person.objects.get(email__startswith=f"{login}@"))
        self._cookies = self._client.cookies.output(header="")

    def refusals(self, page: Visited, form: Form) -> Iterator[Any]:
        """Send the form empty, and then with invalid values. Yield the refusals."""
        for values in ({}, dict.fromkeys(form.typed, UNFIT)):
            with undone():
                answer = self._send(page, form, values)
                _read(answer)
            if answer.status_code in REFUSED and not answer.streaming:
                yield answer

    def too_many(self, page: Visited, form: Form) -> Any:
        """Start as many downloads as the person can have, and return the refusal of one more."""
        with undone():
            running = [self._send(page, form, {}) for _ in range(MOST_PER_PERSON)]
            refused = self._send(page, form, {})
            for each in running:
                _read(each)
        assert refused.status_code == 429, refused.status_code
        return refused

    def _send(self, page: Visited, form: Form, values: dict[str, str]) -> Any:
        self._client.cookies = SimpleCookie(self._cookies)
        sent = {**dict.fromkeys(form.typed, ""), **form.hidden, **values}
        return self._client.post(urljoin(page.address, form.action), sent)


def _read(answer: Any) -> None:
    """Read a download to its end. An unfinished download counts towards the person's limit."""
    if answer.streaming:
        answer.getvalue()
