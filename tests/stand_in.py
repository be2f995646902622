"""A tiny application with content of the provider, on a loopback port. It follows the reserved path of a guard.

It trusts the token endpoint and follows no feed, so it is no guard. The tests with a browser use it in place of one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import Request, urlopen

#: Another site than `localhost`, on this machine.
HOST = "127.0.0.1"
TRY, SESSION = "__Host-lockbox-try", "__Host-lockbox"


@dataclass
class Application:
    """The application. `seen` has the path, the `Referer` and the cookies of each call of the reserved path.

    While `is_down` is true, it redeems no code.
    """

    url: str
    lockbox: str = ""
    issuer: str = ""
    client_id: str = ""
    secret: str = ""
    is_down: bool = False
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def post(self, path: str, form: dict[str, str] | None = None, **options: Any) -> tuple[int, dict[str, Any]]:
        """Call Lockbox as the application's client."""
        basic = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", **options.get("headers", {})}
        data = options.get("data") or urlencode(form or {}).encode()
        try:
            with urlopen(Request(f"{self.lockbox}{path}", data, headers), timeout=60) as answer:  # noqa: S310 - our own
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def redeem(self, code: str, verifier: str) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        return self.post("/oauth/token", {**form, "redirect_uri": f"{self.url}/.lockbox/code"})

    def release(self, token: str) -> int:
        _status, made = self.post("/oauth/token", {"grant_type": "client_credentials"})
        headers = {"Authorization": f"Bearer {made['access_token']}", "Content-Type": "application/json"}
        body = json.dumps({"token": token}).encode()
        return self.post("/api/v1/guard/release", data=body, headers=headers)[0]


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def _cookie(name: str, value: str, seconds: int) -> tuple[str, str]:
    return "Set-Cookie", f"{name}={value}; Secure; HttpOnly; SameSite=Lax; Path=/; Max-Age={seconds}"


class _Handler(BaseHTTPRequestHandler):
    application: Application

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        asked = dict(parse_qsl(place.query))
        if place.path.startswith("/.lockbox/"):
            self.application.seen.append((self.path, self.headers.get("Referer", ""), self.headers.get("Cookie", "")))
        answer = {"/.lockbox/open": self._open, "/.lockbox/code": self._code, "/.lockbox/status": self._status}
        answer.get(place.path, self._page)(asked)

    def do_POST(self) -> None:
        if self.path != "/.lockbox/done" or self.headers.get("Sec-Fetch-Site") != "same-origin":
            self._answer(403, "Refused")
            return
        token = self._value(SESSION)
        status = self.application.release(token)
        grant = claims_of(token)["authorization_details"][0]["grant_id"]
        assert status == 200, status
        where = f"{self.application.lockbox}/windows/{grant}/"
        self._answer(303, "", ("Location", where), _cookie(SESSION, "", 0))

    def _open(self, asked: dict[str, str]) -> None:
        verifier, application = secrets.token_urlsafe(32), self.application
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": application.client_id,
            "redirect_uri": f"{application.url}/.lockbox/code",
            "state": asked["to"],
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "grant": asked["grant"],
        }
        where = f"{application.lockbox}/oauth/authorize?{urlencode(query)}"
        self._answer(302, "", ("Location", where), _cookie(TRY, verifier, 300))

    def _code(self, asked: dict[str, str]) -> None:
        verifier = self._value(TRY)
        if self.application.is_down:
            self._answer(503, "Quillo is down.")
            return
        if not verifier or "code" not in asked or asked.get("iss") != self.application.issuer:
            self._answer(401, "You are not in.")
            return
        status, found = self.application.redeem(asked["code"], verifier)
        if status != 200:
            self._answer(401, f"You are not in: {found.get('error')}", _cookie(TRY, "", 0))
            return
        cookies = (_cookie(SESSION, found["access_token"], found["expires_in"]), _cookie(TRY, "", 0))
        self._answer(302, "", ("Location", f"{self.application.url}{asked['state']}"), *cookies)

    def _status(self, _asked: dict[str, str]) -> None:
        token = self._value(SESSION)
        self._answer(200, json.dumps({"open": bool(token), **({"by": claims_of(token)["name"]} if token else {})}))

    def _page(self, _asked: dict[str, str]) -> None:
        token = self._value(SESSION)
        if not token:
            self._answer(401, "You are not in.")
            return
        done = '<form method="post" action="/.lockbox/done"><button>I am done</button></form>'
        self._answer(200, f"<h1>Quillo</h1><p>{claims_of(token)['name']} sees {urlsplit(self.path).path}</p>{done}")

    def _value(self, name: str) -> str:
        found = SimpleCookie(self.headers.get("Cookie", "")).get(name)
        return found.value if found is not None else ""

    def _answer(self, status: int, body: str, *headers: tuple[str, str]) -> None:
        raw = f"<!DOCTYPE html><title>Quillo</title>{body}".encode()
        self.send_response(status)
        for name, value in (
            *headers,
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(raw))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer" if self.path.startswith("/.lockbox/") else "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def application() -> Iterator[Application]:
    """Run the application until the block ends."""
    found = Application("")
    handler = type("Handler", (_Handler,), {"application": found})
    server = ThreadingHTTPServer((HOST, 0), handler)
    found.url = f"http://{HOST}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
