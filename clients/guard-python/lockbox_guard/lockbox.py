"""Calls to Lockbox over HTTP, as the application's registered client."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

VERSION = "lockbox-guard-python/0.1.0"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: The longest answer that is read, and how many seconds a call waits for each part of it.
ANSWER_MAX, PATIENCE = 1024 * 1024, 5.0


class Refused(Exception):
    """An access is refused. `code` is a stable name of the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        later = ("keys_unavailable", "feed_silent", "queue_unavailable", "queue_full")
        self.status = 401 if code in ("no_token", "invalid_token", "token_ended") else 503 if code in later else 403


class Unreachable(Exception):
    """Lockbox gave no answer, or not the expected one."""


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def checked(url: str) -> str:
    """Return an address without its last slash. It must begin with https. Only loopback names may use http."""
    parts = urlsplit(url)
    if not parts.hostname or (parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK)):
        raise ValueError(f"{url} must begin with https://")
    return url.rstrip("/")


class Lockbox:
    """Calls paths below the issuer's address, and no other address: it follows no redirect."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, tls: ssl.SSLContext | None) -> None:
        self.issuer, self._opener = checked(issuer), build_opener(_NoRedirect, HTTPSHandler(context=tls))
        basic = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
        self._basic = "Basic " + base64.b64encode(basic.encode()).decode()
        self.forget()

    def forget(self) -> None:
        """Start without an access token, and with a new lock: a fork may have copied a locked one."""
        self._bearer, self._ends, self._lock = "", float("-inf"), threading.Lock()

    def open(self, path: str, body: bytes | None, headers: dict[str, str], wait: float = PATIENCE) -> Any:
        """Return the answer, with any status. The caller closes it."""
        try:
            request = Request(self.issuer + path, body, {"User-Agent": VERSION, **headers})  # noqa: S310 (checked)
            return self._opener.open(request, timeout=wait)
        except HTTPError as answer:
            return answer

    def call(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
        try:
            with self.open(path, body, {"Accept": "application/json", **headers}) as answer:
                read = json.loads(answer.read(ANSWER_MAX) or b"{}")
                return answer.status, read if isinstance(read, dict) else {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"{path}: {error!r}") from error

    def token(self, **form: str) -> tuple[str, float]:
        """Return a token of the token endpoint and its life in seconds, or raise Unreachable."""
        status, answer = self.call("/oauth/token", urlencode(form).encode(), Authorization=self._basic)
        if status != 200 or not isinstance(answer.get("access_token"), str):
            raise Unreachable(f"/oauth/token: {status} {answer.get('error', '')}")
        return answer["access_token"], float(answer.get("expires_in", 60))

    def bearer(self, refused: str = "") -> str:
        """Return the client's access token: a new one if the present one ends soon, or if it was refused."""
        with self._lock:
            if time.monotonic() >= self._ends or self._bearer == refused:
                self._bearer, life = self.token(grant_type="client_credentials", scope="guard")
                self._ends = time.monotonic() + life * 0.8
            return self._bearer

    def post(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Call the API with the client's access token."""
        bearer = self.bearer()
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        status, answer = self.call(path, body, **headers)
        if status == 401:
            headers["Authorization"] = f"Bearer {self.bearer(bearer)}"
            status, answer = self.call(path, body, **headers)
        return status, answer
