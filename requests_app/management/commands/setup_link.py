"""`manage.py setup_link`: print a new link with which the first staff member makes an account."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.errors import WrongState
from requests_app.management._fitness import require_migrated
from requests_app.management._logs import actor
from requests_app.platform import addresses
from requests_app.queries import installation
from requests_app.words.times import duration_words


class Command(BaseCommand):
    help = "Print a new set-up link, for the first staff member. The link before stops working."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--if-needed", action="store_true", help="do nothing if there is a staff member")

    def handle(self, *args: Any, **options: Any) -> None:
        require_migrated()
        if options["if_needed"] and installation.has_staff():
            return
        try:
            secret = operations.make_setup_link(actor=actor("setup-link"))
        except WrongState as refusal:
            self.stderr.write(str(refusal))
            raise SystemExit(2) from refusal
        link_for = duration_words(int(limits.SETUP_LINK_FOR.total_seconds()))
        self.stderr.write(
            _("Open this link in your browser within %(time)s. It makes the first staff member, and works once:")
            % {"time": link_for}
        )
        self.stdout.write(addresses.absolute(reverse("web:set_up", args=[secret])))
