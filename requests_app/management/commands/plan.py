"""`manage.py plan FILE`: show what `apply` would change. Nothing is changed."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.management._importing import ACTOR
from requests_app.management._worlds import WorldCommand


class Command(WorldCommand):
    help = "Show the difference between a file and what is set up. Nothing is changed."

    def handle(self, *args: Any, **options: Any) -> None:
        source = self.read(options["file"], prunes=options["prune"])
        report = operations.check_import(source, actor=ACTOR)
        if report.faults:
            self.refuse(report.faults, report.lines, as_json=False)
        self.show(report.lines)
        self.show_missing()
        ending = _("There is nothing to change.") if report.is_empty else _("Nothing was changed: this was a check.")
        self.print_report(report.lines, report.counts, as_json=False, ending=ending)
