"""A receiver of webhooks on loopback. It stores all messages, and answers as the test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook as Verifier

from requests_app import operations
from requests_app.models import Webhook
from tests.cast import Cast

Reply = tuple[int, str]


@dataclass(frozen=True)
class Got:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.body)


class Receiver:
    """`say` returns the response to a message.

    `tried` has all messages, and `got` has those with a successful response.
    """

    def __init__(self) -> None:
        receiver = self
        self.tried: list[Got] = []
        self.got: list[Got] = []
        self.say: Callable[[Got], Reply] = lambda _got: (204, "")

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got = Got(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                receiver.tried.append(got)
                status, text = receiver.say(got)
                if 200 <= status < 300:
                    receiver.got.append(got)
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", text)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/in/8f3a-secret-path?sig=querysecret"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def answer(self, status: int, text: str = "") -> None:
        self.say = lambda _got: (status, text)

    def types(self) -> list[str]:
        return [got.message["type"] for got in self.got]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=120)


def add(
    cast: Cast, receiver: Receiver, tenant: str | None = "contoso", by: str = "", events: tuple[str, ...] = ("*",)
) -> operations.Issued:
    """Add a webhook for a tenant as its administrator, or for the provider (tenant None) as staff."""
    by = by or {"contoso": "ines", "fabrikam": "finn", None: "stella"}[tenant]
    pk = cast.tenants[tenant].pk if tenant else None
    return operations.add_webhook(pk, url=receiver.url, events=events, actor=cast.as_(by))


def verified(issued: operations.Issued, got: Got) -> Any:
    """Verify a message with the library of the standard. Return its content."""
    return Verifier(issued.keys.whsec).verify(got.body, got.headers)


def fresh(webhook: Webhook) -> Webhook:
    return Webhook.objects.get(pk=webhook.pk)
