"""If the response to a change is lost, late or an error, the client repeats the call with the same key.

It never says that nothing was changed if this is uncertain.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from lockbox_cli import session as sessions
from lockbox_cli.account import Account
from lockbox_cli.errors import Failure, NotKnown, NotReachable
from lockbox_cli.session import Session
from lockbox_client.api.access_requests import access_requests_withdraw
from lockbox_client.api.tickets import tickets_link
from lockbox_client.models import CommentInRequest, LinkInRequest


class Server(BaseHTTPRequestHandler):
    """A server that gives the responses of a list, one after another, and stores the keys that it gets.

    None in the list breaks the connection.
    """

    answers: ClassVar[list[tuple[int, dict[str, Any] | None] | None]] = []
    keys: ClassVar[list[str | None]] = []

    def do_PUT(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.keys.append(self.headers.get("Idempotency-Key"))
        answer = self.answers.pop(0)
        if answer is None:
            self.close_connection = True
            return
        status, found = answer
        body = b"<html>" if found is None else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


Change = Callable[..., Any]
DONE, BUSY = (200, {"id": "1"}), (409, {"code": "idempotency_in_progress", "title": "Not answered yet."})
FULL = (503, {"code": "busy", "title": "x"})
SLOW = (408, {"code": "request_timeout", "title": "x"})
UNKNOWN, DOWN = (503, {"code": "outcome_unknown", "title": "x"}), (503, {"code": "store_unavailable", "title": "x"})


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Iterator[Change]:
    pauses: list[float] = []
    here, genuine = threading.get_ident(), sessions.time.sleep
    # Other threads sleep too, for example those that look for callers who wait.
    monkeypatch.setattr(
        sessions.time, "sleep", lambda pause: (pauses.append if threading.get_ident() == here else genuine)(pause)
    )
    monkeypatch.setattr(Server, "keys", [])
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def changed(*answers: tuple[int, dict[str, Any] | None] | None, by_put: bool = False) -> Any:
            monkeypatch.setattr(Server, "answers", list(answers))
            pauses.clear()
            account = Account(url=f"http://127.0.0.1:{server.server_port}", token="x")
            with Session(account) as session:
                if by_put:
                    link = LinkInRequest(external_reference="INC-1", external_url="https://tickets.example/1")
                    return session.replace(tickets_link.sync_detailed, uuid.uuid4(), body=link), list(pauses)
                found = session.change(
                    access_requests_withdraw.sync_detailed, uuid.uuid4(), body=CommentInRequest(comment="")
                )
            return found, list(pauses)

        yield changed
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("first", [BUSY, UNKNOWN, DOWN, FULL, SLOW, (502, {})])
def test_a_change_is_made_again_with_its_key_after_the_pause_that_was_asked_for(change: Change, first: Any) -> None:
    assert change(first, DONE) == ({"id": "1"}, [7.0])
    assert len(set(Server.keys)) == 1
    assert len(Server.keys) == 2


def test_a_broken_connection_is_made_again_with_the_same_key(change: Change) -> None:
    assert change(None, DONE) == ({"id": "1"}, [0.5])
    assert len(set(Server.keys)) == 1


@pytest.mark.parametrize(
    "answers",
    [
        [UNKNOWN] * 3,
        [BUSY] * 3,
        [None] * 3,
        [(503, {"code": "streams_full"})] * 3,
        [(200, None)] * 3,
        [None, DOWN, DOWN],
        [UNKNOWN, FULL, FULL],
        [None, SLOW, SLOW],
        [None, (401, {"code": "invalid_token"})],
        [UNKNOWN, (429, {"code": "rate_limited"})],
    ],
)
def test_a_change_that_may_be_saved_is_never_called_undone(change: Change, answers: list[Any]) -> None:
    with pytest.raises(NotKnown) as failure:
        change(*answers)
    assert (failure.value.status, failure.value.problem["code"]) == (5, "outcome_unknown")
    assert str(failure.value) == "We don't know whether this was saved. Check before you try again."


def test_a_change_without_a_key_is_judged_in_the_same_way(change: Change) -> None:
    assert change(None, DONE, by_put=True) == ({"id": "1"}, [0.5])
    with pytest.raises(NotKnown):
        change(None, DOWN, DOWN, by_put=True)
    with pytest.raises(NotReachable):
        change(FULL, DOWN, DOWN, by_put=True)


@pytest.mark.parametrize("answers", [[DOWN] * 3, [FULL] * 3, [SLOW] * 3, [DOWN, FULL, SLOW]])
def test_a_change_that_was_surely_not_saved_has_its_own_status(change: Change, answers: list[Any]) -> None:
    with pytest.raises(NotReachable) as failure:
        change(*answers)
    assert failure.value.status == 4


def test_a_refusal_is_not_tried_again(change: Change) -> None:
    with pytest.raises(Failure) as failure:
        change((409, {"code": "wrong_state", "title": "Too late."}))
    assert (failure.value.code, len(Server.keys)) == ("wrong_state", 1)
