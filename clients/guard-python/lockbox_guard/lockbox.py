"""Calls to Lockbox over HTTP, as the application's registered client."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

VERSION = "lockbox-guard-python/0.1.0"
#: The longest answer that is read, and how many seconds a call waits for each part of it.
ANSWER_MAX, PATIENCE = 1024 * 1024, 5.0
#: All other refusals have the status 403.
STATUSES = dict.fromkeys(("no_token", "invalid_token", "token_ended"), 401)
STATUSES.update(dict.fromkeys(("keys_unavailable", "feed_silent", "queue_unavailable", "queue_full"), 503))


class Refused(Exception):
    """An access is refused. `code` is a stable name of the reason, and `access` what the log can say about it.

    `grant` is that of a token that has ended.
    """

    def __init__(self, code: str, access: Any = None, grant: str = "") -> None:
        super().__init__(code)
        self.code, self.status, self.access, self.grant = code, STATUSES.get(code, 403), access, grant


def checked(url: str) -> str:
    """Return an address without its last slash. It must begin with https. Only loopback names may use http."""
    parts = urlsplit(url)
    is_local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or is_local):
        raise ValueError(f"{url} must begin with https://")
    return url.rstrip("/")


class Lockbox:
    """Calls paths below the issuer's address, and no other address: it follows no redirect."""

    def __init__(self, issuer: str, client_id: str, client_secret: str) -> None:
        self.issuer, self._opener = checked(issuer), OpenerDirector()
        for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):  # none for redirects
            self._opener.add_handler(handler)
        pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
        self._basic = "Basic " + base64.b64encode(pair.encode()).decode()
        self._bearer, self._ends, self._lock = "", float("-inf"), threading.Lock()

    def open(self, path: str, body: bytes | None, headers: dict[str, str], wait: float = PATIENCE) -> Any:
        """Return the answer, with any status. The caller closes it."""
        request = Request(self.issuer + path, body, {"User-Agent": VERSION, **headers})  # noqa: S310 (checked)
        return self._opener.open(request, timeout=wait)

    def call(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Return the status and the object of the answer. Raise OSError if there is none."""
        try:
            with self.open(path, body, {"Accept": "application/json", **headers}) as answer:
                return answer.status, dict(json.loads(answer.read(ANSWER_MAX) or b"{}"))
        except (http.client.HTTPException, ValueError, TypeError) as error:
            raise ConnectionError(f"{path}: {error!r}") from error

    def token(self, **form: str) -> tuple[str, float]:
        """Return a token of the token endpoint and its life in seconds, or raise OSError."""
        status, answer = self.call("/oauth/token", urlencode(form).encode(), Authorization=self._basic)
        if status != 200 or not isinstance(answer.get("access_token"), str):
            raise ConnectionError(f"/oauth/token: {status} {answer.get('error', '')}")
        return answer["access_token"], float(answer.get("expires_in", 60))

    def bearer(self, refused: str = "") -> str:
        """Return the client's access token as a header: a new one if it ends soon, or if it was refused."""
        with self._lock:
            if time.monotonic() >= self._ends or self._bearer == refused:
                token, life = self.token(grant_type="client_credentials", scope="guard")
                self._bearer, self._ends = f"Bearer {token}", time.monotonic() + life * 0.8
            return self._bearer

    def post(self, path: str, body: str, refused: str = "") -> tuple[int, dict[str, Any]]:
        """Call the API with the client's access token, and once more with a new one if that one is refused."""
        bearer = self.bearer(refused)
        headers = {"Authorization": bearer, "Content-Type": "application/json"}
        status, answer = self.call(path, body.encode(), **headers)
        return self.post(path, body, bearer) if status == 401 and not refused else (status, answer)
