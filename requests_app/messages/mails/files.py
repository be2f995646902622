"""Writes mails to .eml files, which every mail program can open.

A new installation uses this until it has a mail server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.urls import reverse

from requests_app.platform import terminal
from requests_app.platform.trial import MAIL_FILES, is_trial

_UNSAFE = re.compile(r"[^A-Za-z0-9@._+-]+")


class EmailBackend(BaseEmailBackend):
    """Writes each mail to a file in EMAIL_FILE_PATH.

    The name of the file is made from the Message-ID, so a mail that is sent again replaces its earlier file. In a
    trial, the mail is also shown in the terminal.
    """

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        folder = Path(settings.EMAIL_FILE_PATH)
        folder.mkdir(parents=True, exist_ok=True)
        for message in email_messages:
            path = self._write(folder, message)
            if is_trial(base_url=settings.BASE_URL, email_backend=MAIL_FILES, is_production=settings.PRODUCTION):
                print(_shown(message, path), end="", flush=True)  # noqa: T201  # the terminal of a trial is the person's mailbox
        return len(email_messages)

    @staticmethod
    def _write(folder: Path, message: EmailMessage) -> Path:
        mail = message.message()
        purpose = mail.get("X-Lockbox-Topic", "mail").rpartition(".")[2]
        name = "-".join((purpose, message.recipients()[0], mail["Message-ID"].strip("<>").partition("@")[0]))
        path = folder / f"{_UNSAFE.sub('_', name)[:200]}.eml"
        # The file gets its name when it is complete, so that nobody reads half a mail.
        draft = path.with_suffix(f".{os.getpid()}.part")
        draft.write_bytes(mail.as_bytes())
        draft.replace(path)
        return path


def _shown(message: EmailMessage, path: Path) -> str:
    """Return what a terminal shows: whom the mail is for, its subject, and its main link or else its file.

    A link for readers who did not do what the mail reports is left out: it is not their next step.
    """
    main = re.search(rf"^.+:\n({re.escape(settings.BASE_URL)}(/\S+))$", str(message.body), re.MULTILINE)
    title = f"Mail to {', '.join(message.recipients())}: {message.subject}"
    # A name could contain characters that control the terminal.
    lines = [terminal.highlighted("".join(each for each in title if each.isprintable()))]
    if main is None:
        lines.append(str(path))
    elif main[2] != reverse("account_reset_password"):
        lines.append(main[1])
    return "".join(["\n", *(f"    {line}\n" for line in lines)])
