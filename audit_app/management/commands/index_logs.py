"""`manage.py index_logs`: makes what is missing of the logs' search index, or all of it again."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from audit_app import queries, search_index


class Command(BaseCommand):
    help = "Make what is missing of the index with which logs are searched. The workers do the same."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", type=UUID, help="only this tenant's log (its id)")
        parser.add_argument("--again", action="store_true", help="delete the index first, and make all of it again")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = options["tenant"]
        if tenant is not None and tenant not in queries.logs():
            raise CommandError("This tenant has no log.", returncode=2)
        if options["again"]:
            search_index.forget_all(tenant)
        left = {pk: len(search_index.missing(pk)) for pk in search_index.due(tenant_id=tenant)}
        with Progress(console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("search index", total=sum(left.values()))

            def is_over() -> bool:
                """Show the progress. The work is over when nothing is left."""
                bar.advance(task)
                return False

            done = search_index.work(is_over, tenant_id=tenant)
        self.stdout.write(f"{done * search_index.SEGMENT} entries indexed")
