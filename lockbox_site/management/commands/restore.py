"""`manage.py restore FILE`: restore a backup into an empty place.

`customer-lockbox` and `manage.py` call lockbox_site.backup.restoring before they read settings, because the settings
are in the backup. This command is for a process that has read its settings already.
"""

from __future__ import annotations

import argparse
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from lockbox_site.backup import restoring


class Command(BaseCommand):
    help = "Restore a backup into a place where there is no installation. It overwrites nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        restoring.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        status = restoring.run_given(argparse.Namespace(**options), data=settings.DATA_DIR, program="manage.py")
        if status:
            raise CommandError("Nothing was restored.", returncode=status)
