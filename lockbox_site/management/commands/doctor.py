"""`customer-lockbox doctor`: examine the installation, and say what to do about each thing that is wrong."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lockbox_site.doctor import running
from lockbox_site.doctor.findings import examine


class Command(BaseCommand):
    help = (
        "Examine settings, files, database, clock, keys, background work, address and mail. It says what to do for "
        "each, and changes nothing. Exit status: 0 if all is well, 1 after a warning, 2 after a problem. What "
        "nobody can tell from here is “unknown”, and does not count."
    )
    # The doctor runs these checks itself, and continues after an error.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")
        parser.add_argument("--mail-to", default="", metavar="ADDRESS", help="also send a test mail to this address")

    def handle(self, *args: Any, **options: Any) -> None:
        announce = (lambda _: None) if options["json"] else running.announced
        found = examine(running.checks(mail_to=options["mail_to"]), announce=announce)
        if status := running.report(found, sys.stdout, as_json=options["json"]):
            sys.exit(status)
