"""`manage.py createsuperuser`: Django's own, which asks for nothing while the tables are missing."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from requests_app.management._fitness import require_migrated


class Command(createsuperuser.Command):
    # This only prints a notice and continues.
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> str | None:
        require_migrated()
        return super().handle(*args, **options)
