"""`manage.py createsuperuser`: Django's command.

If the database is not up to date, it fails before it asks anything.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from requests_app.management._fitness import require_migrated


class Command(createsuperuser.Command):
    # Django's check of the migrations would only print a notice and continue.
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> str | None:
        require_migrated()
        return super().handle(*args, **options)
