"""Web server, workers and beat are killed again and again. No change, entry or mail is lost, and none is doubled."""

from __future__ import annotations

import contextlib
import email
import http.client
import os
import random
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.db import connection

from audit_app.models import AuditEntry
from audit_app.verify import verify
from lockbox_site.demo.browser import Browser, Stopped
from requests_app.domain import clock
from requests_app.messages.mails.email import sent_id
from requests_app.models import AccessRequest, Decision, Grant, OutboxMessage
from tests.cast import PASSWORD, Cast, gather
from tests.factors import a_code
from tests.ports import free_port
from tests.tasks.conftest import Running, Start, wait_for

pytestmark = [
    pytest.mark.deep,
    pytest.mark.real_clock,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]

KILLS, EVERY_SECONDS = 10, 0.8


class Mailbox:
    """A mail server. It stores every mail that it accepts, by recipient and Message-ID."""

    def __init__(self) -> None:
        self.taken: dict[tuple[str, str], list[bytes]] = defaultdict(list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # aiosmtpd's name
        message = email.message_from_bytes(envelope.content)
        for to in envelope.rcpt_tos:
            self.taken[to, str(message["Message-ID"])].append(envelope.content)
        return "250 OK"


def decide_until_done(base: str, who: str, world: Cast, rows: list[AccessRequest]) -> None:
    """As a person whose pages sometimes fail, try each decision until there is a receipt."""
    browser: Browser | None = None
    person = world.people[who]

    def code() -> str:
        try:
            return a_code(person)
        finally:
            # Each thread has its own connection.
            connection.close()

    for row in rows:
        ends = time.monotonic() + 90
        while time.monotonic() < ends:
            seen = ""
            try:
                if browser is None:
                    coming = Browser(base, person.email, PASSWORD, code)
                    coming.sign_in()
                    browser = coming
                page = browser.get(f"/access-requests/{row.pk}/decide/approve/")
                if not page.path.endswith("/receipt/"):
                    form = page.form(having="digest")
                    # If the sign-in is recent enough, the page asks for no password.
                    proof = {"password": PASSWORD, "code": code()} if "password" in form.values else {}
                    page = browser.submit(page, form, **proof)
                if page.path.endswith("/receipt/"):
                    break
                seen = f"{page.path} {page.status} {page.text[:300]}"
            except (OSError, Stopped, http.client.HTTPException) as failure:
                seen = repr(failure)
            time.sleep(0.5)
        else:
            raise AssertionError(f"{row.reference} could not be decided: {seen}")


#: Words in the command lines of the supervisor's direct children. Web server and cluster also have children.
PARTS = ("granian", "cluster", "beat")


def part_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            words = line.read().decode(errors="replace")
    except OSError:
        return ""
    return next((part for part in PARTS if part in words), "")


def kill_one_of(running: Running, part: str, chance: random.Random) -> bool:
    children = [pid for pid in running.family() if pid != running.pid and part_of(pid) == part]
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.kill(chance.choice(children), signal.SIGKILL)
        return True
    return False


def test_kills_in_mid_work_lose_nothing_and_double_nothing(start: Start) -> None:
    world = gather()
    rows = [world.confirmed() for _ in range(8)]
    boxes = Mailbox()
    server = Controller(boxes, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        port = free_port()
        running = start(
            "lockbox",
            PORT=str(port),
            BASE_URL=f"http://127.0.0.1:{port}",
            EMAIL_URL=f"smtp://127.0.0.1:{server.port}",
            DJANGO_SETTINGS_MODULE="tests.tasks.web_settings",
        )
        running.until("Ready:")
        failures = _decide_while_killing(running, f"http://127.0.0.1:{port}", world, rows)
        assert failures == []
        _let_the_leases_of_the_killed_run_out()
        wait_for(_all_delivered, within=90, why="every message leaves")
        running.stop()
    finally:
        server.stop()
    _nothing_lost_nothing_doubled(world, rows, boxes)


def _decide_while_killing(running: Running, base: str, world: Cast, rows: list[AccessRequest]) -> list[Exception]:
    failures: list[Exception] = []

    def run(who: str, half: list[AccessRequest]) -> None:
        try:
            decide_until_done(base, who, world, half)
        except Exception as failure:
            failures.append(failure)

    deciders = [threading.Thread(target=run, args=(who, rows[n::2])) for n, who in enumerate(("ada", "alan"))]
    for thread in deciders:
        thread.start()
    chance, killed = random.Random(20261125), Counter[str]()
    for number in range(KILLS):
        time.sleep(EVERY_SECONDS)
        part = PARTS[number % len(PARTS)]
        killed[part] += kill_one_of(running, part, chance)
    for thread in deciders:
        thread.join(timeout=120)
        assert not thread.is_alive()
    assert min(killed[part] for part in PARTS) > 0, killed
    return failures


def _let_the_leases_of_the_killed_run_out() -> None:
    """End all waiting times, so that the test does not have to wait.

    The mails of a killed drain wait for two minutes, and the fourth mail to a person waits for 15 minutes.
    """
    time.sleep(8)
    at = clock.now()
    OutboxMessage.objects.filter(state="waiting").update(claimed_until=at, next_attempt_at=at)


def _all_delivered() -> bool:
    waiting = OutboxMessage.objects.filter(state="waiting").exists()
    connection.close()
    return not waiting


def _nothing_lost_nothing_doubled(world: Cast, rows: list[AccessRequest], boxes: Mailbox) -> None:
    for row in rows:
        row.refresh_from_db()
        events = Counter(AuditEntry.objects.filter(correlation_id=row.pk).values_list("event", flat=True))
        assert row.state == "OPEN"
        assert events["access_request.approved_by_customer"] == 1
        assert Decision.objects.filter(access_request=row, stage="customer").count() == 1
        assert Grant.objects.filter(access_request=row).count() == 1
    assert verify(world.contoso.pk).is_good
    assert not OutboxMessage.objects.filter(state="parked").exists()
    # If the access request was decided before its mail was sent, the mail is outdated and has a note.
    sent = OutboxMessage.objects.filter(lane="mail", rendered__isnull=False, last_error="")
    for message in sent:
        copies = boxes.taken[message.recipient, sent_id(message.rendered)]
        assert copies, f"{message} never arrived"
        assert len(set(copies)) == 1, "a mail that is sent again is the very same mail"
    rendered = OutboxMessage.objects.filter(lane="mail", rendered__isnull=False)
    names = {(message.recipient, sent_id(message.rendered)) for message in rendered}
    assert set(boxes.taken) <= names, "each mail has one Message-ID, whatever was killed"
    opened = sent.filter(topic="notify.window_opened").values_list("about", "recipient")
    assert len(opened) == len(set(opened)) == len(rows) * len(set(opened.values_list("recipient", flat=True)))
