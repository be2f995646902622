"""`manage.py roll_token_keys`: publish new keys for tokens now, without waiting until the present keys are old."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.management._logs import actor
from requests_app.models import TokenKey


class Command(BaseCommand):
    help = (
        "Publish new keys for the tokens that other programs verify. The new keys sign after 24 hours, when every "
        "program has read them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--at-once",
            action="store_true",
            help="a key was stolen: the new keys sign now, and tokens that the present keys signed become invalid",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        operations.roll_token_keys(is_due_only=False, at_once=options["at_once"], actor=actor("roll-token-keys"))
        for row in TokenKey.objects.order_by("alg", "number"):
            line = _("%(alg)s %(kid)s signs from %(from)s on.")
            self.stdout.write(line % {"alg": row.alg, "kid": row.kid, "from": row.signs_from.isoformat()})
