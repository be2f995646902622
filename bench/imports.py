"""`python -m bench.imports`: measure the import of many tenants, on the database of DATABASE_URL or on SQLite.

With `--world`, the rows come from a YAML file, as `apply` reads it, and not from a CSV file. It prints the time of each
step, and the longest time for which one transaction held a lock. With `--clients`, a whole installation serves so many
people meanwhile, and the longest wait of one of them is what matters.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

SERVICE = "imported-mail"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.imports", description=__doc__)
    parser.add_argument("--tenants", type=int, default=500)
    parser.add_argument("--resources", type=int, default=40, help="of each tenant")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--world", action="store_true", help="read a YAML file, as “apply” does")
    parser.add_argument("--held", action="store_true", help="rename all resources of tenants that have Lockbox on")
    parser.add_argument("--clients", type=int, default=0, help="so many people act over HTTP meanwhile")
    parser.add_argument(
        "--pace", type=float, default=2.0, help="how long each of them waits between two acts, in seconds"
    )
    arguments = parser.parse_args()
    if arguments.clients:
        from bench import crowd

        steps = (crowd.held if arguments.held else crowd.plain)(arguments.tenants, arguments.resources)
        database = "postgres" if os.environ.get("DATABASE_URL") else "sqlite"
        crowd.measure(steps, clients=arguments.clients, pace=arguments.pace, database=database)
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="lockbox-bench-")
    os.environ["LOG_LEVEL"] = "ERROR"
    import django

    django.setup()
    from django.db import connection
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    from bench import held
    from bench.measure import machine

    setup_test_environment()
    print(machine())
    totals = []
    # In a file and not in memory, so that a second connection waits for the first as in a real installation.
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = os.environ["DATA_DIR"] + "/bench.sqlite3"
    measure: Callable[[int, int], float] = (
        held.measure if arguments.held else partial(_measure, is_world=arguments.world)
    )
    for _ in range(arguments.times):
        databases = setup_databases(verbosity=0, interactive=False)
        totals.append(measure(arguments.tenants, arguments.resources))
        teardown_databases(databases, verbosity=0)
    print(f"median of {len(totals)}: {statistics.median(totals):.1f} s")


def csv_of(tenants: int, resources: int, *, begin: int = 0, plan: str = "Bench", service: str = SERVICE) -> bytes:
    """Return a file with new tenants, each with new resources."""
    return "\n".join(_lines(tenants, resources, begin, plan, service)).encode()


def _lines(tenants: int, resources: int, begin: int, plan: str, service: str) -> Iterator[str]:
    yield "tenant,tenant_name,plan,time_zone,service,external_id,kind,name,locator"
    for tenant in range(begin, begin + tenants):
        slug = f"tenant-{tenant:04}"
        for number in range(resources):
            mail = f"mail-{number:05}"
            yield (
                f"{slug},Tenant No. {tenant},{plan},Europe/Berlin,{service},{slug}/{mail},mailbox,"
                f"{mail}@{slug}.example,{slug}/{mail}"
            )


def world_of(tenants: int, resources: int) -> bytes:
    """Return the same rows as a YAML file, with the plan and the service."""
    import yaml

    found: dict[str, dict[str, Any]] = {}
    rows = iter(csv_of(tenants, resources).decode().splitlines())
    names = next(rows).split(",")
    for line in rows:
        cells = dict(zip(names, line.split(","), strict=True))
        slug = cells.pop("tenant")
        of = {"name": cells.pop("tenant_name"), "plan": cells.pop("plan"), "time_zone": cells.pop("time_zone")}
        found.setdefault(slug, {"short_name": slug, **of, "resources": []})["resources"].append(cells)
    plan = {"name": "Bench", "includes_lockbox": False}
    service = {"key": SERVICE, "name": "Imported mail", "connector": "maildir"}
    world = {"version": 1, "plans": [plan], "services": [service], "tenants": list(found.values())}
    return yaml.safe_dump(world, sort_keys=False).encode()


def _measure(tenants: int, resources: int, *, is_world: bool = False) -> float:
    from django.db import connection

    from audit_app.models import AuditEntry
    from requests_app import operations
    from requests_app.management._logs import actor
    from requests_app.models import Plan, Resource, Service
    from requests_app.platform import csv_files, world_files

    Plan.objects.create(name="Bench", includes_lockbox=False)
    Service.objects.create(key=SERVICE, name="Imported mail", connector="maildir")
    system, batches = actor("import"), []
    data = world_of(tenants, resources) if is_world else csv_of(tenants, resources)
    began = time.perf_counter()
    if is_world:
        source = world_files.loaded(data, file_name="bench.yaml").source
    else:
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
