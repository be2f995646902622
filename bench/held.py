"""Measures an import whose rows all need a second person, while somebody else acts. `bench.imports --held` runs it.

Each step is measured as the worker makes it. Meanwhile a second connection changes one tenant after the other, and its
longest wait is what matters: nobody may wait longer than a second.
"""

from __future__ import annotations

import datetime as dt
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

#: How long the second connection pauses between two acts.
PAUSE = 0.02


@dataclass
class Bystander:
    """Somebody who changes tenants one after the other, with a connection of their own."""

    actor: Any
    waits: list[float] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def act(self) -> None:
        from django.db import connections

        from requests_app import operations
        from requests_app.models import Tenant

        tenants = list(Tenant.objects.order_by("slug").values_list("pk", flat=True))
        zones = itertools.cycle(["Europe/Oslo"] * len(tenants) + ["Europe/Berlin"] * len(tenants))
        try:
            for tenant, zone in zip(itertools.cycle(tenants), zones, strict=False):
                if self.is_over.wait(PAUSE):
                    return
                began = time.perf_counter()
                try:
                    operations.change_tenant(tenant, time_zone=zone, actor=self.actor)
                except Exception as failure:
                    self.failures.append(failure)
                self.waits.append(time.perf_counter() - began)
        finally:
            connections.close_all()


@contextmanager
def beside(actor: Any) -> Iterator[Bystander]:
    """Let somebody else act during this block."""
    bystander = Bystander(actor)
    thread = threading.Thread(target=bystander.act)
    thread.start()
    try:
        yield bystander
    finally:
        bystander.is_over.set()
        thread.join()


def measure(tenants: int, resources: int) -> float:
    """Rename all resources of tenants that have Lockbox on, until the new names take effect. Return the seconds."""
    from requests_app import operations
    from requests_app.management._logs import actor
    from requests_app.models import HeldRow, Proposal, Resource
    from requests_app.models.people import actor_of

    stella, sten = protected(tenants, resources)
    system, total = actor("import"), 0.0
    row: Any = operations.start_import(renamed(tenants, resources), actor=stella)
    with beside(actor_of(sten, door="admin")) as bystander:
        steps = _steps(lambda after: operations.run_import(row.pk, actor=system, after=after))
    total += _report(f"write, propose and announce {HeldRow.objects.count()} rows", steps, bystander)
    proposal = Proposal.objects.get()
    from requests_app.domain import clock

    second = actor_of(sten, door="admin", stepped_up_at=clock.now())
    with beside(actor_of(sten, door="admin")) as bystander:
        began = time.perf_counter()
        operations.confirm_proposal(proposal.pk, actor=second)
        steps = [time.perf_counter() - began]
    total += _report("confirm", steps, bystander)
    # The waiting time is over.
    Proposal.objects.update(effective_at=clock.now())
    with beside(actor_of(sten, door="admin")) as bystander:
        steps = applied(proposal)
    total += _report("apply", steps, bystander)
    assert Resource.objects.filter(name__startswith="renamed-").count() == tenants * resources
    return total


def protected(tenants: int, resources: int) -> tuple[Any, Any]:
    """Make tenants with Lockbox on, and two members of the staff. Return the first as an actor, and the second."""
    from bench.imports import SERVICE, csv_of
    from requests_app import operations
    from requests_app.domain import clock
    from requests_app.management._logs import actor
    from requests_app.models import Person, Plan, Service, StaffTerm, Tenant
    from requests_app.models.people import actor_of
    from requests_app.platform import csv_files

    now, people = clock.now(), []
    Plan.objects.create(name="Bench", includes_lockbox=True)
    Service.objects.create(key=SERVICE, name="Imported mail", connector="maildir")
    source = csv_files.source(csv_of(tenants, resources), file_name="new.csv")
    row: Any = operations.start_import(source, actor=actor("import"))
    operations.run_import(row.pk, actor=actor("import"))
    Tenant.objects.update(lockbox_on=True, lockbox_first_on_at=now)
    for name in ("stella", "sten"):
        person = Person(email=f"{name}@example.com", name=name, side="provider", is_staff=True, time_zone="UTC")
        person.created_at = person.email_verified_at = now
        person.save(force_insert=True)
        StaffTerm.begin(person, at=now - dt.timedelta(days=30))
        people.append(person)
    return actor_of(people[0], door="admin", stepped_up_at=now), people[1]


def renamed(tenants: int, resources: int) -> Any:
    """Return the file with another name for each resource."""
    from bench.imports import csv_of
    from requests_app.platform import csv_files

    return csv_files.source(renamed_rows(csv_of(tenants, resources)), file_name="renamed.csv")


def renamed_rows(data: bytes) -> bytes:
    return data.replace(b",mailbox,", b",mailbox,renamed-")


def applied(proposal: Any) -> list[float]:
    """Let a sweep apply a proposal. Return the seconds of each step, with the rest after it."""
    from requests_app import operations
    from requests_app.management._logs import actor

    marks: list[float] = []

    def is_over() -> bool:
        marks.append(time.perf_counter())
        return False

    operations.apply_due(actor=actor("sweep"), limit=1, is_over=is_over)
    marks.append(time.perf_counter())
    proposal.refresh_from_db()
    assert proposal.outcome == "applied"
    return [end - begin for begin, end in itertools.pairwise(marks)]


def _steps(run: Callable[[Callable[[object], bool]], object]) -> list[float]:
    """Return the seconds of each step of an import. The last step is the one that finds nothing left."""
    marks = [time.perf_counter()]

    def after(_row: object) -> bool:
        marks.append(time.perf_counter())
        return True

    run(after)
    marks.append(time.perf_counter())
    return [end - begin for begin, end in itertools.pairwise(marks)]


def _report(what: str, steps: list[float], bystander: Bystander) -> float:
    waits = sorted(bystander.waits, reverse=True)
    print(
        f"{what}: {sum(steps):.1f} s, {len(steps)} steps, longest {max(steps):.3f} s; meanwhile {len(waits)} acts of "
        f"another person, longest {waits[0]:.3f} s, failed {len(bystander.failures)} {bystander.failures[:1] or ''}"
    )
    return sum(steps)
