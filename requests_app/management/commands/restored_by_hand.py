"""`manage.py restored_by_hand --taken-at TIME`: after the database was set back without the command `restore`."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain.errors import DomainError
from requests_app.management._ending import refused


class Command(BaseCommand):
    help = (
        "Close everything after the database was set back without “restore”, for example by pg_restore or a snapshot. "
        "It does what “restore” does: windows, waiting access requests, sessions and tokens end, and people must "
        "confirm what came back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--taken-at", type=_time, required=True, metavar="TIME",
            help="when the copy of the database was made, in UTC: 2026-12-01T01:30",
        )  # fmt: skip
        parser.add_argument(
            "--certain", action="store_true", help="also if no signed head shows that the database was set back"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            row = operations.restored_by_hand(taken_at=options["taken_at"], is_certain=options["certain"])
        except DomainError as refusal:
            raise refused(refusal) from refusal
        words = _(
            "Restored from a copy of %(taken)s: everything is closed. No window opens before people have confirmed "
            "what came back. They get a mail."
        )
        self.stdout.write(words % {"taken": f"{row.taken_at:%Y-%m-%d %H:%M:%S} UTC"})


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(_("%(text)r is no time: write 2026-12-01T01:30.") % {"text": text}) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
