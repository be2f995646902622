"""Breaks the product while event streams, live pages and downloads are open, and looks at what its callers notice.

Some windows reach their planned end during each break. Nobody who reads or watches under such a window may get more
after its end than the buffers had.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.urls import reverse

from bench import asking, product, server
from bench.storm import processes
from bench.streams import World, content_with_a_big_item
from requests_app.domain import clock
from requests_app.models import Grant, Token
from tests.cast import Cast

#: A disk with less room than this is filled up.
SMALL_DISK = 2 * 1024**3
#: How long PostgreSQL is frozen, and how long the disk is full.
BROKEN_SECONDS = 10.0
#: How long before a break the windows are opened that end during it, and how long after its begin they end.
OPENS_WITHIN, ENDS_AFTER = 3.0, 3.0
#: How long everything is watched after a break at least, and at most if something has not come back.
AFTER_SECONDS, PATIENCE = 5.0, 90.0
#: A download is read at about this rate, in bytes a second.
PIECE, EVERY = 8 * 1024, 0.1
#: After the end of its window, it is read at up to 32 MiB a second.
MOST, PAUSE = 64 * 1024, 0.002
HEADINGS = (
    "break", "processes", "ended", "again after", "longest without a page", "other answers", "cut after the end",
)  # fmt: skip
KINDS = ("event stream", "page", "download")


def run(cast: Cast, held: int, bar: Any, *, only: str = "") -> list[str]:
    """Return what was noticed in each break whose name contains `only`, as lines of a table."""
    content = content_with_a_big_item(cast)
    world = World(cast)
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    with product.running(whole=True, CONTENT_ROOT=str(content)) as running:
        time.sleep(5)
        breaks = {name: broken for name, broken in _breaks(running).items() if only in name}
        ticking = bar.add_task("breaks", total=len(breaks))
        before = _roles(running.pid)
        for name, broken in breaks.items():
            seen = Crowd(world, running.port, held).through(broken)
            lines.append(f"| {name} | {_differing(before, running.pid)} | {seen} |")
            bar.console.print(lines[-1], soft_wrap=True)
            bar.advance(ticking)
        everything = {pid: processes.command(pid) for pid in processes.tree(running.pid)}
    left = [text for pid, text in everything.items() if text and processes.command(pid) == text]
    # This process may have another role in the database than the product.
    environment = {**os.environ}
    if connection.vendor == "postgresql":
        environment["DATABASE_URL"] = product.database_url()
    command = [sys.executable, "manage.py", "verify_audit"]
    verified = subprocess.run(command, env=environment, capture_output=True, text=True)
    words = (verified.stdout + verified.stderr).strip().splitlines()[-1:]
    return [*lines, f"processes after the end: {left or 'none'}", f"verify_audit: {verified.returncode}, {words}"]


# --- What breaks ------------------------------------------------------------------------------------------------


def _breaks(running: product.Product) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {
        "kill -9 of a web process": lambda: _kill(_web_process(running.pid)),
        "kill -9 of the cluster": lambda: _kill(_part(running.pid, "cluster")),
        "kill -9 of the beat": lambda: _kill(_part(running.pid, "beat")),
        "kill -9 of the web server's main process": lambda: _kill(_part(running.pid, "web")),
        "kill -9 of the process that forks the parts": lambda: _kill(_part(running.pid, "nursery")),
    }
    if connection.vendor == "postgresql":
        found["PostgreSQL stopped for 10 s (SIGSTOP)"] = _freeze_database
    if shutil.disk_usage(settings.DATA_DIR).total < SMALL_DISK:
        found["disk full for 10 s"] = _fill_disk
    return found


def _freeze_database() -> None:
    leader = server.pid()
    connection.close()
    pids = processes.tree(leader)
    processes.send(signal.SIGSTOP, *pids)
    time.sleep(BROKEN_SECONDS)
    processes.send(signal.SIGCONT, *pids)


def _fill_disk() -> None:
    path = Path(settings.DATA_DIR, "filler")
    try:
        with path.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(256 * 1024))
        # What is written meanwhile must not find the last bytes.
        time.sleep(BROKEN_SECONDS)
    finally:
        path.unlink()


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _role(pid: int) -> str:
    words = processes.command(pid)
    return next((name for name in ("nursery", "undertaker", "cluster", "beat") if name in words), "web")


def _roles(pid: int) -> Counter[str]:
    """Return how many processes do what: the parts, and the processes of the web server."""
    web = [each for each in processes.children(pid) if _role(each) == "web"]
    return Counter(
        map(_role, [*processes.children(pid), *(child for each in web for child in processes.children(each))])
    )


def _part(pid: int, role: str) -> int:
    """Return the main process of a part."""
    return next(each for each in processes.children(pid) if _role(each) == role)


def _web_process(pid: int) -> int:
    return processes.children(_part(pid, "web"))[-1]


def _differing(before: Counter[str], pid: int) -> str:
    now = _roles(pid)
    found = [f"{now[role] - before[role]:+} {role}" for role in sorted({*before, *now}) if now[role] != before[role]]
    return ", ".join(found) or "as before"


# --- Who notices it ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Line:
    """One connection that is held. If it ends, its caller connects again every second."""

    kind: str
    request: bytes
    address: str
    #: When its window ends, as a time of the monotonic clock. Such a caller does not connect again.
    ends: float | None = None
    socket: socket.socket | None = None
    ended: float | None = None
    again: float | None = None
    #: The last time at which something came.
    last: float = 0.0
    tries: float = 0.0
    head: bytes = b""


@dataclass
class Crowd:
    """Callers that hold connections, and others that ask for pages."""

    world: World
    port: int
    held: int
    lines: list[Line] = field(default_factory=list)
    _numbers: int = 0

    def through(self, broken: Callable[[], Any]) -> str:
        """Open everything, break the product, and return the last cells of a row."""
        cast = self.world.cast
        streams, pages, downloads = self.held // 2, self.held // 4, self.held // 4
        people = self.world.engineers(pages)
        sessions = {person.pk: asking.session_of(person) for person in people}
        priya = cast.people["priya"]
        self._add("download", self.world.windows([priya] * downloads), {priya.pk: asking.session_of(priya)})
        self._add("page", self.world.windows(people), sessions)
        self._add_streams(self.world.tokens(streams))
        ada = asking.session_of(cast.people["ada"])
        with ExitStack() as stack:
            stack.enter_context(self._watched())
            time.sleep(5)
            self._wait_for(lambda line: line.head.startswith(b"HTTP/1.1 200") or line.kind == "page")
            for line in self.lines:
                # What was refused at first, because many were opened at the same moment.
                line.ended = line.again = None
            ending = self.world.windows([priya] * 4)
            self._end_soon(ending, {priya.pk: asking.session_of(priya)})
            pages_asked = {"/": ada, "/healthz": ""}
            asked = [stack.enter_context(_asked(self.port, *each)) for each in pages_asked.items()]
            time.sleep(OPENS_WITHIN)
            begun = time.monotonic()
            broken()
            time.sleep(max(0.0, begun + ENDS_AFTER - time.monotonic()) + AFTER_SECONDS)
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until and not (self._is_whole() and all(each.is_good() for each in asked)):
                time.sleep(0.5)
        return self._cells(begun, asked)

    def _is_whole(self) -> bool:
        return all(line.ended is None or line.again is not None for line in self.lines if line.ends is None)

    def _add(self, kind: str, grants: list[Grant], sessions: dict[Any, str], ends: float | None = None) -> list[Line]:
        found = []
        for grant in grants:
            cookie = f"Cookie: {sessions[grant.engineer_id]}"
            if kind == "page":
                path, cookie = reverse("web:window_state", args=[grant.pk]), f"HX-Request: true\r\n{cookie}"
            else:
                resource = grant.access_request.scope.get().resource_id
                path = reverse("web:window_raw", args=[grant.pk, resource], query={"id": "big.bin"})
            found.append(Line(kind, self._head(path, cookie), self._address(), ends))
        self.lines += found
        return found

    def _add_streams(self, tokens: list[tuple[Token, str]]) -> None:
        for token, secret in tokens:
            path = f"/api/v1/tenants/{token.account.client.tenant_id}/events"
            head = self._head(path, f"Authorization: Bearer {secret}\r\nAccept: text/event-stream")
            self.lines.append(Line("event stream", head, self._address()))

    def _end_soon(self, grants: list[Grant], sessions: dict[Any, str]) -> None:
        at = clock.now() + timedelta(seconds=OPENS_WITHIN + ENDS_AFTER)
        Grant.objects.filter(pk__in=[grant.pk for grant in grants]).update(closes_at=at)
        self._add("download", grants, sessions, time.monotonic() + OPENS_WITHIN + ENDS_AFTER)

    @staticmethod
    def _head(path: str, more: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n\r\n".encode()

    def _address(self) -> str:
        self._numbers += 1
        return f"127.0.{self._numbers // 200 + 1}.{self._numbers % 200 + 1}"

    def _wait_for(self, is_ready: Callable[[Line], bool]) -> None:
        until = time.monotonic() + 60
        while not all(map(is_ready, self.lines)):
            if time.monotonic() > until:
                refused = Counter((line.kind, line.head[:15]) for line in self.lines if not is_ready(line))
                raise SystemExit(f"not opened: {refused}")
            time.sleep(0.2)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        stopped = threading.Event()
        thread = threading.Thread(target=self._watch, args=(stopped,))
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
            for line in self.lines:
                if line.socket is not None:
                    line.socket.close()

    def _watch(self, stopped: threading.Event) -> None:
        """Read every connection, and connect again those that have ended."""
        with selectors.DefaultSelector() as selector:
            while not stopped.is_set():
                present = time.monotonic()
                for line in list(self.lines):
                    if line.socket is None and (line.ends is None or not line.tries) and present - line.tries >= 1:
                        line.tries = present
                        self._connect(line, selector)
                    if line.socket is not None and line.ends is not None and present >= line.ends:
                        self._drain(line, selector)
                for key, _events in selector.select(EVERY):
                    self._read(key.data, selector)
                time.sleep(max(0.0, EVERY + present - time.monotonic()))

    def _connect(self, line: Line, selector: selectors.BaseSelector) -> None:
        plain = socket.socket()
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
            plain.bind((line.address, 0))
            plain.settimeout(1)
            plain.connect(("127.0.0.1", self.port))
            plain.sendall(line.request)
            plain.setblocking(False)
        except OSError:
            plain.close()
            return
        line.socket, line.head = plain, b""
        if line.kind == "page" and line.ended is not None and line.again is None:
            line.again = time.monotonic()
        selector.register(plain, selectors.EVENT_READ, line)

    @staticmethod
    def _drain(line: Line, selector: selectors.BaseSelector) -> None:
        """Read a download to its end, fast: what still comes may only be what the buffers had."""
        plain, line.socket = line.socket, None
        assert plain is not None
        selector.unregister(plain)

        def go_on() -> None:
            plain.settimeout(PATIENCE)
            with plain, suppress(OSError):
                while plain.recv(MOST):
                    line.last = time.monotonic()
                    time.sleep(PAUSE)
                line.ended = time.monotonic()

        threading.Thread(target=go_on, daemon=True).start()

    def _read(self, line: Line, selector: selectors.BaseSelector) -> None:
        assert line.socket is not None
        try:
            piece = line.socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        present = time.monotonic()
        if len(line.head) < 4096:
            line.head += piece
        if piece:
            line.last = present
            if line.ended is not None and line.again is None and line.head.startswith(b"HTTP/1.1 200"):
                line.again = present
        # A page asks again after each answer. An event stream that ends well has a last chunk.
        is_over = not piece or line.kind == "page" or piece.endswith(b"0\r\n\r\n") or line.head[9:10] in b"45"
        if not is_over:
            return
        selector.unregister(line.socket)
        line.socket.close()
        line.socket = None
        if line.kind == "page" and line.head[9:10] == b"2":
            line.tries = 0.0
        elif line.ended is None:
            line.ended = present

    def _cells(self, begun: float, asked: list[Asked]) -> str:
        ended, again = [], [0.0]
        for kind in KINDS:
            whose = [line for line in self.lines if line.kind == kind and line.ends is None]
            gone = [line for line in whose if line.ended is not None]
            never = [line for line in gone if line.again is None]
            again += [line.again - line.ended for line in gone if line.again is not None and line.ended is not None]
            ended.append(f"{len(gone)} of {len(whose)} {kind}s" + (f" ({len(never)} not back)" if never else ""))
        late = [
            (line.last - line.ends) if line.last > line.ends else 0.0 for line in self.lines if line.ends is not None
        ]
        open_ = [line.head[:15] for line in self.lines if line.ends is not None and line.ended is None]
        gap = ", ".join(f"{each.path}: {each.gap(begun):.1f} s" for each in asked)
        statuses = sum((each.others for each in asked), Counter[int]())
        other = ", ".join(f"{n} × {status or 'no answer'}" for status, n in statuses.items())
        return " | ".join(
            (
                ", ".join(ended), f"{max(again):.1f} s", gap, other or "none",
                f"{len(late)} windows, at most {max(late):.1f} s" + (f"; still open: {open_}" if open_ else ""),
            )
        )  # fmt: skip


@dataclass
class Asked:
    """A page that is asked for again and again."""

    path: str
    good: list[float] = field(default_factory=list)
    others: Counter[int] = field(default_factory=Counter)
    ended: float = 0.0

    def is_good(self) -> bool:
        return bool(self.good) and time.monotonic() - self.good[-1] < 1

    def gap(self, begun: float) -> float:
        """Return the longest time without a good answer since the break."""
        times = [begun, *(at for at in self.good if at > begun), self.ended]
        return max(late - early for early, late in pairwise(times))


@contextmanager
def _asked(port: int, path: str, cookie: str) -> Iterator[Asked]:
    found, stopped = Asked(path), threading.Event()

    def go_on() -> None:
        while not stopped.wait(0.05):
            plain = HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                plain.request("GET", path, headers={"Cookie": cookie} if cookie else {})
                answer = plain.getresponse()
                answer.read()
            except (OSError, HTTPException):
                found.others[0] += 1
                continue
            finally:
                plain.close()
            if answer.status == 200:
                found.good.append(time.monotonic())
            else:
                found.others[answer.status] += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield found
    finally:
        found.ended = time.monotonic()
        stopped.set()
        thread.join()
