"""Ends a command that was refused: with one line, and a status that says whether anything may have been saved."""

from __future__ import annotations

from django.core.management.base import CommandError

from requests_app.domain.errors import OutcomeUnknown
from requests_app.platform.database.errors import CommitUnknown

#: Refused, and nothing was saved; and nobody knows whether it was. The same as of the command line for customers.
REFUSED, NOT_KNOWN = 1, 5


def refused(refusal: Exception) -> CommandError:
    return CommandError(str(refusal), returncode=NOT_KNOWN if isinstance(refusal, OutcomeUnknown) else REFUSED)


def unknown_in(failure: BaseException) -> str:
    """Return the sentence for the case that nobody knows whether the command has saved its change; otherwise empty."""
    if isinstance(failure, CommitUnknown | OutcomeUnknown):
        return str(OutcomeUnknown.default)
    return ""
