"""Cuts the open requests of the proxy within a second of the end of their windows, and records each cut.

A request stays open only while it is proved that its window is open: by the decision on it, or by a check of the
database that began at most `COUNTS_FOR` seconds ago. So a database that does not answer cuts all requests, too.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

import structlog
from django.db import connection

from requests_app import operations
from requests_app.doors.tools.deciding import Admitted, in_thread
from requests_app.doors.tools.threads import Threads
from requests_app.operations.gate_cuts import ENDED, UNKNOWN
from requests_app.platform.database import bounds
from requests_app.queries import gates as queries
from requests_app.queries.gates import Asker

log = structlog.get_logger(__name__)

#: How often the database is asked, and how often the open requests are looked at.
LOOK_SECONDS, TICK_SECONDS = 0.15, 0.05
#: For how long an answer of the database counts, from the time at which it was asked.
COUNTS_FOR = 0.8
#: How long to wait before an entry is written again that could not be written.
AGAIN_SECONDS = 1.0
#: With this, closing a connection resets it, and drops what the kernel has not sent yet.
_NO_LINGER = struct.pack("ii", 1, 0)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """End a connection so that the other side sees a failure, and no end of an answer."""
    if not isinstance(transport, asyncio.Transport):
        return
    plain = transport.get_extra_info("socket")
    if plain is not None and not transport.is_closing():
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


class Open:
    """One request that has passed, until its last byte. `cut` ends its connections at once."""

    def __init__(self, admitted: Admitted, *, began: float, cut: Callable[[], None]) -> None:
        self.admitted, self.began, self.is_cut = admitted, began, False
        self.ends = began + admitted.passed.seconds
        self._cut = cut

    @property
    def asker(self) -> Asker:
        return self.admitted.asker

    def cut(self) -> None:
        self.is_cut = True
        self._cut()


class Watch:
    """Watches all open requests of this process. All its methods run on the loop."""

    def __init__(self) -> None:
        self.open: set[Open] = set()
        self._seen: dict[Asker, float] = {}
        self._cuts: defaultdict[UUID, dict[UUID, str]] = defaultdict(dict)
        self._looker, self._writer = (Threads(1, "watch") for _ in range(2))

    async def run(self) -> None:
        await asyncio.gather(self._look_again_and_again(), self._tick(), self._write())

    def add(self, opened: Open) -> None:
        self.open.add(opened)

    def remove(self, opened: Open) -> None:
        self.open.discard(opened)

    def cut_all(self) -> None:
        """End all requests without entries, because the process ends."""
        for each in list(self.open):
            each.cut()
            self.remove(each)

    def end_threads(self) -> None:
        for threads in (self._looker, self._writer):
            threads.end()

    @property
    def unwritten(self) -> int:
        return sum(map(len, self._cuts.values()))

    async def _look_again_and_again(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            askers, began = {each.asker for each in self.open}, loop.time()
            if not askers:
                self._seen.clear()
                continue
            try:
                found = await loop.run_in_executor(self._looker, in_thread, _still_open, askers)
            except Exception as error:
                log.warning("watch_failed", error=type(error).__name__)
                continue
            self._seen = dict.fromkeys(found, began)
            for each in [each for each in self.open if each.asker in askers - found and each.began <= began]:
                self._end(each, ENDED)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            for each in list(self.open):
                proved = max(each.began, self._seen.get(each.asker, 0.0))
                if each.ends <= now:
                    self._end(each, ENDED)
                elif proved < now - COUNTS_FOR:
                    self._end(each, UNKNOWN)

    def _end(self, opened: Open, cause: str) -> None:
        opened.cut()
        self.remove(opened)
        passed = opened.admitted.passed
        self._cuts[passed.tenant_id][passed.access_id] = cause

    async def _write(self) -> None:
        """Write the entries about the cuts, and try again until the database takes them."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for tenant_id in list(self._cuts):
                cuts = dict(self._cuts[tenant_id])
                try:
                    await loop.run_in_executor(self._writer, in_thread, operations.note_cuts, tenant_id, cuts)
                except Exception as error:
                    log.warning("cut_not_recorded", tenant=str(tenant_id), error=type(error).__name__)
                    await asyncio.sleep(AGAIN_SECONDS)
                    continue
                for access_id in cuts:
                    del self._cuts[tenant_id][access_id]
                if not self._cuts[tenant_id]:
                    del self._cuts[tenant_id]


def _still_open(askers: set[Asker]) -> set[Asker]:
    try:
        with bounds.within(bounds.probe(seconds=COUNTS_FOR)):
            return queries.still_open(askers)
    except BaseException:
        connection.close()
        raise
