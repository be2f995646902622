"""A mail server, a webhook's receiver and a witness hang at the same time. Windows still end, and logs are signed."""

from __future__ import annotations

import datetime as dt
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from audit_app.models import AuditEntry, Checkpoint, Witness
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.states import State
from requests_app.models import AccessRequest, OutboxMessage
from tests.cast import gather
from tests.stopwatch import in_time
from tests.tasks.conftest import Start, in_service, wait_for
from tests.witness import SmallWitness

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_clock,
    pytest.mark.timed,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]


class Hanging:
    """A server that accepts connections, but reads nothing and sends nothing."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.taken: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self.taken.append(self.listener.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for each in self.taken:
            each.close()


@pytest.fixture
def hanging() -> Iterator[list[Hanging]]:
    servers = [Hanging() for _ in range(3)]
    yield servers
    for each in servers:
        each.close()


def test_three_that_hang_hold_up_nothing_else(start: Start, hanging: list[Hanging]) -> None:
    mail, receiver, witness = hanging
    world = gather()
    url, private = f"http://127.0.0.1:{receiver.port}/in", world.as_("ines")
    operations.add_webhook(world.contoso.pk, url=url, label="Hangs", events=["*"], actor=private)
    key = SmallWitness().vkey
    operations.add_witness(world.contoso.pk, vkey=key, url=f"http://127.0.0.1:{witness.port}", actor=private)
    start(
        "lockbox",
        "--no-web",
        WORKERS="4",
        SWEEP_SECONDS="1",
        WEBHOOK_KEY=settings.WEBHOOK_KEYS[0],
        LOG_KEY=Path(settings.LOG_KEY_FILE).read_text().strip(),
        LOG_ORIGIN=settings.LOG_ORIGIN,
        EMAIL_URL=f"smtp://127.0.0.1:{mail.port}",
        DJANGO_SETTINGS_MODULE="tests.tasks.hanging_settings",
    )
    in_service()
    rows = [world.submitted() for _ in range(6)]
    wait_for(lambda: all(each.taken for each in hanging), within=15, why="all three are being waited for")
    took = []
    for row in rows:
        AccessRequest.objects.filter(pk=row.pk).update(decide_by=clock.now() - dt.timedelta(minutes=1))
        began = time.monotonic()
        wait_for(lambda row=row: AccessRequest.objects.get(pk=row.pk).state == State.EXPIRED, within=10)
        took.append(time.monotonic() - began)
        time.sleep(1)
    entries = AuditEntry.objects.filter(tenant_id=world.contoso.pk).count()
    wait_for(lambda: Checkpoint.objects.filter(tenant_id=world.contoso.pk, size__gte=entries).exists(), within=10)
    in_time(sorted(took)[len(took) // 2] < 3, took)
    assert len(mail.taken) <= 4, "one worker waits for the mail server at a time"
    assert not OutboxMessage.objects.filter(lane="mail", state="delivered", last_error="").exists()
    assert Witness.objects.get().problem in ("", "timeout")
