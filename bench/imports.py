"""`python -m bench.imports`: measure the import of many tenants, on the database of DATABASE_URL or on SQLite.

It prints the time of each step, and the longest time for which one transaction held a lock.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

SERVICE = "imported-mail"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.imports", description=__doc__)
    parser.add_argument("--tenants", type=int, default=500)
    parser.add_argument("--resources", type=int, default=40, help="of each tenant")
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="lockbox-bench-")
    os.environ["LOG_LEVEL"] = "ERROR"
    import django

    django.setup()
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    from bench.measure import machine

    setup_test_environment()
    print(machine())
    totals = []
    for _ in range(arguments.times):
        databases = setup_databases(verbosity=0, interactive=False)
        totals.append(_measure(arguments.tenants, arguments.resources))
        teardown_databases(databases, verbosity=0)
    print(f"median of {len(totals)}: {statistics.median(totals):.1f} s")


def csv_of(tenants: int, resources: int, *, begin: int = 0) -> bytes:
    """Return a file with new tenants, each with new resources."""
    return "\n".join(_lines(tenants, resources, begin)).encode()


def _lines(tenants: int, resources: int, begin: int) -> Iterator[str]:
    yield "tenant,tenant_name,plan,time_zone,service,external_id,kind,name,locator"
    for tenant in range(begin, begin + tenants):
        slug = f"tenant-{tenant:04}"
        for number in range(resources):
            mail = f"mail-{number:05}"
            yield (
                f"{slug},Tenant {tenant},Bench,Europe/Berlin,{SERVICE},{slug}/{mail},mailbox,"
                f"{mail}@{slug}.example,{slug}/{mail}"
            )


def _measure(tenants: int, resources: int) -> float:
    from django.db import connection

    from audit_app.models import AuditEntry
    from requests_app import operations
    from requests_app.management._logs import actor
    from requests_app.models import Plan, Resource, Service
    from requests_app.platform import csv_files

    Plan.objects.create(name="Bench")
    Service.objects.create(key=SERVICE, name="Imported mail", connector="maildir")
    data, system, batches = csv_of(tenants, resources), actor("import"), []
    began = time.perf_counter()
    source = csv_files.source(data, file_name="bench.csv")
    read = time.perf_counter()
    row: Any = operations.start_import(source, actor=system)
    stored = last = time.perf_counter()

    def after(_row: object) -> bool:
        nonlocal last
        batches.append(time.perf_counter() - last)
        last = time.perf_counter()
        return True

    operations.run_import(row.pk, actor=system, after=after)
    ended = time.perf_counter()
    assert Resource.objects.count() == tenants * resources
    assert AuditEntry.objects.count() == tenants * (resources + 1) + 2
    total = ended - began
    print(
        f"{connection.vendor}: {tenants * resources} rows in {total:.1f} s ({tenants * resources / total:.0f}/s): "
        f"read {read - began:.2f} s, check and store {stored - read:.2f} s, write {ended - stored:.2f} s, "
        f"longest batch {max(batches):.3f} s"
    )
    return total


if __name__ == "__main__":
    main()
