"""Measure the search of one log by words: its index, and pages of entries with frequent, rare and absent words."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction

from audit_app import recorder, search_index
from audit_app.models import AuditEntry, IndexPart
from audit_app.queries import Filter
from bench.entries import AT
from bench.measure import Result, of_session
from requests_app.queries import log as queries
from requests_app.queries.log import Log, LogCursor
from requests_app.queries.log_search import Search

_BATCH = 2_000
_ROUNDS = 9
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_TEXT_FIRST = "Priya Erik Olga Sven Mia Otto Ines Chen Maria José Zoë Ahmed Yuki Lars Nadia Tom"
_FIRST = _TEXT_FIRST.split()
_TEXT_LAST = "Nair Berg Ivanova Lund Keller Brandt Santos Wei García Müller Khan Tanaka Olsen Petrov Smith"
_LAST = _TEXT_LAST.split()
_TEXT_WORDS = (
    "the mailbox user cannot open invoices since update error outlook sync folder missing attachment legal "
    "finance rule delivery failed calendar shared permission report quarter server time please check restore "
    "deleted message phone customer called again problem solved waiting answer from department access needed to "
    "see headers of mail only"
)
_WORDS = _TEXT_WORDS.split()
_NAMES = [f"{first} {last}" for first in _FIRST for last in _LAST]
#: The shares of the events, and how many entries in a row are about one access request.
_EVENTS = (
    ("content.access_allowed", 0.45),
    ("access_request.submitted", 0.75),
    ("ticket.commented", 0.9),
    ("act.refused", 1),
)
_ABOUT_ONE = 6


def make(count: int, bar: Any) -> dict[str, Any]:
    """Write a log and its search index. Return its tenant, and what the index needs."""
    tenant = uuid4()
    _write(tenant, count, bar)
    return {"tenant": str(tenant), "notes": _index(tenant, count)}


def run(named: str, count: int, bar: Any) -> tuple[list[Result], list[str]]:
    """Search the log of this tenant, which has so many entries."""
    tenant, results = UUID(named), list[Result]()
    newest = AuditEntry.objects.filter(tenant_id=tenant).order_by("-seq")
    about = newest.filter(event="access_request.submitted")[0]
    reference = about.text.split()[0]
    searches = {
        "no search": Search(),
        "a word in every second entry": Search(words="mailbox"),
        "a word in a tenth": Search(words="invoices"),
        "two words": Search(words="legal quarter"),
        "a reference": Search(words=reference),
        "an old reference": Search(words=_old(tenant, count)),
        "part of a word": Search(words="voice"),
        "two letters": Search(words="zq"),
        "one letter": Search(words="e"),
        "an address": Search(words="10.2.77.14"),
        "an absent word": Search(words="nowhere"),
        "absent, made of frequent parts": Search(words="mailboxinvoices"),
        "a frequent word with a rare event": Search(words="mailbox", wanted=Filter(event="tenant.created")),
        "a frequent word of one event": Search(words="mailbox", wanted=Filter(event="act.refused")),
        "a frequent word of one access request": Search(
            words="mailbox", wanted=Filter(correlation_id=about.correlation_id)
        ),
        "a frequent word on one day": Search(words="mailbox", wanted=Filter(since=AT, until=AT + dt.timedelta(days=1))),
        "a person": Search(person="priya nair"),
        "an absent person": Search(person="nobody"),
        "a person and a word": Search(person="priya", words="legal"),
    }
    ticking = bar.add_task("searches", total=len(searches))
    for name, search in searches.items():
        bar.advance(ticking)
        for where, before in (("newest page", None), ("half way down", count // 2)):
            results.append(_pages(f"{name}, {where}", Log(tenant), search, before, count))
    return results, []


def _old(tenant: UUID, count: int) -> str:
    rows = AuditEntry.objects.filter(tenant_id=tenant, event="access_request.submitted", seq__gte=count // 50)
    return rows.order_by("seq")[0].text.split()[0]


def _pages(name: str, log: Log, search: Search, before: int | None, count: int) -> Result:
    """Search several times. The first time is a separate figure: the index may not be in memory yet."""

    def once() -> tuple[float, queries.Page]:
        started = time.perf_counter()
        found = queries.page(log, search, LogCursor(before=before), size=count)
        return time.perf_counter() - started, found

    first, page = once()
    begun, busy = time.perf_counter(), _busy()
    seconds = [once()[0] for _ in range(_ROUNDS)]
    wall = time.perf_counter() - begun
    spent = [(after - before) / _ROUNDS * 1000 for before, after in zip(busy, _busy(), strict=True)]
    used = " + ".join(f"{each:.1f}" for each in spent)
    reached = f", stops at {page.searched_to:,}" if page.searched_to is not None else ""
    called = f"{name}: {len(page.entries)} entries, {used} ms CPU{reached}"
    return Result(called, seconds, wall, "p95 ≤ 50 ms", numbers={"busy": sum(spent), "first": first * 1000})


def _busy() -> list[float]:
    """Return the processor time of this process, and of PostgreSQL's process for this connection."""
    return [time.process_time(), *([of_session()] if connection.vendor == "postgresql" else [])]


