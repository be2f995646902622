"""Sends one test mail directly to the mail server, and returns what the server answered.

All other mails wait in the outbox. Here somebody waits for the answer, so that they can correct the settings.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.mail import get_connection
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app.messages.mails import files, smtp, words
from requests_app.messages.mails.email import Mail, built, message_id
from requests_app.platform.certificates import Fault, fault_of

#: The most characters of an answer that are shown. A server may send a long text.
MOST_SHOWN = 300
_ENHANCED = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})\b")
#: The name of a mail that is written to a file begins with the last part of this.
_TOPIC = "set_up.test"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a test mail.

    `problem` is empty if the server accepted the mail. Otherwise it is one of the codes in `_problem_of`. `code` and
    `text` are the server's own answer; `text` is shown to the person who asked, and never stored, because it may
    contain secrets. `place` is the server, or the folder with the files if there is no server.
    """

    to: str
    place: str
    problem: str = ""
    code: int = 0
    text: str = ""
    is_file: bool = False

    @property
    def proves_mail(self) -> bool:
        """Whether a mail server has accepted the mail. A file proves nothing about mail."""
        return not self.problem and not self.is_file

    @property
    def numbers(self) -> str:
        """The code of the answer and its enhanced code (RFC 3463), without the server's words."""
        enhanced = _ENHANCED.match(self.text)
        return " ".join(filter(None, [str(self.code or ""), enhanced[1] if enhanced else ""]))


def send(to: str) -> Answer:
    """Send a test mail to this address and wait for the server's answer.

    The mail backend limits the time of the connection and of the mail (EMAIL_TIMEOUT). Don't call this inside a
    transaction: it would hold its locks while the server thinks.
    """
    connection = get_connection()
    answer = Answer(to=to, place=_place(connection), is_file=isinstance(connection, files.EmailBackend))
    try:
        connection.open()
        connection.send_messages([_mail(to)])
        code, text = _accepted(connection)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        code, text = _words_of(error)
        return replace(answer, problem=_problem_of(error), code=code, text=text)
    finally:
        # The answer is known, so it does not matter how the connection ends.
        with contextlib.suppress(OSError, smtplib.SMTPException):
            connection.close()
    return replace(answer, code=code, text=text)


def _mail(to: str) -> Mail:
    provider = words.line(settings.PROVIDER_NAME)
    texts = {
        "subject": _("%(provider)s Customer Lockbox: test mail") % {"provider": provider},
        "headline": _("Mail works"),
        "lead": [_("You asked for this mail on the set-up page. You don’t have to do anything else.")],
        "link": _("Back to the set-up page"),
    }
    context = {
        "words": texts,
        "provider": provider,
        "tenant": provider,
        "url": settings.BASE_URL + reverse("admin:set_up"),
        "why_you": _("You get this mail because you pressed “Send me a test mail”."),
        **dict.fromkeys(("facts", "quotes", "digest", "close_url"), ""),
    }
    rendered = {
        "subject": texts["subject"],
        "text": render_to_string("emails/plain/body.txt", context).strip() + "\n",
        "html": render_to_string("emails/plain/body.html", context).strip() + "\n",
        "from": settings.DEFAULT_FROM_EMAIL,
        "to": to,
        "message_id": message_id(uuid4()),
        "headers": {"Auto-Submitted": "auto-generated", "X-Lockbox-Topic": _TOPIC},
    }
    return built(rendered)


def _place(connection: Any) -> str:
    if isinstance(connection, files.EmailBackend):
        return str(Path(settings.EMAIL_FILE_PATH))
    if isinstance(connection, smtp.EmailBackend):
        return f"{connection.host}:{connection.port}"
    return type(connection).__module__


def _accepted(connection: Any) -> tuple[int, str]:
    held = getattr(connection, "connection", None)
    code, text = getattr(held, "answer", (0, b""))
    return code, _one_line(text)


def _words_of(error: Exception) -> tuple[int, str]:
    """Return the server's code and words in an error, or (0, "") if the server has answered nothing."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
        return code, _one_line(text)
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code, _one_line(error.smtp_error)
    return 0, ""


def _one_line(text: bytes | str) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join(plain.split())[:MOST_SHOWN]


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kinds)


def _has(fault: Fault) -> Callable[[BaseException], bool]:
    return lambda error: fault_of(error) is fault


#: The problems, by what shows each of them. The first that matches counts, so subclasses are before their classes.
_PROBLEMS: tuple[tuple[str, Callable[[BaseException], bool]], ...] = (
    ("login", _is(smtplib.SMTPAuthenticationError)),
    ("no_tls", lambda error: isinstance(error, smtplib.SMTPNotSupportedError) and "STARTTLS" in str(error)),
    ("no_login", _is(smtplib.SMTPNotSupportedError)),
    ("sender", _is(smtplib.SMTPSenderRefused)),
    ("recipient", _is(smtplib.SMTPRecipientsRefused)),
    ("content", _is(smtplib.SMTPDataError)),
    ("greeting", _is(smtplib.SMTPConnectError, smtplib.SMTPHeloError)),
    ("ended", _is(smtplib.SMTPException)),
    *((fault.value, _has(fault)) for fault in Fault),
    ("tls", _is(ssl.SSLError)),
    ("refused", _is(ConnectionRefusedError)),
    ("no_such_host", lambda error: error.args[:1] == ("no_such_host",)),
    ("timeout", lambda error: isinstance(error, TimeoutError) or error.args[:1] == ("timeout",)),
    ("file", _is(PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError)),
    ("characters", _is(UnicodeError)),
)
#: Every other failure of the network, such as a network without a route to the server.
_OTHER = "network"


def _problem_of(error: Exception) -> str:
    return next((name for name, matches in _PROBLEMS if matches(error)), _OTHER)
