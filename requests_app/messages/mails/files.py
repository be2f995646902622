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

_UNSAFE = re.compile(r"[^A-Za-z0-9@._+-]+")


class EmailBackend(BaseEmailBackend):
    """Writes each mail to a file in EMAIL_FILE_PATH.

    The name of the file is made from the Message-ID, so a mail that is sent again replaces its earlier file.
    """

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        folder = Path(settings.EMAIL_FILE_PATH)
        folder.mkdir(parents=True, exist_ok=True)
        for message in email_messages:
            self._write(folder, message)
        return len(email_messages)

    @staticmethod
    def _write(folder: Path, message: EmailMessage) -> None:
        mail = message.message()
        purpose = mail.get("X-Lockbox-Topic", "mail").rpartition(".")[2]
        name = "-".join((purpose, message.recipients()[0], mail["Message-ID"].strip("<>").partition("@")[0]))
        path = folder / f"{_UNSAFE.sub('_', name)[:200]}.eml"
        # The file gets its name when it is complete, so that nobody reads half a mail.
        draft = path.with_suffix(f".{os.getpid()}.part")
        draft.write_bytes(mail.as_bytes())
        draft.replace(path)
