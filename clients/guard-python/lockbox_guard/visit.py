"""What both middlewares do with a request: the cookie, the decision, and the reserved path."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
import re
import secrets
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from lockbox_guard.guard import Access, Guard
from lockbox_guard.lockbox import Refused
from lockbox_guard.tokens import TOKEN_MAX

log = logging.getLogger(__name__)
KEY, PATH, HEADER = "lockbox_guard.visit", "/.lockbox/", "lockbox-grant"
COOKIE, TRY, TRY_FOR = "__Host-lockbox", "__Host-lockbox-try", 300
OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
#: Bytes that are handed to the server at a time.
SLICE = 64 * 1024
#: A path of this site only. Browsers read a backslash as a slash, and remove tabs and line ends.
LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,2000}\Z")
GRANT, VERIFIER = re.compile(r"[0-9a-fA-F-]{32,36}\Z"), re.compile(r"[A-Za-z0-9_-]{43}\Z")
STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; font: 1.0625rem/1.5 system-ui, sans-serif }
body { max-width: 32rem; margin: 15vh auto 2rem; padding: 0 1.5rem }
h1 { font-size: 1.5rem; line-height: 1.25; text-wrap: balance }
a { color: LinkText; text-underline-offset: 0.2em }
"""
PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>No access</title><style>{STYLE}</style></head>
<body><main><h1>You have no access here now</h1>
<p>%s</p>%s
<p><a href="%s/">Go to Customer Lockbox</a></p></main></body></html>
"""
AGAIN = '\n<p><a href="%s">Continue in the open window</a></p>'
#: What a person reads, by the code of a refusal, or else by its status.
WORDS: dict[Any, str] = {
    401: "This content belongs to a customer. Open it from your window in Customer Lockbox.",
    403: "Your window does not allow this. Nothing was done.",
    503: "Access can’t be checked or recorded now, so it is refused. Try again in a moment.",
    "window_closed": "Your window is closed. To go on, ask for access again.",
    "window_ended": "Your window has ended. To go on, ask for access again.",
}
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-{STYLE_HASH}'"
)
Response = tuple[int, list[tuple[str, str]], bytes]


class Rule(NamedTuple):
    """What a guarded request is about. `pattern` is its route with placeholders, never with a value."""

    tenant: str
    identifier: str
    engineer: str | None
    action: str | None = None
    pattern: str | None = None


class Cut(Exception):
    """The access has ended while its response was being sent. The server must break the connection off."""


class Visit:
    """One request or WebSocket. Frameworks' helpers find it and call `admit`. `code` says why it was cut."""

    def __init__(
        self, guard: Guard, method: str, path: str, query: str, headers: Iterable[tuple[str, str]],
        cut: Callable[[], object],
    ) -> None:  # fmt: skip
        self.guard, self.method, self.path, self._cut = guard, method, path, cut
        self._back = f"{guard.origin}{PATH}code"
        self._sent, self._query = query, dict(parse_qsl(query, keep_blank_values=True))
        self._headers = dict[str, str]()
        for name, value in headers:
            self._headers[name] = f"{self._headers[name]}; {value}" if name in self._headers else value
        self._held, self._token, self._lock = self._cookie(COOKIE), "", threading.Lock()
        self.accesses, self.code, self._has_ended = list[Access](), "", False
        self.has_begun = False

    def _cookie(self, name: str) -> str:
        """Return a cookie's value. Two cookies of one name are an attack, and give none."""
        pairs = [pair.strip().partition("=") for pair in self._headers.get("cookie", "").split(";")]
        values = [value for found, _, value in pairs if found == name]
        return values[0] if len(values) == 1 else ""

    def token(self) -> str:
        """Return the request's grant token."""
        return _unpacked(self._held or self._headers.get(HEADER, ""))

    def admit(self, rule: Rule, pattern: str | None = None) -> Access:
        """Allow the access and store it durably, or raise Refused. Call this before anything is read for it.

        A cookie's token that ends soon is then renewed. Not before: a thief of the token must not get a new one.
        """
        self.guard.wait_for_feed()
        if "_method" in self._query or any(name in self._headers for name in OVERRIDES):
            raise Refused("method_override")
        action = rule.action or ("view" if self.method in ("GET", "HEAD", "OPTIONS") else "act_as")
        item = f"{self.method} {rule.pattern or pattern or '/(no-route)'}"
        scope = {"tenant": rule.tenant, "identifier": rule.identifier, "engineer": rule.engineer}
        self.accesses.append(self.guard.admit(self.token(), action=action, item=item, **scope))
        self.guard.visits.add(self)
        if self._held and not self._token:
            self._token = self.guard.renewed(self.token())
        return self.accesses[-1]

    def is_over(self) -> bool:
        """Cut the response if its access has ended. The guard's own thread also looks, and stores the cut."""
        with self._lock:
            if not self.code and not self._has_ended:
                ends = ((access.detail["grant_id"], access.window_end) for access in self.accesses)
                self.code = next(filter(None, (self.guard.why_over(*end) for end in ends)), "")
                try:
                    if self.code:
                        self._cut()
                except Exception:
                    log.exception("A connection can't be ended from here. Nothing more is sent on it.")
            return bool(self.code)

    def slices(self, data: bytes) -> Iterator[bytes]:
        """Yield a part of the response in slices, and nothing after the access has ended."""
        for at in range(0, len(data) or 1, SLICE):
            if self.is_over():
                raise Cut
            yield data[at : at + SLICE]

    def release(self) -> None:
        """The response has ended."""
        with self._lock:
            self._has_ended = True
        if not self.code:
            self.guard.visits.discard(self)

    def headers(self, present: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return a response's headers. No cache stores what was read in a window."""
        if self.accesses:
            present = [pair for pair in present if pair[0].lower() not in ("cache-control", "expires")]
            present.append(("Cache-Control", "private, no-store"))
        is_new = self._token and self._token != _unpacked(self._held)
        return [*present, self._session(self._token)] if is_new else present

    def _session(self, token: str) -> tuple[str, str]:
        seconds = int(self.guard.verified(token).window_end - self.guard.feed.now())
        return _set_cookie(COOKIE, _packed(token), seconds)

    def refusal(self, refused: Refused) -> Response:
        """Return the response to a refused request: a page for a browser, else a problem."""
        if "text/html" in self._headers.get("accept", ""):
            words, issuer = WORDS.get(refused.code, WORDS[refused.status]), html.escape(self.guard.lockbox.issuer)
            return _response(refused.status, PAGE % (words, self._again(refused), issuer), kind="text/html")
        problem = json.dumps({"type": "about:blank", "status": refused.status, "code": refused.code})
        return _response(refused.status, problem, kind="application/problem+json")

    def _again(self, refused: Refused) -> str:
        """Return the link that leads back here with a new token, if only the token has ended."""
        if not refused.grant or self.method != "GET" or self.path.startswith(PATH):
            return ""
        to = f"{quote(self.path)}?{self._sent}" if self._sent else quote(self.path)
        return AGAIN % html.escape(f"{PATH}open?{urlencode({'grant': refused.grant, 'to': to})}")

    def reserved(self) -> Response:
        """Answer a request to the reserved path."""
        self.guard.wait_for_feed()
        answers = {"GET open": self._open, "GET code": self._code, "GET status": self._status, "POST done": self._done}
        try:
            answer = answers.get(f"{self.method} {self.path[len(PATH) :]}")
            return answer() if answer else _response(404, "This page does not exist.")
        except Refused as refused:
            return self.refusal(refused)
        except OSError:
            return self.refusal(Refused("feed_silent"))

    def _open(self) -> Response:
        to, verifier, grant = self._query.get("to", "/"), secrets.token_urlsafe(32), self._query.get("grant", "")
        if not LOCAL.match(to) or not GRANT.match(grant):
            return _response(400, "The link has no grant, or it leads to another site.")
        challenge = _encoded(hashlib.sha256(verifier.encode()).digest())
        query = urlencode({
            "response_type": "code", "client_id": self.guard.client_id, "state": to, "grant": grant,
            "redirect_uri": self._back, "code_challenge": challenge, "code_challenge_method": "S256",
        })  # fmt: skip
        location = f"{self.guard.lockbox.issuer}/oauth/authorize?{query}"
        return _response(302, headers=[("Location", location), _set_cookie(TRY, verifier, TRY_FOR)])

    def _code(self) -> Response:
        code, to, verifier = self._query.get("code", ""), self._query.get("state", ""), self._cookie(TRY)
        is_from_lockbox = self._query.get("iss", self.guard.lockbox.issuer) == self.guard.lockbox.issuer  # RFC 9207
        if not code or not is_from_lockbox:
            raise Refused("no_token")
        if not LOCAL.match(to) or not VERIFIER.match(verifier):
            verifier = secrets.token_urlsafe(32)  # Lockbox refuses it. But the attempt uses the code up
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._back}
        try:
            session = self._session(self.guard.lockbox.token(code_verifier=verifier, **form)[0])
        except OSError as error:
            raise Refused("no_token") from error
        location = quote(to, safe="/?&=#%:;,+@!$'()*~[]")
        return _response(302, headers=[("Location", location), session, _set_cookie(TRY, "", 0)])

    def _status(self) -> Response:
        try:
            token, now = self.guard.verified(self.token()), self.guard.feed.now()
            detail = token.details[0]
            if self.guard.why_over(detail["grant_id"], token.window_end):
                raise Refused("window_ended")
        except Refused:
            return _response(200, '{"open": false}', kind="application/json")
        return _response(200, json.dumps({
            "open": True, "grant": detail["grant_id"], "reference": detail["reference"], "level": detail["level"],
            "engineer": token.claims["email"], "closes_at": detail["window_end"],
            "seconds_left": int(token.window_end - now),
        }), kind="application/json")  # fmt: skip

    def _done(self) -> Response:
        """Release the window. Only a page of this application can ask for it."""
        if self._headers.get("origin") != self.guard.origin and self._headers.get("sec-fetch-site") != "same-origin":
            return _response(403, "Only a page of this application can end the access.")
        text = self.token()
        grant = self.guard.verified(text).details[0]["grant_id"]
        status, _ = self.guard.lockbox.post("/api/v1/guard/release", json.dumps({"token": text}))
        if status >= 400 and status != 409:  # 409: it has ended already
            raise ConnectionError(f"/api/v1/guard/release: {status}")
        return _response(
            303, headers=[("Location", f"{self.guard.lockbox.issuer}/windows/{grant}/"), _set_cookie(COOKIE, "", 0)]
        )


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _packed(token: str) -> str:
    """Return the token with its claims compressed: a browser stores at most 4,096 bytes in a cookie."""
    header, claims, signature = token.split(".")
    return f"z.{header}.{_encoded(zlib.compress(base64.urlsafe_b64decode(claims + '=='), 9))}.{signature}"


def _unpacked(text: str) -> str:
    """Return the token in a cookie. Anything else stays as it is, and the verifier refuses it."""
    try:
        _, header, small, signature = text.split(".")
        claims = zlib.decompressobj().decompress(base64.urlsafe_b64decode(small + "=="), TOKEN_MAX)
        return f"{header}.{_encoded(claims)}.{signature}"
    except (ValueError, zlib.error):
        return text


def without_our_cookies(header: str) -> str:
    """Return a Cookie header for the application, which never gets a grant token."""
    return ";".join(pair for pair in header.split(";") if not pair.strip().startswith(COOKIE)).strip()


def _set_cookie(name: str, value: str, seconds: int) -> tuple[str, str]:
    return "Set-Cookie", f"{name}={value}; Max-Age={max(seconds, 0)}; Path=/; Secure; HttpOnly; SameSite=Lax"


def _response(
    status: int, body: str = "", headers: Iterable[tuple[str, str]] = (), kind: str = "text/plain"
) -> Response:
    kept = {
        "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": POLICY,
        "Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body.encode())),
    }  # fmt: skip
    return status, [*headers, *kept.items()], body.encode()
