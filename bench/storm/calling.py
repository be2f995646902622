"""A caller's connection to the web server, and forms that are read from pages."""

from __future__ import annotations

import http.client
import select
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

#: In seconds. Longer than any wait in the product, so a call that takes longer hangs.
PATIENCE = 40.0


@dataclass
class Answer:
    """A response. Status 0 means that no response came; `lost` then says why."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    lost: str = ""

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def is_well(self) -> bool:
        return 200 <= self.status < 400


class Line:
    """A connection to one web server. If it breaks, it is opened again. Only one thread at a time can use it."""

    def __init__(self, port: int, address: str) -> None:
        self.port, self.address = port, address
        self._opened: http.client.HTTPConnection | None = None

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None,
        *, read_at_most: int = -1, patience: float = PATIENCE,
    ) -> Answer:  # fmt: skip
        connection = self._connection(patience)
        # The web server trusts one proxy, so this header gives each caller an address.
        sent = {"X-Forwarded-For": self.address, "X-Forwarded-Proto": "http", **(headers or {})}
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            if read_at_most >= 0:
                content = response.read1(read_at_most)
                self.hang_up()
            else:
                content = response.read()
        except (OSError, http.client.HTTPException) as failure:
            self.hang_up()
            return Answer(0, lost=type(failure).__name__)
        if response.will_close:
            self.hang_up()
        # The values of several Set-Cookie lines are not joined.
        found = {name.lower(): value for name, value in response.getheaders() if name.lower() != "set-cookie"}
        found["set-cookie"] = "\n".join(response.headers.get_all("Set-Cookie") or [])
        return Answer(response.status, content, found)

    def hang_up(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _connection(self, patience: float) -> http.client.HTTPConnection:
        """Return the open connection. If the server has closed it, open a new one.

        A call on a closed connection would look like a lost response.
        """
        opened = self._opened
        if opened is not None and opened.sock is not None and not select.select([opened.sock], [], [], 0)[0]:
            opened.sock.settimeout(patience)
            return opened
        self.hang_up()
        self._opened = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        return self._opened


@dataclass
class Form:
    """A form of a page, with the values that a browser sends if the person changes nothing."""

    action: str
    method: str
    values: list[tuple[str, str]] = field(default_factory=list)
    #: The names of the fields into which people write.
    texts: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        return {name for name, _value in self.values} | set(self.texts)

    @property
    def is_once(self) -> bool:
        """Whether the form has a once-token. With it, sending the form twice acts only once."""
        return any("once" in name for name, _value in self.values)

    def filled(self, **given: str | list[str]) -> bytes:
        """Return the body that a browser sends after the person has entered these values."""
        unchanged = [(name, value) for name, value in self.values if name not in given]
        new = [(name, v) for name, value in given.items() for v in ([value] if isinstance(value, str) else value)]
        return urlencode([*unchanged, *new]).encode()


class _Forms(HTMLParser):
    """Collects the forms of a page, as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._open: Form | None = None
        self._select: str = ""
        self._chosen: str | None = None
        self._first: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(given.get("action", ""), given.get("method", "get").lower())
            self.found.append(self._open)
        elif self._open is None:
            return
        elif tag == "input":
            self._input(given)
        elif tag == "textarea" and given.get("name"):
            self._open.texts.append(given["name"])
        elif tag == "select":
            self._select, self._chosen, self._first = given.get("name", ""), None, None
        elif tag == "option" and self._select:
            value = given.get("value", "")
            self._first = value if self._first is None else self._first
            if "selected" in given:
                self._chosen = value

    def _input(self, given: dict[str, str]) -> None:
        assert self._open is not None
        name, kind = given.get("name", ""), given.get("type", "text")
        if not name or kind in ("submit", "button", "file"):
            return
        if kind in ("checkbox", "radio") and "checked" not in given:
            return
        if kind in ("text", "search", "email", "password", "url") and "value" not in given:
            self._open.texts.append(name)
        else:
            self._open.values.append((name, given.get("value", "on" if kind in ("checkbox", "radio") else "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select" and self._open is not None and self._select:
            value = self._chosen if self._chosen is not None else self._first
            self._open.values.append((self._select, value or ""))
            self._select = ""


def forms_of(page: str) -> list[Form]:
    parser = _Forms()
    parser.feed(page)
    return parser.found


class Browser:
    """A browser that stores cookies and runs no scripts."""

    def __init__(self, line: Line, base: str) -> None:
        self.line, self.base = line, base
        self.cookies: dict[str, str] = {}

    def get(self, path: str, *, read_at_most: int = -1) -> Answer:
        return self._call("GET", path, None, read_at_most)

    def post(self, path: str, body: bytes) -> Answer:
        return self._call("POST", path, body)

    def follow(self, answer: Answer) -> Answer:
        """Follow a redirect once, and return the next response."""
        return self.get(self.path_of(answer)) if 300 <= answer.status < 400 else answer

    @staticmethod
    def path_of(answer: Answer) -> str:
        parts = urlsplit(answer.headers.get("location", ""))
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def _call(self, method: str, path: str, body: bytes | None, read_at_most: int = -1) -> Answer:
        headers = {
            "Accept": "text/html", "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "Origin": self.base, "Referer": self.base + "/", "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "User-Agent": "storm",
        }  # fmt: skip
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self.line.call(method, path, body, headers, read_at_most=read_at_most)
        for line in answer.headers.get("set-cookie", "").split("\n"):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0" or not morsel.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return answer
