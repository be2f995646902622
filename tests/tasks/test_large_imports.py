"""20,000 rows with faults, mended, killed again and again, and applied. And what others wait for meanwhile."""

from __future__ import annotations

import random
import signal
import sys
from collections import Counter

import pytest

from audit_app.models import AuditEntry
from bench import held
from bench.imports import csv_of
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.imports import FaultyFile, Source
from requests_app.management._logs import actor
from requests_app.models import HeldRow, Import, OutboxMessage, Proposal, Resource, Tenant
from requests_app.models.people import actor_of
from requests_app.platform import csv_files
from tests.tasks.conftest import Start

pytestmark = [pytest.mark.deep, pytest.mark.real_clock, pytest.mark.timeout(1200)]

#: The first tenants have Lockbox on, and the file renames their resources.
TENANTS, RESOURCES, PROTECTED = 500, 40, 20
WAITING = PROTECTED * RESOURCES
#: One line in a hundred gets one of these faults: what is replaced in it, and the code of the fault.
FAULTS = [
    (",mailbox,", ",disk,", "not_a_choice"),
    (",imported-mail,", ",nothing,", "unknown_service"),
    (",Bench,", ",No such plan,", "unknown_plan"),
    (",Europe/Berlin,", ",Europe/Nowhere,", "unknown_time_zone"),
    (",mailbox,", ",mailbox,=", "formula"),
]


def lines() -> list[str]:
    """Return the file without faults. It renames the resources of the protected tenants, and adds all others."""
    found = csv_of(TENANTS, RESOURCES).decode().splitlines()
    for number in range(1, WAITING + 1):
        found[number] = found[number].replace(",mailbox,", ",mailbox,renamed-")
    return found


def source_of(rows: list[str]) -> Source:
    return csv_files.source("\n".join(rows).encode(), file_name="resources.csv")


def with_faults(rows: list[str]) -> tuple[list[str], set[int]]:
    """Put a fault into one line in a hundred. Return the lines, and the numbers of those with a fault."""
    found, at = list(rows), set()
    for count, number in enumerate(range(50, len(rows), 100)):
        before, after, _code = FAULTS[count % len(FAULTS)]
        found[number] = rows[number].replace(before, after)
        at.add(number + 1)
    return found, at


def everything() -> list[object]:
    rows = [model.objects.count() for model in (Tenant, Resource, Import, HeldRow, Proposal, OutboxMessage, AuditEntry)]
    return [*rows, sorted(Resource.objects.values_list("external_id", "name"))]


def killed(start: Start, most: int, *what: str) -> bool:
    """Start a process that is killed at one of its next statements. Return whether it was, and did not end before."""
    running = start(command=[sys.executable, "-m", "tests.tasks.dies", str(random.randint(5, most)), *what])
    status = running.process.wait(120)
    assert status in {0, -signal.SIGKILL}, running.log
    return status == -signal.SIGKILL


def test_20000_rows_with_faults_mended_and_killed_become_whole(start: Start) -> None:
    stella, sten = held.protected(PROTECTED, RESOURCES)
    rows, before = lines(), everything()
    faulty, at = with_faults(rows)
    with pytest.raises(FaultyFile) as refused:
        operations.start_import(source_of(faulty), actor=stella)
    assert {fault.line for fault in refused.value.faults} >= at
    assert len(at) == 200
    assert len({fault.code for fault in refused.value.faults if fault.line in at}) >= len(FAULTS)
    assert everything() == before

    row = operations.start_import(source_of(rows), actor=stella)
    assert row is not None
    kills = sum(killed(start, 600) for _kill in range(10))
    assert all(count == RESOURCES for count in whole().values())
    while row.batches.filter(done_at=None).exists():
        operations.run_import(row.pk, actor=actor("import"), after=lambda _row: False)
    assert (Proposal.objects.count(), HeldRow.objects.filter(outcome="").count()) == (0, WAITING)
    kills += sum(killed(start, 60) for _kill in range(5))
    running = start("import", "--resume")
    assert running.process.wait(300) == 0, running.log
    proposal = Proposal.objects.get()
    made = AuditEntry.objects.filter(event="proposal.made")
    # About each row once, and about the import once in each log.
    assert made.count() == WAITING + PROTECTED + 1
    assert OutboxMessage.objects.filter(topic="notify.staff_change").count() == PROTECTED

    second = actor_of(sten, door="admin", stepped_up_at=clock.now())
    operations.confirm_proposal(proposal.pk, actor=second)
    Proposal.objects.update(effective_at=clock.now())
    kills += sum(killed(start, 300, "sweep") for _kill in range(5))
    assert kills >= 20 - 2, "nearly all were killed in the middle"
    operations.apply_due(actor=actor("sweep"), limit=10)
    proposal.refresh_from_db()
    assert proposal.outcome == "applied"
    assert Counter(HeldRow.objects.values_list("outcome", flat=True)) == {"applied": WAITING}
    assert set(whole().values()) == {RESOURCES}
    assert (Tenant.objects.count(), Resource.objects.filter(name__startswith="renamed-").count()) == (TENANTS, WAITING)
    assert AuditEntry.objects.filter(event="resource.added").count() == TENANTS * RESOURCES
    assert AuditEntry.objects.filter(event="resource.changed").count() == WAITING
    before = everything()
    assert operations.start_import(source_of(rows), actor=stella) is None
    assert everything() == before


def whole() -> Counter[str]:
    """Return how many resources each tenant has."""
    return Counter(Resource.objects.values_list("tenant__slug", flat=True))


def test_nobody_waits_longer_than_a_second_for_an_import(start: Start) -> None:
    stella, sten = held.protected(100, 30)
    row = operations.start_import(held.renamed(100, 30), actor=stella)
    assert row is not None
    other, waits = actor_of(sten, door="admin"), list[float]()
    with held.beside(other) as bystander:
        operations.run_import(row.pk, actor=actor("import"))
    waits += bystander.waits
    assert bystander.failures == []
    proposal = Proposal.objects.get()
    operations.confirm_proposal(proposal.pk, actor=actor_of(sten, door="admin", stepped_up_at=clock.now()))
    Proposal.objects.update(effective_at=clock.now())
    with held.beside(other) as bystander:
        held.applied(proposal)
    assert bystander.failures == []
    longest = max(waits + bystander.waits)
    assert longest < 1.0
