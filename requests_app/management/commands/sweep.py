"""`manage.py sweep`: run the sweep once, without a worker."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from requests_app import tasks


class Command(BaseCommand):
    help = "Record now which access requests have expired and which windows have ended. No worker is needed."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(_("Swept: %(count)d.") % {"count": tasks.sweep() or 0})
