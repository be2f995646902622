"""Passes mails to the mail server over one connection, and reports each failure in the product's own words."""

from __future__ import annotations

import contextlib
import re
import smtplib
from typing import Self

from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.platform import telemetry

#: A server that has already ended the connection reports that within this time.
_DROPPED_SECONDS = 1.0
_ENHANCED = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})\b")


class Refused(Exception):
    """The server will never accept this mail.

    The text contains only codes and words of the product, so it is safe to store.
    """


class NotAccepted(Exception):
    """The server does not accept this mail now, but it accepts other mails."""


class Unreachable(Exception):
    """The server did not answer, or refused the connection. So it is unknown whether it would accept this mail."""


class Postman:
    """Sends mails over one connection, which it opens for the first mail.

    `is_down` becomes True after a failure that the next mail would have too.
    """

    def __init__(self) -> None:
        self._connection: BaseEmailBackend | None = None
        self._broken: set[str] = set()
        self.is_down = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._hang_up()

    def send(self, mail: EmailMultiAlternatives) -> None:
        """Send one mail. Raise Refused, NotAccepted or Unreachable if the server did not accept it."""
        try:
            self._send(mail)
        except smtplib.SMTPRecipientsRefused as error:
            code, words = next(iter(error.recipients.values()))
            self._hang_up_if_closing(code)
            raise _judged(code, words, _("The server refused the recipient")) from None
        except smtplib.SMTPDataError as error:
            self._hang_up_if_closing(error.smtp_code)
            raise _judged(error.smtp_code, error.smtp_error, _("The server refused the mail")) from None
        except (smtplib.SMTPNotSupportedError, UnicodeError):
            raise Refused(_("The server does not support all characters of this address.")) from None
        except smtplib.SMTPResponseException as error:
            # The sender or the login was refused, so every mail would be refused.
            self._hang_up()
            self.is_down = True
            raise Unreachable(_coded(error.smtp_code, error.smtp_error, _("The server refused this sender"))) from None
        except (OSError, smtplib.SMTPException) as error:
            self._hang_up()
            # One recipient can cause a failure of the server. After failures with two recipients, the server counts as
            # down.
            self._broken.update(mail.to)
            self.is_down = len(self._broken) >= 2
            raise Unreachable(_("The server ended the connection: %(kind)s") % {"kind": type(error).__name__}) from None
        self._broken.clear()

    def _send(self, mail: EmailMultiAlternatives) -> None:
        with telemetry.watched(telemetry.CALL, "mail"):
            self._sent(mail)

    def _sent(self, mail: EmailMultiAlternatives) -> None:
        is_reused, began = self._connection is not None, clock.monotonic()
        mail.connection = self._connected()
        try:
            mail.send()
        except smtplib.SMTPServerDisconnected:
            if not is_reused or clock.monotonic() - began > _DROPPED_SECONDS:
                raise
            # A server ends a connection that was idle or has carried enough mails. That is no result for this mail, so
            # it is sent again. But after a longer wait, a second dialogue would block the worker for too long.
            self._hang_up()
            mail.connection = self._connected()
            mail.send()

    def _hang_up_if_closing(self, code: int) -> None:
        if code == 421:  # "closing transmission channel" (RFC 5321), in answer to any command
            self._hang_up()

    def _connected(self) -> BaseEmailBackend:
        if self._connection is None:
            connection = get_connection()
            try:
                connection.open()
            except (OSError, smtplib.SMTPException) as error:
                self.is_down = True
                raise Unreachable(_("No connection: %(kind)s") % {"kind": type(error).__name__}) from None
            self._connection = connection
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            # The connection is closed in any case.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                self._connection.close()
            self._connection = None


def _judged(code: int, words: bytes | str, what: str) -> Refused | NotAccepted:
    text = _coded(code, words, what)
    return Refused(text) if 500 <= code < 600 else NotAccepted(text)


def _coded(code: int, words: bytes | str, what: str) -> str:
    """Return what failed, with the code of the server's reply and its enhanced code (RFC 3463).

    The text of the reply is left out, because it may contain secrets.
    """
    text = words.decode("ascii", "replace") if isinstance(words, bytes) else words
    enhanced = _ENHANCED.match(text)
    return f"{what}: {code} {enhanced[1]}" if enhanced else f"{what}: {code}"
