"""Calls of the generated client: where they go, what they carry, and what becomes of an answer that is a no."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from lockbox_cli import account as accounts
from lockbox_cli.account import Account
from lockbox_cli.errors import Failure, NotReachable, NotSignedIn, Refused, Usage
from lockbox_client import AuthenticatedClient
from lockbox_client.api.caller import me

TIMEOUT = httpx.Timeout(30, connect=10)
#: Pauses before the same call is made again where the connection broke; each call is safe to make again.
PAUSES = (0.5, 2)
PAGE = 200


class Session:
    """`call(access_requests_show.sync_detailed, id)` is the answer as JSON, or a Failure.

    The answer is taken as it came, so that a server that is newer than this program can say more than it knows.
    """

    def __init__(self, account: Account, *, keeps: bool = False) -> None:
        self.account, self._keeps = account, keeps
        self._last: httpx.Response | None = None
        self._client: AuthenticatedClient | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    @property
    def etag(self) -> str:
        """Of what was read last."""
        return self._last.headers.get("ETag", "") if self._last is not None else ""

    def call(self, operation: Callable[..., Any], *args: Any, **named: Any) -> Any:
        answer = self._answer(operation, *args, **named)
        if answer.status_code == 401 and self.account.client_id:
            self._renew()
            answer = self._answer(operation, *args, **named)
        return _body(answer)

    def change(self, operation: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """A call with a key of its own: if the connection breaks it is made again, and done once."""
        return self.call(operation, *args, **named, idempotency_key=str(uuid.uuid4()))

    def rows(self, operation: Callable[..., Any], *args: Any, limit: int, **named: Any) -> Iterator[dict[str, Any]]:
        """The first `limit` items of a list, over as many pages as it takes."""
        left = limit
        while left > 0:
            page = self.call(operation, *args, **named, limit=min(left, PAGE))
            items = page["items"][:left]
            yield from items
            left -= len(items)
            cursor = parse_qs(urlsplit(page.get("next") or "").query).get("cursor")
            if not cursor or not items:
                return
            named["cursor"] = cursor[0]

    def _answer(self, operation: Callable[..., Any], *args: Any, **named: Any) -> httpx.Response:
        if self.account.client_id and self.account.token_until <= time.time():
            self._renew()
        pauses = iter(PAUSES)
        while True:
            self._last = None
            try:
                operation(*args, client=self._connected(), **named)
            except httpx.TransportError as error:
                pause = None if isinstance(error, httpx.ConnectError) else next(pauses, None)
                if pause is None:
                    raise NotReachable(f"{self.account.url} does not answer: {_why(error)}") from error
                time.sleep(pause)
                continue
            except Failure:
                raise
            except Exception:
                # The client could not read it; what it is, is looked at below.
                if self._last is None:
                    raise
            assert self._last is not None
            return self._last

    def _connected(self) -> AuthenticatedClient:
        if self._client is None:
            self._client = AuthenticatedClient(
                base_url=self.account.url,
                token=self.account.token,
                timeout=TIMEOUT,
                httpx_args={
                    "event_hooks": {"response": [self._seen]},
                    # No proxy between this machine and itself.
                    "trust_env": not accounts.is_loopback(urlsplit(self.account.url).hostname or ""),
                },
            )
        return self._client

    def _seen(self, answer: httpx.Response) -> None:
        self._last = answer

    def _close(self) -> None:
        if self._client is not None:
            self._client.get_httpx_client().close()
        self._client = None

    def _renew(self) -> None:
        """Get an access token for the client's secret (RFC 6749, section 4.4), and keep it for the next command."""
        self._close()
        form = {"grant_type": "client_credentials"}
        is_here = accounts.is_loopback(urlsplit(self.account.url).hostname or "")
        try:
            with httpx.Client(base_url=self.account.url, timeout=TIMEOUT, trust_env=not is_here) as plain:
                answer = plain.post(
                    "/oauth/token", data=form, auth=(self.account.client_id, self.account.client_secret)
                )
        except httpx.TransportError as error:
            raise NotReachable(f"{self.account.url} does not answer: {_why(error)}") from error
        if answer.status_code in (400, 401):
            raise NotSignedIn("The client's id or secret is not accepted. Sign in anew: lockbox login --client")
        found = _body(answer)
        self.account.token = str(found["access_token"])
        # A minute less, so that none ends on its way.
        self.account.token_until = time.time() + int(found["expires_in"]) - 60
        if self._keeps:
            accounts.store(self.account)


def _body(answer: httpx.Response) -> Any:
    status = answer.status_code
    if status == 204:
        return None
    try:
        found = json.loads(answer.content)
    except (ValueError, RecursionError):
        found = None
    if 200 <= status < 300 and found is not None:
        return found
    if status == 401:
        raise NotSignedIn("The token is not accepted: it ended, or was revoked. Sign in: lockbox login")
    if 400 <= status < 500 and isinstance(found, dict) and "code" in found:
        raise Refused(found, wait=answer.headers.get("Retry-After", ""))
    if 300 <= status < 400:
        raise NotReachable("The address leads elsewhere. Sign in with the one that it leads to: lockbox login")
    title = found.get("title") if isinstance(found, dict) else None
    raise NotReachable(f"The server answered {status}: {title or 'this is not the answer of a Lockbox'}")


def _why(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def own_tenant(session: Session) -> uuid.UUID:
    """The caller's tenant, if it is one alone."""
    tenants = session.call(me.sync_detailed)["tenants"]
    if len(tenants) != 1:
        raise Usage("Say whose: --tenant ID.")
    return uuid.UUID(tenants[0])


def identifier(given: str) -> uuid.UUID | None:
    """The id, where it is one and not a reference."""
    try:
        return uuid.UUID(given)
    except ValueError:
        return None


def required(given: str) -> uuid.UUID:
    found = identifier(given)
    if found is None:
        raise Usage("This takes an id, as in 0193c2a4-7f1e-7c3b-9d55-2f6f0d1c8e11.")
    return found
