"""Makes a set-up link, for the commands that print it."""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import limits
from requests_app.management._logs import actor
from requests_app.platform import addresses
from requests_app.words.times import duration_words


def new_setup_link() -> tuple[str, str]:
    """Make a new set-up link. Return the sentence that explains it, and the link."""
    secret = operations.make_setup_link(actor=actor("setup-link"))
    link_for = duration_words(int(limits.SETUP_LINK_FOR.total_seconds()))
    words = _("Open this link in your browser within %(time)s. It makes the first staff member, and works once:")
    return words % {"time": link_for}, addresses.absolute(reverse("web:set_up", args=[secret]))
