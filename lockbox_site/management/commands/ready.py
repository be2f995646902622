"""`manage.py ready [--part web|worker|beat|signer]`: prints the result of /readyz, on machines that serve no pages."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from lockbox_site.readiness import ALL, PARTS, is_fit, run_checks
from requests_app.platform.database import bounds


class Command(BaseCommand):
    help = (
        "Print whether one part or all parts are ready; exit with 0 if so, otherwise with 1. For probes where no "
        "page is served."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--part", choices=sorted(PARTS), help="only what this part needs (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        part = options["part"]
        # Without these limits, a database that does not answer would block this command for as long.
        with bounds.within(bounds.probe()):
            checks = run_checks(ALL if part is None else PARTS[part])
        for name, check in checks.items():
            numbers = ", ".join(f"{key} {value}" for key, value in check.items() if key not in ("ok", "detail"))
            words = " ".join(filter(None, [str(check.get("detail", "")), f"({numbers})" if numbers else ""]))
            self.stdout.write(f"{name:<10} {'ok' if check['ok'] else 'NOT OK':<6} {words}".rstrip())
        if not is_fit(checks):
            sys.exit(1)
