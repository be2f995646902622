"""Decides whether an installation is a trial. Pure, because the settings ask too."""

from __future__ import annotations

from urllib.parse import urlsplit

from requests_app.platform.loopback import is_loopback

#: The mail backend of an installation without a mail server.
MAIL_FILES = "requests_app.messages.mails.files.EmailBackend"


def is_trial(*, base_url: str, email_backend: str, is_production: bool) -> bool:
    """Return whether this installation is a trial: it has no mail server, and only this machine can open its address.

    A production installation is never one.
    """
    is_local = is_loopback(urlsplit(base_url).hostname or "")
    return is_local and email_backend == MAIL_FILES and not is_production
