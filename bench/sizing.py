"""Measure what an installation for 300 people needs: memory and processor time of each part, disk, and time of pages.

50 tenants with 5 people each and 50 people of the provider. 40 of them open pages at the same time, each one a page
every two seconds, while access requests are submitted, approved and used. All parts of the product run.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client

from audit_app import keys, signing_round
from bench import measure, product
from bench.measure import Result
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.models import Membership, OutboxMessage, Person, QueueAssignment, Tenant
from requests_app.models.outbox import MAIL
from requests_app.work.processes import tree
from tests.cast import Cast

TENANTS, EACH, PROVIDERS = 50, 5, 50
CLIENTS = 40
#: Seconds between two pages of a client.
PACE = 2.0
LIVES, ENTRIES = 20, 500
#: How many engineers get a mail about a new ticket, because they are in the queue of its service.
IN_QUEUE = 10
PAGES = ("/", "/access-requests/", "/tickets/")
#: A word of each part's command line.
PARTS = {"web": "granian", "clusters": "cluster", "beat": "beat"}


@dataclass
class Found:
    """How long each page took, and how many were not answered with 200."""

    seconds: list[float]
    failed: int = 0


def run(cast: Cast, seconds: int, bar: Any) -> tuple[list[Result], list[str]]:
    """Return the times of the pages, and lines about memory, processor time and disk."""
    keys.create()
    persons = people(cast)
    ticking = bar.add_task("sizing", total=4)
    notes = [_growth("access request, from the ticket to the end of its window", LIVES, lambda: _lives(cast))]
    notes[0] += f" {_mails() / LIVES:.0f} mails were sent for each."
    bar.advance(ticking)
    notes.append(_growth("decision with its entry", ENTRIES, lambda: _decisions(cast)))
    bar.advance(ticking)
    cookies = [cookie(person) for person in persons[:CLIENTS]]
    with product.running(whole=True, EMAIL_URL="dummymail://") as running:
        time.sleep(20)
        notes.append(_used("nobody uses it", running, lambda: time.sleep(max(20, seconds))))
        bar.advance(ticking)
        found = Found([])
        begun = time.perf_counter()
        use = partial(load, running.port, cookies, max(30, seconds * 4), found)
        notes.append(_used(f"{CLIENTS} people open a page every {PACE:g} s each", running, use))
        wall = time.perf_counter() - begun
        bar.advance(ticking)
    if found.failed:
        notes.append(f"{found.failed} pages were not answered with 200.")
    return [Result(f"pages of {CLIENTS} people at once", found.seconds, wall, "≤ 500 ms")], notes


def people(cast: Cast) -> list[Person]:
    """Write the tenants and their people. Return those who open pages: approvers of customers, then engineers."""
    at = clock.now()
    plan = cast.contoso.plan
    tenants = Tenant.objects.bulk_create(
        Tenant(name=f"Customer {n}", slug=f"customer-{n}", plan=plan, lockbox_on=True, created_at=at)
        for n in range(TENANTS)
    )
    rows = Person.objects.bulk_create(
        Person(
            email=f"person-{n}@{'provider' if n < PROVIDERS else 'customer'}.example",
            name=f"Person {n}",
            side="provider" if n < PROVIDERS else "customer",
            password="!",
            created_at=at,
            email_verified_at=at,
            totp_set_up_at=at,
        )
        for n in range(PROVIDERS + TENANTS * EACH)
    )
    engineers, customers = rows[:PROVIDERS], rows[PROVIDERS:]
    roles = ("approver", "approver", "administrator", "auditor", "member")
    Membership.objects.bulk_create(
        Membership(tenant=tenants[n // EACH], person=person, role=roles[n % EACH], given_at=at)
        for n, person in enumerate(customers)
    )
    QueueAssignment.objects.bulk_create(
        QueueAssignment(
            service=cast.exchange if n < IN_QUEUE else cast.sharepoint, person=person, role="engineer", given_at=at
        )
        for n, person in enumerate(engineers)
    )
    return [*customers[::EACH][: CLIENTS - 10], *engineers[:10]]


# --- Disk ---------------------------------------------------------------------------------------------------


def _growth(name: str, count: int, act: Callable[[], None]) -> str:
    before = _bytes()
    act()
    while signing_round.work(clock.now, limit=500).signed:
        pass
    return f"{(_bytes() - before) / count / 1000:,.1f} kB of the database for each {name} (of {count:,})."


def _bytes() -> int:
    """Return the size of the database, without space that it can use again."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM FULL")
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
        cursor.execute("SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM "
                       "pragma_freelist_count), (SELECT page_size FROM pragma_page_size)")  # fmt: skip
        pages, size = cursor.fetchone()
        return int(pages) * int(size)


