"""`manage.py export`: print what is set up as a file for `apply`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from requests_app.platform import world_files
from requests_app.queries import world


class Command(BaseCommand):
    help = "Print plans, services, people, tenants and resources as a file for “apply”."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(world_files.dumped(world.exported()), ending="")
