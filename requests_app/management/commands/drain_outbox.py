"""`manage.py drain_outbox`: drain the outbox once, without a worker."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from requests_app import tasks


class Command(BaseCommand):
    help = "Deliver now the messages that are due. No worker is needed."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(_("Delivered: %(count)d.") % {"count": tasks.drain_outbox() or 0})
