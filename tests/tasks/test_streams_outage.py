"""PostgreSQL stops to answer while content, an event stream and the page of a window are open."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.models import Grant
from requests_app.work import lookout
from tests.caller import token_of
from tests.cast import Cast, gather
from tests.factors import force_login
from tests.ground import database_url
from tests.ports import free_port
from tests.tasks.conftest import Start, wait_for, web_alone
from tests.tasks.gate import Gate

pytestmark = [pytest.mark.deep, pytest.mark.real_clock, pytest.mark.postgres, pytest.mark.timeout(900)]

#: Larger than all buffers between the server and a slow reader.
SIZE = 32 * 1024 * 1024
#: A window ends this many seconds after it was opened.
SOON = 20


class Reader:
    """Reads an answer in a thread, slowly until `is_fast` is set. `ended` is set at its end."""

    def __init__(self, port: int, path: str, *headers: str) -> None:
        self._plain = socket.socket()
        self._plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._plain.connect(("127.0.0.1", port))
        head = "\r\n".join([f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *headers])
        self._plain.sendall(f"{head}\r\n\r\n".encode())
        self.head, self.size, self.ended, self.is_fast = b"", 0, threading.Event(), threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self._plain, suppress(OSError):
            while piece := self._plain.recv(8192):
                self.head += piece if len(self.head) < 100_000 else b""
                self.size += len(piece)
                if not self.is_fast.is_set():
                    self.is_fast.wait(0.05)
        self.ended.set()

    def answers(self, what: bytes = b" 200 ") -> None:
        wait_for(lambda: what in self.head or self.ended.is_set(), within=30, why=f"{what!r} in {self.head[-300:]!r}")
        assert what in self.head, self.head[:300]


def cookie_of(cast: Cast, name: str) -> str:
    browser = Browser()
    force_login(browser, cast.people[name], is_fresh=True)
    return f"Cookie: {settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"


def sharepoint(cast: Cast, name: str) -> Grant:
    return cast.opened(by=name, ticket=cast.ticket(service_id=cast.sharepoint.pk), window_for=4 * 3600)


def test_content_is_cut_although_the_database_does_not_answer_and_all_others_come_back(
    start: Start, tmp_path: Path
) -> None:
    cast, port = gather(), free_port()
    library = tmp_path / "content" / cast.resource(name="legal").locator
    library.mkdir(parents=True)
    with (library / "big.bin").open("wb") as file:
        file.truncate(SIZE)
    grants = [sharepoint(cast, "priya"), sharepoint(cast, "priya")]
    Grant.objects.filter(pk=grants[1].pk).update(closes_at=clock.now() + timedelta(seconds=SOON))
    token = token_of(cast, "otto", Scope.LOG_READ)
    with Gate(connection.settings_dict["HOST"] or "127.0.0.1", int(connection.settings_dict["PORT"] or 5432)) as gate:
        running = web_alone(
            start, port, CONTENT_ROOT=str(tmp_path / "content"), WEB_THREADS="4",
            DATABASE_URL=database_url(host="127.0.0.1", port=gate.port), SECRET_KEY=settings.SECRET_KEY,
            DJANGO_SETTINGS_MODULE="tests.tasks.web_settings",
        )  # fmt: skip
        priya = cookie_of(cast, "priya")
        downloads = [Reader(port, _download(grant), priya) for grant in grants]
        events = _events(cast, port, token)
        page = Reader(port, reverse("web:window_state", args=[grants[0].pk]), "HX-Request: true", priya)
        for each in (*downloads, events):
            each.answers()
        gate.freeze()
        for each in downloads:
            each.is_fast.set()
        assert [each.ended.wait(120) for each in downloads] == [True, True], "they are cut while it still hangs"
        assert all(each.size < SIZE for each in downloads)
        gate.thaw()
        page.answers(b"HTTP/1.1 ")
        if events.ended.is_set():
            events = wait_for(lambda: _again(lambda: _events(cast, port, token)), within=10, why="a new stream")
        row = cast.submitted()
        events.answers(str(row.reference).encode())
        cut = AuditEntry.objects.filter(event="content.cut", correlation_id__in=[g.access_request_id for g in grants])
        wait_for(lambda: cut.count() == 2, within=10, why="an entry for each cut")
        operations.revoke(grants[0].access_request_id, actor=cast.as_("ada"))
        assert cut.count() == 2
        running.stop(within=60)
    watches = [watch.name for each in lookout.LOOKOUTS for watch in each.watches]
    # One traceback for each kind of error: the statement was given up, or the connection was.
    assert running.log.count('"event": "lookout_failed"') <= 3 * len(watches)


def _download(grant: Grant) -> str:
    resource = grant.access_request.scope.get().resource_id
    return reverse("web:window_raw", args=[grant.pk, resource], query={"id": "big.bin"})


def _events(cast: Cast, port: int, token: str) -> Reader:
    path = f"/api/v1/tenants/{cast.contoso.pk}/events"
    return Reader(port, path, f"Authorization: Bearer {token}", "Accept: text/event-stream")


def _again(opened: Callable[[], Reader]) -> Any:
    """Open it. Return it if it was answered, or None."""
    found = opened()
    wait_for(lambda: b"\r\n" in found.head or found.ended.is_set(), within=10, why="an answer")
    return found if b" 200 " in found.head[:16] else None
