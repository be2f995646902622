"""Says in words why an attempt to deliver a webhook message failed."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

#: By the code of the attempt: the codes of outbound.Unreachable, and the product's own.
_WORDS: dict[str, Promise] = {
    "no_such_host": _("The host name is unknown."),
    "address": _("The webhook’s address is not on the public internet, so nothing was sent."),
    "unreachable": _("No server answered at this address."),
    "timeout": _("The server did not finish its answer within 15 seconds."),
    "tls": _("The connection could not be secured: the certificate is not valid for this name, or has expired."),
    "no_http": _("The answer is not HTTP."),
    "too_long": _("The server’s answer was too long."),
    "keys": _("The keys of this webhook can’t be read any more. Create a new secret."),
    "unexpected": _("An unexpected error stopped the delivery. The operator’s log has the details."),
}


def problem_words(code: str) -> str:
    """Return the words for a code, or "" for an empty code. A code of a newer version is returned unchanged."""
    return str(_WORDS.get(code, code))
