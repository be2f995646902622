"""`manage.py sync_schedules`: make django-q2's schedules agree with the schedules that the code declares."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from requests_app.domain import clock
from requests_app.work import schedules


class Command(BaseCommand):
    help = "Add, repair and remove schedules until they are exactly the declared ones."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="only print what differs; exit with 1 if anything differs"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        lines = schedules.faults(clock.now()) if options["check"] else schedules.sync(clock.now())
        for line in lines:
            self.stdout.write(line)
        if options["check"] and lines:
            raise SystemExit(1)
