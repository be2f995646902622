"""Checks the reference and the address that a ticket or a draft has in another system. Both sides see them."""

from __future__ import annotations

import unicodedata
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils.translation import gettext as _

from requests_app.domain import limits, texts
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.models import Ticket


def reference(value: str) -> str:
    text = limits.require_text(value, field="external_reference", at_least=0, at_most=Ticket.EXTERNAL_REFERENCE_MAX)
    return " ".join(_seen(text, field="external_reference").split())


def url(value: str, *, field: str = "external_url", schemes: tuple[str, ...] = ("https", "http")) -> str:
    """Return the address if a page can safely link to it. Raise Unacceptable if not: only `schemes` are allowed.

    Browsers run addresses with some other schemes as scripts. An address with an @ is refused, because the name before
    the @ can look like the host. An address with a backslash is refused, because browsers read the backslash as a
    slash.
    """
    text = limits.require_text(value, field=field, at_least=0, at_most=Ticket.EXTERNAL_URL_MAX)
    if not text:
        return ""
    _seen(text, field=field)
    try:
        URLValidator(schemes=schemes)(text)
        is_plain = "@" not in urlsplit(text).netloc and "\\" not in text
    except (ValidationError, ValueError):
        is_plain = False
    if not is_plain:
        raise Unacceptable(
            _("Enter a complete address that begins with https:// and has no user name or password in it."),
            field=field,
        )
    return text


def source_url(value: str) -> str:
    """Return the address that a client names as the source of an access request. Pages show it, and never link to it.

    Raise Unacceptable unless it is a plain https address.
    """
    return url(value, field="source_url", schemes=("https",))


def require_new(ticket: Ticket) -> None:
    """Raise WrongState if another ticket of this tenant already has the same reference.

    One case in the other help desk must be one ticket here.
    """
    if not ticket.external_reference:
        return
    others = Ticket.objects.filter(tenant_id=ticket.tenant_id, external_reference=ticket.external_reference)
    other = others.exclude(pk=ticket.pk).first()
    if other is not None:
        words = _("The ticket %(reference)s already has this reference to the other system.") % {
            "reference": other.reference
        }
        raise WrongState(words, current={"ticket": str(other.pk), "reference": other.reference})


def described(ticket: Ticket) -> dict[str, str]:
    """Return the reference and the address for the log. Return {} if the ticket has neither."""
    reference = {"external_reference": ticket.external_reference, "external_url": ticket.external_url}
    return {name: value for name, value in reference.items() if value}


def _seen(text: str, *, field: str) -> str:
    if any(unicodedata.category(char) in texts.INVISIBLE for char in text):
        raise Unacceptable(
            _("This text contains characters that cannot be seen. Remove them, and try again."), field=field
        )
    return text
