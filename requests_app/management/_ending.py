"""Ends a command that was refused: with one line, and an exit status that says whether a change may have been saved."""

from __future__ import annotations

from django.core.management.base import CommandError

from requests_app.domain.errors import OutcomeUnknown
from requests_app.platform.database.errors import CommitUnknown

#: REFUSED: nothing was saved. NOT_KNOWN: nobody knows whether it was saved. The customers' command line has the same.
REFUSED, NOT_KNOWN = 1, 5


def refused(refusal: Exception) -> CommandError:
    return CommandError(str(refusal), returncode=NOT_KNOWN if isinstance(refusal, OutcomeUnknown) else REFUSED)


def unknown_in(failure: BaseException) -> str:
    """Return the sentence to print if nobody knows whether the change was saved. For any other failure, return ""."""
    if isinstance(failure, CommitUnknown | OutcomeUnknown):
        return str(OutcomeUnknown.default)
    return ""
