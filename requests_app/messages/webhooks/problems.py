"""What an attempt failed for, in words."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

#: By the code of an attempt: those of outbound.Unreachable, and ours.
_WORDS: dict[str, Promise] = {
    "no_such_host": _("The name of the host is unknown."),
    "address": _("The address is not public, so nothing was sent."),
    "unreachable": _("Nobody answered at this address."),
    "timeout": _("It took longer than 15 seconds."),
    "tls": _("The connection could not be secured: its certificate is not good for this name, or out of date."),
    "no_http": _("What was answered is no HTTP."),
    "too_long": _("What was answered did not come to an end."),
    "keys": _("The keys of this webhook cannot be read any more. Have a new secret made."),
    "unexpected": _("Something unexpected went wrong here. The operator’s log says what."),
}


def problem_words(code: str) -> str:
    """The words; a code of a newer version stands for itself, and none is none."""
    return str(_WORDS.get(code, code))
