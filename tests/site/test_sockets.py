"""What the kernel may hold of a download, asked of the kernel."""

from __future__ import annotations

import os
import socket
import sys
from uuid import uuid4

import pytest
from django.conf import settings
from django.urls import reverse

from audit_app import checkpoints
from requests_app import clock, sockets
from tests.cast import Cast
from tests.web.pages import signed_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks for Linux's numbers")


def limits(connection: socket.socket) -> tuple[int, int]:
    return (
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    )


def test_connections_on_the_port_are_narrowed_and_no_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = listener.accept()
            with served:
                before, open_before = limits(client), len(os.listdir("/dev/fd"))
                sockets.narrow(port)
                assert limits(served) == (2 * sockets.SEND_BUFFER, sockets.STALLED_SECONDS * 1000)
                assert limits(client) == before, "another port"
                assert len(os.listdir("/dev/fd")) == open_before
                client.sendall(b"still open")
                assert served.recv(100) == b"still open"


@pytest.mark.django_db
def test_every_long_download_is_held_to_them(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence and exports as content: whoever takes nothing of them holds a thread as well."""
    cast.opened()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    otto = signed_in(cast, "otto")
    held: list[int] = []
    for door in ("log", "evidence"):
        monkeypatch.setattr(f"requests_app.web.{door}.narrow", held.append)
    export = reverse("web:log_export", args=[cast.contoso.pk, "jsonl"])
    evidence = reverse("web:log_evidence", args=[cast.contoso.pk])
    for address, form in ((export, {}), (evidence, {"download": str(uuid4())})):
        response = otto.post(address, form)
        assert response.status_code == 200
        assert b"".join(response.streaming_content)
    assert held == [settings.PORT, settings.PORT]
