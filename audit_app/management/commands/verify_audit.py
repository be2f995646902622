"""`manage.py verify_audit`: recompute every log, or one tenant's; exit 0 good, 1 bad."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from audit_app import queries
from audit_app.verify import verify


class Command(BaseCommand):
    help = "Recompute sequence and hashes of the logs, and name the first entry that is not as it was written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", type=UUID, help="only this tenant's log (its id)")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = queries.logs()
        if options["tenant"] is not None:
            if options["tenant"] not in tenants:
                raise CommandError("This tenant has no log.", returncode=2)
            tenants = [options["tenant"]]
        bad = 0
        with Progress(console=Console(file=sys.stderr), transient=True) as bar:
            for tenant in tenants:
                task = bar.add_task(str(tenant), total=queries.size(tenant) or 1)
                verdict = verify(tenant, progress=lambda done, task=task: bar.update(task, completed=done))  # type: ignore[misc]  # the default binds the loop's task
                bar.remove_task(task)
                bad += not verdict.is_good
                state = "good" if verdict.is_good else f"BAD  {verdict.flaw}"
                self.stdout.write(f"{tenant}  {verdict.size:>9} entries  {state}")
        self.stdout.write(f"{len(tenants)} logs, {bad} bad")
        if bad:
            sys.exit(1)
