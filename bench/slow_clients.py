"""Measure how fast a page and the probes answer while hundreds of clients send, read or wait slowly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import reverse

from bench import asking, product
from bench.measure import Result
from requests_app import operations
from requests_app.domain.scopes import Scope
from tests.cast import Cast

SIZE = 40 * 1024 * 1024
PAGE, PROBES = "/", ("/healthz", "/readyz?part=web")
AIM_OF_A_PAGE, AIM_OF_A_PROBE = "p99 ≤ 500 ms", "p99 ≤ 100 ms"
#: How many bytes a slow client sends or reads in a second.
A_SECOND = 1024
#: After this number of seconds, all slow clients are connected. Slow headers end after ten seconds, slow bodies after
#: fifteen.
SETTLED = 2


def run(cast: Cast, count: int, *, seconds: float, bar: Any) -> list[Result]:
    content = Path(settings.CONTENT_ROOT)
    library = content / cast.resource(name="legal").locator
    library.mkdir(parents=True, exist_ok=True)
    with (library / "big.bin").open("wb") as file:
        file.truncate(SIZE)
    windows = [cast.opened(ticket=cast.ticket(service_id=cast.sharepoint.pk)) for _ in range(count)]
    tokens = [_token(cast, number) for number in range(count)]
    results: list[Result] = []
    with product.running(CONTENT_ROOT=str(content)) as running:
        ada, priya = (asking.session_of(cast.people[name]) for name in ("ada", "priya"))
        kinds: list[tuple[str, list[str]]] = [
            ("nobody else", []),
            (f"{count} slow headers", ["GET / HTTP/1.1\nHost: localhost\nX-A: "] * count),
            (f"{count} idle connections", [""] * count),
            (f"{count} slow bodies", _bodies(count)),
            (f"{count} slow readers", [_download(window, priya) for window in windows]),
            (f"{count} long polls and streams", _waits(cast, tokens)),
        ]
        for name, heads in kinds:
            ticking = bar.add_task(name, total=1)
            results += _measured(running.port, name, heads, ada, seconds)
            bar.advance(ticking)
    return results


def _measured(port: int, name: str, heads: list[str], ada: str, seconds: float) -> list[Result]:
    with Slow(port, heads) as slow:
        time.sleep(SETTLED)
        found = asking.ask(port, {PAGE: ada, **dict.fromkeys(PROBES, "")}, seconds)
        left = f" ({slow.left} left)" if heads else ""
    return [
        Result(f"{path} beside {name}{left}", times, seconds, AIM_OF_A_PAGE if path == PAGE else AIM_OF_A_PROBE)
        for path, times in found.items()
    ]


def _bodies(count: int) -> list[str]:
    form = "Host: localhost\nContent-Type: application/x-www-form-urlencoded\n"
    paths = ("/oauth/token", "/accounts/login/")
    return [f"POST {paths[n % 2]} HTTP/1.1\n{form}Content-Length: 100000\n\na" for n in range(count)]


def _download(window: Any, cookies: str) -> str:
    resource = window.access_request.scope.get().resource_id
    path = reverse("web:window_raw", args=[window.pk, resource], query={"id": "big.bin"})
    return f"GET {path} HTTP/1.1\nHost: localhost\nCookie: {cookies}\n\n"


def _waits(cast: Cast, tokens: list[str]) -> list[str]:
    path = f"/api/v1/tenants/{cast.contoso.pk}/events"
    kinds = (f"GET {path}?wait=30 HTTP/1.1\n", f"GET {path} HTTP/1.1\nAccept: text/event-stream\n")
    return [f"{kinds[n % 2]}Host: localhost\nAuthorization: Bearer {token}\n\n" for n, token in enumerate(tokens)]


def _token(cast: Cast, number: int) -> str:
    made = operations.create_client(
        tenant_id=cast.contoso.pk, name=f"SIEM {number}", scopes=[Scope.LOG_READ], actor=cast.as_("ines")
    )
    return operations.issue_access_token(made.row, scopes=frozenset({Scope.LOG_READ})).secret


class Slow:
    """Slow clients, one for each of `heads`.

    Each sends its head. Then a POST sends one kilobyte a second, and any other client reads as much.
    """

    def __init__(self, port: int, heads: list[str]) -> None:
        self._lines: list[tuple[socket.socket, bool]] = []
        self._stopped = threading.Event()
        for head in heads:
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect(("127.0.0.1", port))
            line.sendall(head.replace("\n", "\r\n").encode())
            if head.startswith("GET /windows/"):
                # The windows are opened one after another, because many simultaneous connections are not what is
                # measured.
                line.settimeout(60)
                if not (found := line.recv(12)).endswith(b"200"):
                    raise SystemExit(f"no: {found!r}")
            line.setblocking(False)
            self._lines.append((line, head.startswith("POST")))
        self._thread = threading.Thread(target=self._go_on)

    @property
    def left(self) -> int:
        return len(self._lines)

    def __enter__(self) -> Slow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        for line, _sends in self._lines:
            line.close()

    def _go_on(self) -> None:
        while not self._stopped.wait(1):
            self._lines = [(line, sends) for line, sends in self._lines if self._goes_on(line, sends)]

    @staticmethod
    def _goes_on(line: socket.socket, sends: bool) -> bool:
        act: Callable[[], Any] = (lambda: line.send(b"a" * A_SECOND)) if sends else (lambda: line.recv(A_SECOND))
        try:
            return bool(act())
        except BlockingIOError:
            return True
        except OSError:
            return False
