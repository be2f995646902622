"""`manage.py drain_outbox`: drain the outbox once, without a worker."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from requests_app import tasks
from requests_app.work import outbox


class Command(BaseCommand):
    help = "Deliver now the messages that are due. No worker is needed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--failed",
            action="store_true",
            help="also the mails that failed and wait for their next attempt, for example when the mail server is back",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["failed"]:
            outbox.retry_now()
        self.stdout.write(_("Delivered: %(count)d.") % {"count": tasks.drain_outbox() or 0})
