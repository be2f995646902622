"""The process that imports is killed again and again, at random statements. No tenant is half done, no row doubled."""

from __future__ import annotations

import random
import signal
import sys
from collections import Counter

import pytest

from audit_app.models import AuditEntry
from bench.imports import SERVICE, csv_of, world_of
from requests_app import operations
from requests_app.management._logs import actor
from requests_app.models import Import, ImportBatch, Invitation, Plan, Resource, Service, Tenant
from requests_app.platform import csv_files, world_files
from tests.tasks.conftest import Start

pytestmark = [pytest.mark.deep, pytest.mark.real_clock, pytest.mark.timeout(300)]

KILLS, TENANTS, RESOURCES = 20, 100, 10


def whole() -> Counter[int]:
    """Return how many tenants have which number of resources."""
    return Counter(Resource.objects.filter(tenant=tenant).count() for tenant in Tenant.objects.all())


def test_an_import_that_is_killed_twenty_times_becomes_whole(start: Start) -> None:
    Plan.objects.create(name="Bench")
    Service.objects.create(key=SERVICE, name="Imported mail", connector="maildir")
    source = csv_files.source(csv_of(TENANTS, RESOURCES), file_name="resources.csv")
    row = operations.start_import(source, actor=actor("import"))
    assert row is not None
    for _kill in range(KILLS):
        before = ImportBatch.objects.exclude(done_at=None).count()
        running = start(command=[sys.executable, "-m", "tests.tasks.dies", str(random.randint(5, 90))])
        assert running.process.wait(60) == -signal.SIGKILL, running.log
        # Each tenant is there with all its resources, or not at all.
        done = ImportBatch.objects.exclude(done_at=None).count()
        assert whole() == Counter({RESOURCES: done} if done else {})
        assert done - before < 10
    assert 0 < done < TENANTS
    running = start("import", "--resume")
    assert running.process.wait(60) == 0, running.log
    row.refresh_from_db()
    assert row.finished_at is not None
    assert whole() == Counter({RESOURCES: TENANTS})
    assert AuditEntry.objects.filter(event="resource.added").count() == TENANTS * RESOURCES
    assert AuditEntry.objects.filter(event="tenant.created").count() == TENANTS
    assert Import.objects.count() == 1
    assert operations.start_import(source, actor=actor("import")) is None


PEOPLE = 40


def people() -> bytes:
    """Return people who are to be invited, each with two kinds of roles, as a part of a YAML file."""
    roles = f"[{{service: {SERVICE}, role: engineer}}, {{service: {SERVICE}, role: provider_approver}}]"
    lines = (f"- {{email: p{n}@provider.example, name: P{n}, staff: true, roles: {roles}}}" for n in range(PEOPLE))
    return "\n".join(["people:", *lines]).encode()


def test_a_world_that_is_killed_on_the_way_becomes_whole(start: Start) -> None:
    """The plan and the service are there first, then the people, then the tenants. Nobody is half invited."""
    file = world_files.loaded(world_of(20, RESOURCES) + people(), file_name="world.yaml")
    assert not file.source.faults
    row = operations.start_import(file.source, actor=actor("apply"))
    assert row is not None
    deaths = 0
    while deaths < KILLS:
        running = start(command=[sys.executable, "-m", "tests.tasks.dies", str(random.randint(5, 120))])
        if running.process.wait(60) == 0:
            break
        deaths += 1
        invited = Counter(Invitation.objects.values_list("email", flat=True))
        assert set(invited.values()) <= {3}, "a person has all three invitations or none"
        mains = Invitation.objects.filter(beside=None)
        assert mains.count() == len(invited)
        assert (Plan.objects.count(), Service.objects.count()) in {(0, 0), (1, 1)}
        if Tenant.objects.exists():
            assert len(invited) == PEOPLE
    assert deaths > 5
    running = start("import", "--resume")
    assert running.process.wait(120) == 0, running.log
    row.refresh_from_db()
    assert row.finished_at is not None
    assert whole() == Counter({RESOURCES: 20})
    assert Counter(Invitation.objects.values_list("email", flat=True)) == Counter(
        {f"p{n}@provider.example": 3 for n in range(PEOPLE)}
    )
    for event, number in (("plan.changed", 1), ("service.changed", 1), ("invitation.prepared", 3 * PEOPLE)):
        assert AuditEntry.objects.filter(event=event).count() == number, event
    assert operations.start_import(file.source, actor=actor("apply")) is None
