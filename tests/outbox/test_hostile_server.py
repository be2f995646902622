"""Mail servers that never finish something: the greeting, a line, a reply, a mail."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives

from requests_app.messages.mails import smtp
from requests_app.messages.mails.postman import Postman, Unreachable
from tests.stopwatch import in_time

Talk = Callable[[socket.socket, threading.Event], None]


def _greets_without_end(peer: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        peer.sendall(b"220-" + b"x" * 1000 + b"\r\n")


def _sends_one_endless_line(peer: socket.socket, over: threading.Event) -> None:
    peer.sendall(b"220-")
    while not over.is_set():
        peer.sendall(b"x" * 65536)


def _greets_a_byte_at_a_time(peer: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        peer.sendall(b"2")


def _greets_a_line_at_a_time(peer: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        peer.sendall(b"220-wait\r\n")


def _answers(peer: socket.socket, over: threading.Event, last: Callable[[], None]) -> None:
    """Speak SMTP correctly until the end of the mail, then call `last`."""
    peer.sendall(b"220 hello\r\n")
    lines = peer.makefile("rb")
    for line in lines:
        if line.upper().startswith(b"DATA"):
            peer.sendall(b"354 go on\r\n")
            while lines.readline().rstrip(b"\r\n") != b".":
                pass
            last()
            return
        peer.sendall(b"250 OK\r\n")


def _answers_the_mail_without_end(peer: socket.socket, over: threading.Event) -> None:
    _answers(peer, over, lambda: _greets_without_end(peer, over))


def _answers_the_mail_a_byte_at_a_time(peer: socket.socket, over: threading.Event) -> None:
    _answers(peer, over, lambda: _greets_a_byte_at_a_time(peer, over))


def _never_reads_the_mail(peer: socket.socket, over: threading.Event) -> None:
    peer.sendall(b"220 hello\r\n")
    while line := peer.recv(4096):
        if b"DATA" in line.upper():
            peer.sendall(b"354 go on\r\n")
            over.wait(30)
            return
        peer.sendall(b"250 OK\r\n")


@pytest.fixture
def server(settings: Any) -> Iterator[Callable[[Talk], None]]:
    """Return a function that starts a server with this behaviour.

    The product waits for it at most one or two seconds.
    """
    settings.EMAIL_BACKEND = "requests_app.messages.mails.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_TIMEOUT = "127.0.0.1", 1
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    listening, over = socket.create_server(("127.0.0.1", 0)), threading.Event()
    settings.EMAIL_PORT = listening.getsockname()[1]

    def talk_to(peer: socket.socket, talk: Talk) -> None:
        with contextlib.suppress(OSError), peer:
            talk(peer, over)

    def serve(talk: Talk) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listening.accept()
                threading.Thread(target=talk_to, args=(peer, talk), daemon=True).start()

    yield lambda talk: threading.Thread(target=serve, args=(talk,), daemon=True).start()
    over.set()
    listening.close()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@pytest.mark.timed
@pytest.mark.parametrize(
    "talk",
    [
        _greets_without_end,
        _sends_one_endless_line,
        _greets_a_byte_at_a_time,
        _greets_a_line_at_a_time,
        _answers_the_mail_without_end,
        _answers_the_mail_a_byte_at_a_time,
        _never_reads_the_mail,
    ],
)
def test_a_server_without_end_costs_little_time_and_memory(server: Callable[[Talk], None], talk: Talk) -> None:
    server(talk)
    # 12 MB, which fill every buffer between the two. Long lines take little time to write and to read.
    mail = EmailMultiAlternatives("Subject", ("Text " * 160 + "\n") * 15_000, to=["a@provider.example"])
    before, began = _peak(), time.monotonic()
    with Postman() as postman, pytest.raises(Unreachable):
        postman.send(mail)
    # The limits are one second for connecting, two for the mail and one for QUIT. The rest is for a busy machine.
    in_time(time.monotonic() - began < 15, time.monotonic() - began)
    assert _peak() - before < 200, "the mail itself, a few times, and no more of the answer than its limit"


def test_an_answer_of_many_lines_within_the_limit_is_read(postbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit applies to each reply, and not to all replies of a connection together."""
    monkeypatch.setattr(smtp, "MOST_ANSWER", 200)
    with Postman() as postman:
        for number in range(20):
            postman.send(EmailMultiAlternatives(f"Mail {number}", "Text", to=["a@provider.example"]))
    assert len(postbox.received) == 20
