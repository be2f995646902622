"""`manage.py set_up`: list the steps of the provider's set-up, each with what the facts say about it."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.management._logs import actor
from requests_app.queries.guide import StepState
from requests_app.queries.guide_of_provider import provider_guide
from requests_app.words.text import HIDDEN

_MARKS = {StepState.DONE: "[x]", StepState.OPEN: "[ ]", StepState.BLOCKED: "[.]", StepState.LEFT_OUT: "[-]"}


class Command(BaseCommand):
    help = "List the steps of the set-up. Exits with 1 while a step is open. It changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        guide = provider_guide(actor=actor("set_up"), at=clock.now())
        numbered = [(f"{number}. ", shown) for number, shown in enumerate(guide.counted, start=1)]
        for number, shown in [*numbered, *(("", shown) for shown in guide.uncounted)]:
            self.stdout.write(f"{_MARKS[shown.found.state]} {number}{shown.step.title}: {_plain(shown.found.says)}")
            for line in (*shown.found.lines, *shown.found.commands):
                self.stdout.write(f"       {_plain(line)}")
        self.stdout.write(_("%(done)d of %(total)d done.") % {"done": guide.done, "total": guide.total})
        if not guide.is_complete:
            sys.exit(1)


def _plain(text: str) -> str:
    """Return the text for a terminal. A name in it could contain characters that control the terminal."""
    return HIDDEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)