def _index(tenant: UUID, count: int) -> list[str]:
    busy = _busy()
    search_index.work(lambda: False, tenant_id=tenant)
    used = (sum(_busy()) - sum(busy)) / count * 1e6
    notes = [f"search index: {used:.0f} µs of processor time for each entry, when it was made"]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # On SQLite, the product makes no statistics. With them, the plans are others.
            cursor.execute("ANALYZE")
        for model in (AuditEntry, IndexPart) if connection.vendor == "postgresql" else ():
            cursor.execute("SELECT pg_total_relation_size(%s)", [model._meta.db_table])
            notes.append(f"{model._meta.db_table}: {cursor.fetchone()[0] / count:.0f} bytes for each entry")
    return notes


def _write(tenant: UUID, count: int, bar: Any) -> None:
    ticking = bar.add_task("writing a log", total=count)
    made = _entries(tenant)
    for first in range(0, count, _BATCH):
        at = AT + dt.timedelta(seconds=first)
        with transaction.atomic():
            recorder.record([next(made) for _ in range(min(_BATCH, count - first))], at=at)
        bar.advance(ticking, _BATCH)


def _entries(tenant: UUID) -> Iterator[recorder.Witnessed]:
    """Yield entries whose texts are spread as in a real log: names, resources, references, comments, addresses."""
    dice = random.Random(17)
    people = {name: str(UUID(int=number)) for number, name in enumerate(_NAMES, 100)}
    resources = [f"Mailbox of {dice.choice(_NAMES)}" for _ in range(300)]
    resources += [f"contoso/sites/{dice.choice(_WORDS)}/{dice.choice(_WORDS)}" for _ in range(200)]
    number, reference, about = 0, "", UUID(int=0)
    while True:
        if number % _ABOUT_ONE == 0:
            made = "".join(dice.choice(_LETTERS) for _ in range(8))
            reference, about = f"AR-{made[:4]}-{made[4:]}", UUID(int=1_000_000 + number)
        who, chance = dice.choice(_NAMES[:60]), dice.random()
        event = next(event for event, share in _EVENTS if chance < share)
        yield recorder.Witnessed(
            tenant_id=tenant,
            event=event,
            door="pages",
            actor={"kind": "person", "id": people[who], "name": who, "side": "provider", "email": ""},
            subject_type="grant",
            subject_id=str(about),
            correlation_id=about if event != "act.refused" else None,
            detail={"reference": reference, "title": "A message of this mailbox", "bytes": 12_345, "item": f"{number}"},
            text=_text(event, reference, dice, resources),
        )
        number += 1


def _text(event: str, reference: str, dice: random.Random, resources: list[str]) -> str:
    if event == "content.access_allowed":
        return f"{dice.choice(resources)} {dice.choice(_NAMES)} message-{dice.randrange(10**7)}"
    if event == "access_request.submitted":
        return f"{reference} {dice.choice(resources)}"
    if event == "act.refused":
        address = ".".join(str(dice.randrange(top)) for top in (4, 256, 256))
        return f"open outside_scope u{dice.randrange(5000)}@contoso.example 10.{address}"
    length = dice.randrange(40, 300) if dice.random() < 0.3 else dice.randrange(5, 12)
    return f"{reference} {' '.join(dice.choice(_WORDS) for _ in range(length))}"
