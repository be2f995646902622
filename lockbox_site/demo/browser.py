"""A simple browser for one person of the demo.

It loads pages, fills in forms and stores cookies, but runs no scripts.
"""

from __future__ import annotations

import email.message
import http.cookiejar
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

from requests_app.domain import clock
from requests_app.platform import totp

TIMEOUT = 20


class Stopped(Exception):
    """Ends the demo because something was not as expected. The text says what was found instead."""


@dataclass
class Form:
    action: str
    method: str
    values: dict[str, list[str]] = field(default_factory=dict)
    choices: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


class _Forms(HTMLParser):
    """Collects a page's forms, each with the values that a browser would send and with the labels of its choices."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._select = ""
        self._textarea = ""
        self._choice: tuple[str, str] | None = None
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self._form)
        form, name = self._form, given.get("name", "")
        if form is None:
            return
        if tag == "input" and name:
            self._input(form, name, given)
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select:
            self._choice = (self._select, given.get("value", ""))
            if "selected" in given:
                form.values[self._select] = [given.get("value", "")]
        elif tag == "textarea":
            self._textarea = name
            form.values[name] = [""]

    def _input(self, form: Form, name: str, given: dict[str, str]) -> None:
        kind, value = given.get("type", "text"), given.get("value", "")
        if kind in ("radio", "checkbox"):
            self._choice = (name, value)
            if "checked" in given:
                form.values.setdefault(name, []).append(value)
        elif kind not in ("submit", "button", "file"):
            # Several hidden fields with one name are several values. Every other field has one value.
            form.values[name] = [*form.values.get(name, []), value] if kind == "hidden" else [value]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        words = " ".join(data.split())
        if words:
            self.words.append(words)
        if self._form is None:
            return
        if self._textarea:
            self._form.values[self._textarea] = [data.strip()]
        elif self._choice and words:
            name, value = self._choice
            self._form.choices.setdefault(name, []).append((value, words))
            self._choice = None


@dataclass(frozen=True)
class Page:
    url: str
    status: int
    headers: email.message.Message
    body: bytes

    @property
    def parsed(self) -> _Forms:
        parser = _Forms()
        parser.feed(self.body.decode(errors="replace"))
        return parser

    @property
    def text(self) -> str:
        return " ".join(self.parsed.words)

    @property
    def path(self) -> str:
        return urllib.parse.urlsplit(self.url).path

    @property
    def asks_for_proof(self) -> bool:
        return any("step-up-password" in form.values for form in self.parsed.forms)

    def form(self, action: str = "", *, having: str = "") -> Form:
        """Return the POST form whose action ends with `action`, or that has a field with the name `having`."""
        for form in self.parsed.forms:
            target = urllib.parse.urljoin(self.url, form.action)
            if form.method == "post" and target.endswith(action) and (not having or having in form.values):
                return form
        raise Stopped(f"{self.path} has no form for {action or having} ({self.status}): {self.text[:300]}")

    def links(self, part: str) -> list[str]:
        """Return the addresses of all links that contain `part`, in the page's order and without repetition."""
        found: list[str] = []

        class Links(HTMLParser):
            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                href = dict(attrs).get("href") or ""
                if tag == "a" and part in href:
                    found.append(href)

        Links().feed(self.body.decode(errors="replace"))
        return list(dict.fromkeys(found))


#: The most seconds until a code is sent. A code that would expire earlier is not used.
SENT_WITHIN = timedelta(seconds=10)


class App:
    """A person's authenticator app."""

    def __init__(self, secret: str) -> None:
        self.secret, self.last_step = secret, -1

    def __call__(self) -> str:
        """Return a code that was not used yet: the present code or, after waiting, the next one.

        The server accepts each code only once.
        """
        while True:
            now = clock.now()
            step = max(totp.step_at(now + SENT_WITHIN) - totp.STEPS_EITHER_WAY, self.last_step + 1)
            if step <= totp.step_at(now) + totp.STEPS_EITHER_WAY:
                self.last_step = step
                return totp.code(self.secret, step)
            time.sleep(1)


class Browser:
    """One person's session in the browser."""

    def __init__(self, base: str, email: str, password: str, code: Callable[[], str] | None = None) -> None:
        self.base, self.email, self.password, self.code = base, email, password, code
        # As in a browser, a page of this machine counts as secure.
        self.jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https")))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        )

    def get(self, address: str, *, headers: dict[str, str] | None = None) -> Page:
        request = urllib.request.Request(self._absolute(address), headers=headers or {})  # noqa: S310 - our own server
        return self._fetch(request)

    def post(self, address: str) -> Page:
        return self._fetch(urllib.request.Request(self._absolute(address), data=b""))  # noqa: S310 - our own server

    def stream(self, address: str) -> Any:
        """Return an open response. The caller reads it piece by piece."""
        return self._opener.open(self._absolute(address), timeout=TIMEOUT)

    def submit(self, page: Page, form: Form, **values: str | list[str]) -> Page:
        sent = {**form.values, **{k: v if isinstance(v, list) else [v] for k, v in values.items()}}
        body = urllib.parse.urlencode(sent, doseq=True).encode()
        target = urllib.parse.urljoin(page.url, form.action)
        # A browser sends the Referer, which Django requires for https addresses.
        request = urllib.request.Request(target, data=body, headers={"Referer": page.url})  # noqa: S310 - as above
        answer = self._fetch(request)
        if answer.asks_for_proof and not page.asks_for_proof:
            return self._confirm(answer)
        return answer

    def _confirm(self, page: Page) -> Page:
        """Enter password and code on the step-up page. The server then carries out the form that needed the step-up."""
        form = page.form(having="step-up-password")
        proof: dict[str, str | list[str]] = {"step-up-password": self.password}
        if self.code is not None:
            proof["step-up-code"] = self.code()
        return self.submit(page, form, **proof)

    def sign_in(self) -> Page:
        page = self.get("/accounts/login/")
        page = self.submit(page, page.form(having="password"), login=self.email, password=self.password)
        if page.path.startswith("/accounts/code") and self.code is not None:
            page = self.submit(page, page.form(having="code"), code=self.code())
        if page.path.startswith("/accounts/"):
            raise Stopped(f"{self.email} could not sign in: {page.text[:300]}")
        return page

    def _absolute(self, address: str) -> str:
        return urllib.parse.urljoin(self.base, address)

    def _fetch(self, request: urllib.request.Request) -> Page:
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return Page(answer.url, answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as answer:
            with answer:
                return Page(answer.url or request.full_url, answer.code, answer.headers, answer.read())
