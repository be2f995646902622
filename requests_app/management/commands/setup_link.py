"""`manage.py setup_link`: print a new link with which the first staff member makes an account."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from requests_app.domain.errors import WrongState
from requests_app.management._fitness import require_migrated
from requests_app.management._setup_link import new_setup_link
from requests_app.queries import installation


class Command(BaseCommand):
    help = "Print a new set-up link, for the first staff member. The link before stops working."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--if-needed", action="store_true", help="do nothing if there is a staff member")

    def handle(self, *args: Any, **options: Any) -> None:
        require_migrated()
        if options["if_needed"] and installation.has_staff():
            return
        try:
            words, link = new_setup_link()
        except WrongState as refusal:
            self.stderr.write(str(refusal))
            raise SystemExit(2) from refusal
        self.stderr.write(words)
        self.stdout.write(link)