def _mails() -> int:
    return OutboxMessage.objects.filter(lane=MAIL, rendered__isnull=False).count()


def _lives(cast: Cast) -> None:
    """Take access requests through all states, with ten items read in each window, and deliver their mails."""
    for _ in range(LIVES):
        grant = cast.opened(ticket=cast.ticket())
        for number in range(10):
            _read(cast, grant, f"{number}.mail")
        operations.release(grant.access_request_id, actor=cast.as_("priya"))
        while tasks.drain_outbox():
            pass


def _read(cast: Cast, grant: Any, item: str) -> None:
    _access, _item, stream = operations.content.open_item(grant.pk, cast.resource().pk, item, actor=cast.as_("priya"))
    with stream:
        for _chunk in stream.chunks:
            pass


def _decisions(cast: Cast) -> None:
    grant = cast.opened(ticket=cast.ticket())
    for number in range(ENTRIES):
        _read(cast, grant, f"{number % 200}.mail")


# --- Load ---------------------------------------------------------------------------------------------------


def cookie(person: Person) -> str:
    client = Client()
    client.force_login(person)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def load(port: int, cookies: list[str], seconds: int, found: Found, *, pace: float = PACE) -> None:
    until, lock = time.monotonic() + seconds, threading.Lock()

    def use(number: int) -> None:
        calls = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        time.sleep(pace * number / len(cookies))
        turn = number
        while time.monotonic() < until:
            started = time.perf_counter()
            calls.request(
                "GET", PAGES[turn % len(PAGES)], headers={"Cookie": cookies[number], "Host": f"localhost:{port}"}
            )
            answer = calls.getresponse()
            answer.read()
            took = time.perf_counter() - started
            with lock:
                found.seconds.append(took)
                found.failed += answer.status != 200
            turn += 1
            time.sleep(max(0.0, pace - took))

    with ThreadPoolExecutor(len(cookies)) as pool:
        list(pool.map(use, range(len(cookies))))


# --- Parts --------------------------------------------------------------------------------------------------


@dataclass
class Part:
    """All processes of one part of the product."""

    processes: int = 0
    memory: int = 0
    seconds: float = 0.0


def parts(running: product.Product) -> dict[str, Part]:
    """Return what each part of the running product uses now."""
    found: dict[str, Part] = {}
    leaders = [int(pid) for pid in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()]
    for leader, pids in [(running.pid, [running.pid]), *((leader, tree(leader)) for leader in leaders)]:
        try:
            words = Path(f"/proc/{leader}/cmdline").read_text().split("\0")
        except FileNotFoundError:
            continue
        name = next((name for name, word in PARTS.items() if word in words), "supervisor")
        part = found.setdefault(name, Part())
        part.processes += len(pids)
        part.seconds += product.used(*pids)
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                part.memory += measure.memory_of(pid)
    return found


def _used(when: str, running: product.Product, act: Callable[[], None]) -> str:
    before, of_database, begun = parts(running), running.used()[1], time.perf_counter()
    act()
    wall = time.perf_counter() - begun
    after = parts(running)
    lines = [
        f"{name}: {part.processes} processes, {part.memory / 1e6:,.0f} MB, "
        f"{(part.seconds - before[name].seconds) / wall:.3f} cores"
        for name, part in after.items()
    ]
    if more := running.used()[1] - of_database:
        lines.append(f"database: {more / wall:.3f} cores")
    return f"While {when}: {'; '.join(lines)}."
