"""`manage.py tombstone TENANT --because "…"`: close a log that can't be signed any more, and begin its next shard."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from audit_app import checkpoints
from requests_app import operations
from requests_app.domain.errors import DomainError
from requests_app.management._ending import refused
from requests_app.management._logs import actor, log_of


class Command(BaseCommand):
    help = "Close a damaged log with an entry that says so, and start its next shard. Nothing is deleted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "tenant", metavar="TENANT", help="the tenant's short name or id; provider. for the provider's own log"
        )
        parser.add_argument("--because", required=True, metavar="WORDS", help="what happened; it is written to the log")

    def handle(self, *args: Any, **options: Any) -> None:
        log = log_of(options["tenant"])
        try:
            operations.tombstone(log.id, comment=options["because"], actor=actor("tombstone"))
        except DomainError as refusal:
            raise refused(refusal) from refusal
        state = checkpoints.state(log.id)
        closed = state.closed[-1]
        words = _("%(name)s: closed %(old)s; the log continues as %(new)s, from entry %(seq)d on.")
        old = checkpoints.origin_of(log.id, closed.shard)
        self.stdout.write(words % {"name": log.name, "old": old, "new": state.origin, "seq": state.first_seq})
