"""`manage.py apply FILE`: set up what the file says."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from requests_app.domain.errors import DomainError
from requests_app.domain.imports import FaultyFile
from requests_app.management._ending import refused
from requests_app.management._worlds import WorldCommand
from requests_app.queries.invitations import prepared_addresses


class Command(WorldCommand):
    help = "Set up what a file says, from plans to resources. If the file has a fault, nothing is changed."

    def handle(self, *args: Any, **options: Any) -> None:
        source = self.read(options["file"], prunes=options["prune"])
        try:
            self.import_rows(source, is_dry=False, as_json=False)
        except FaultyFile as faulty:
            self.refuse(faulty.faults, [], as_json=False)
        except DomainError as refusal:
            raise refused(refusal) from refusal
        if waiting := len(prepared_addresses()):
            words = ngettext(
                "%(n)d person waits for an invitation. A member of the staff sends the prepared invitations.",
                "%(n)d people wait for an invitation. A member of the staff sends the prepared invitations.",
                waiting,
            )
            self.stdout.write(words % {"n": waiting})
        if self.missing and not options["prune"]:
            words = _("The file does not name %(n)d things. “plan” shows them, and “--prune” switches them off.")
            self.stdout.write(words % {"n": len(self.missing)})
