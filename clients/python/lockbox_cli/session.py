"""Calls the API through the generated client: adds address and token, repeats failed calls, and raises errors."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from lockbox_cli import account as accounts
from lockbox_cli.account import Account
from lockbox_cli.errors import Failure, NotKnown, NotReachable, NotSignedIn, Refused, Usage
from lockbox_client import AuthenticatedClient
from lockbox_client.api.caller import me

TIMEOUT = httpx.Timeout(30, connect=10)
#: The pauses before a call is repeated after its connection broke. Every call can be repeated without harm.
PAUSES = (0.5, 2)
#: If the server asks for a longer pause than this, the program waits only this long.
LONGEST_PAUSE = 10.0
#: The code of the server's answer while the first call with the same key is still running.
UNDER_WAY = "idempotency_in_progress"
#: The codes for a call that was not done: no database, too many calls, or the call arrived too slowly.
NOT_DONE = frozenset({"store_unavailable", "busy", "request_timeout"})
#: The server refuses with these statuses before it reads the key. So they say nothing about an earlier try.
UNHEARD = frozenset({401, 429})
PAGE = 200


class Session:
    """Makes calls: `call(access_requests_show.sync_detailed, id)` returns the answer as JSON, or raises a Failure.

    The answer is not parsed into models, because a newer server can send fields that this program does not know.
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
        """The ETag of the last answer."""
        return self._last.headers.get("ETag", "") if self._last is not None else ""

    def call(self, operation: Callable[..., Any], *args: Any, is_change: bool = False, **named: Any) -> Any:
        return _body(self._answer(operation, *args, is_change=is_change, **named))

    def change(self, operation: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Make a change. Repeat the call if the connection breaks or the server fails.

        All tries have the same idempotency key, so the change is made only once. Raise NotKnown if it may have been
        saved and a further try can't show whether it was.
        """
        return self.call(operation, *args, **named, is_change=True, idempotency_key=str(uuid.uuid4()))

    def replace(self, operation: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Make a change by PUT, which can be repeated without an idempotency key. Raise NotKnown as `change` does."""
        return self.call(operation, *args, **named, is_change=True)

    def rows(self, operation: Callable[..., Any], *args: Any, limit: int, **named: Any) -> Iterator[dict[str, Any]]:
        """Yield the first `limit` items of a list, from as many pages as needed."""
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

    def _answer(self, operation: Callable[..., Any], *args: Any, is_change: bool, **named: Any) -> httpx.Response:
        if self.account.client_id and self.account.token_until <= time.time():
            self._renew()
        pauses, may_be_saved, is_renewed = iter(PAUSES), False, False
        while True:
            answer, failure = self._sent(operation, *args, **named)
            if answer is not None and answer.status_code == 401 and self.account.client_id and not is_renewed:
                is_renewed = True
                with _open_while(may_be_saved):
                    self._renew()
                continue
            if may_be_saved and answer is not None and answer.status_code in UNHEARD:
                raise NotKnown
            code = _problem(answer).get("code") if answer is not None else None
            if answer is not None and not (is_change and _is_open(answer, code)):
                return answer
            is_broken = failure is not None and not isinstance(failure, httpx.ConnectError)
            may_be_saved = may_be_saved or (is_change and (is_broken or (answer is not None and code not in NOT_DONE)))
            pause = next(pauses, None) if answer is not None or is_broken or may_be_saved else None
            if pause is not None:
                time.sleep(max(pause, min(_wait(answer), LONGEST_PAUSE)))
            elif may_be_saved:
                raise NotKnown(_problem(answer) if code == NotKnown.code else {}) from failure
            elif answer is not None:
                return answer
            else:
                assert failure is not None
                raise NotReachable(f"{self.account.url} does not answer: {_why(failure)}") from failure

    def _sent(
        self, operation: Callable[..., Any], *args: Any, **named: Any
    ) -> tuple[httpx.Response | None, httpx.TransportError | None]:
        """Send one call. Return (answer, None), or (None, error) if no answer came."""
        self._last = None
        try:
            operation(*args, client=self._connected(), **named)
        except httpx.TransportError as error:
            return None, error
        except Failure:
            raise
        except Exception:
            # The generated client could not parse the answer. The caller checks the answer itself.
            if self._last is None:
                raise
        assert self._last is not None
        return self._last, None

    def _connected(self) -> AuthenticatedClient:
        if self._client is None:
            self._client = AuthenticatedClient(
                base_url=self.account.url,
                token=self.account.token,
                timeout=TIMEOUT,
                httpx_args={
                    "event_hooks": {"response": [self._seen]},
                    # Don't use a proxy for connections to this machine.
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
        """Get an access token with the client's secret (RFC 6749, section 4.4), and store it for the next command."""
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
            raise NotSignedIn("The client's id or secret is not accepted. Sign in again: lockbox login --client")
        found = _body(answer)
        self.account.token = str(found["access_token"])
        # The program renews the token a minute early, so that the token does not end while a call is on its way.
        self.account.token_until = time.time() + int(found["expires_in"]) - 60
        if self._keeps:
            accounts.store(self.account)


@contextmanager
def _open_while(may_be_saved: bool) -> Iterator[None]:
    """Inside the block, turn a failure into NotKnown if an earlier try may have been saved."""
    try:
        yield
    except Failure as failure:
        if may_be_saved:
            raise NotKnown from failure
        raise


def _is_open(answer: httpx.Response, code: object) -> bool:
    """Return whether the answer leaves open if the change was made. The call must then be repeated."""
    is_unread = 200 <= answer.status_code < 300 and answer.status_code != 204 and _read(answer) is None
    return answer.status_code >= 500 or code == UNDER_WAY or code in NOT_DONE or is_unread


def _body(answer: httpx.Response) -> Any:
    status = answer.status_code
    if status == 204:
        return None
    found = _read(answer)
    if 200 <= status < 300 and found is not None:
        return found
    if status == 401:
        raise NotSignedIn("The token is not accepted: it expired or was revoked. Sign in: lockbox login")
    if 400 <= status < 500 and isinstance(found, dict) and "code" in found and found["code"] not in NOT_DONE:
        raise Refused(found, wait=answer.headers.get("Retry-After", ""))
    if 300 <= status < 400:
        raise NotReachable("The address redirects to another address. Sign in with that address: lockbox login")
    title = found.get("title") if isinstance(found, dict) else None
    raise NotReachable(f"The server answered {status}: {title or 'the answer does not come from Customer Lockbox'}")


def _read(answer: httpx.Response) -> Any:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        return None


def _problem(answer: httpx.Response | None) -> dict[str, Any]:
    found = _read(answer) if answer is not None else None
    return found if isinstance(found, dict) else {}


def _wait(answer: httpx.Response | None) -> float:
    """Return for how many seconds the server asks to wait. Return 0 if it names no number of seconds."""
    try:
        return float(answer.headers.get("Retry-After", "0")) if answer is not None else 0.0
    except ValueError:
        return 0.0


def _why(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def own_tenant(session: Session) -> uuid.UUID:
    """Return the caller's tenant. Raise Usage unless the caller has exactly one tenant."""
    tenants = session.call(me.sync_detailed)["tenants"]
    if len(tenants) != 1:
        raise Usage("Choose one tenant with --tenant ID.")
    return uuid.UUID(tenants[0])


def identifier(given: str) -> uuid.UUID | None:
    """Return the text as an id, or None if it is not an id but a reference."""
    try:
        return uuid.UUID(given)
    except ValueError:
        return None


def required(given: str) -> uuid.UUID:
    found = identifier(given)
    if found is None:
        raise Usage("Enter an id, as in 0193c2a4-7f1e-7c3b-9d55-2f6f0d1c8e11.")
    return found
