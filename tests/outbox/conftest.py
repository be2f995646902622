"""Two SMTP servers on loopback: a real one that can refuse recipients, and one that never answers."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Postbox:
    """The mails that the server has received, and its reply for each recipient."""

    refusals: dict[str, str] = field(default_factory=dict)
    data_answer: str = "250 OK"
    received: list[tuple[str, EmailMessage]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.connections.add(session.peer)
        if not self.data_answer.startswith("250"):
            return self.data_answer
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        for address in envelope.rcpt_tos:
            self.received.append((address, email.message_from_bytes(content, policy=email.policy.default)))
        return "250 OK"

    @property
    def addresses(self) -> list[str]:
        return sorted(address for address, _ in self.received)


class Server(Controller):
    """An SMTP server on a port that the operating system chooses."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def _use(settings: Any, port: int) -> None:
    settings.EMAIL_BACKEND = "requests_app.messages.mails.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", port, 5
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False


@pytest.fixture
def postbox(settings: Any) -> Iterator[Postbox]:
    box = Postbox()
    server = Server(box, hostname="127.0.0.1", port=0)
    server.start()
    _use(settings, server.port)
    yield box
    server.stop()


@pytest.fixture
def closed_port(settings: Any) -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    _use(settings, port)
    return port


@pytest.fixture
def hanging_server(settings: Any) -> Iterator[list[socket.socket]]:
    """Run a server that accepts connections and never answers. Yield its connections.

    A mail waits one second at most.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                taken.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    _use(settings, listener.getsockname()[1])
    settings.EMAIL_TIMEOUT = 1
    yield taken
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(timeout=120)
    for connection in taken:
        connection.close()
