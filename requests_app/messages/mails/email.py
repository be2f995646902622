"""Renders a message of the outbox once, for its one recipient, and builds the mail from what was rendered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime, parseaddr
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation

from requests_app.domain import clock, link_secrets
from requests_app.messages.mails import facts, words
from requests_app.messages.mails.receipts import CLOSING, Receipt
from requests_app.messages.topics import Topic
from requests_app.models import OutboxMessage

SUBJECT_MAX = 140
#: Characters of the hash in a Message-ID; it tells apart the mails of one row.
_DIGEST = 16
#: The folder of the mail that tells of several access requests, whichever answer they wait for.
_SEVERAL = "several"
_LINE_BREAKS = re.compile(r"[\r\n\v\f\x85\u2028\u2029]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def render(
    message: OutboxMessage, at: datetime, *, receipts: Sequence[Receipt] = (), others: Sequence[OutboxMessage] = ()
) -> dict[str, Any]:
    """Everything that leaves, as plain data: the same at every attempt, whatever has changed meanwhile.

    `receipts` are files to go with it; `others` are told in the same mail, and are of its topic, tenant and recipient.
    """
    is_of_several = any(other.about != message.about for other in others)
    with translation.override(_language(message)), timezone.override(_zone(message)):
        proven = {"receipts": receipts, "end_is_proven": any(each.act == CLOSING for each in receipts)}
        found = facts.of_several([message, *others], at) if is_of_several else facts.of(message, at)
        context = {**found, **proven}
        folder = f"emails/{_SEVERAL if is_of_several else Topic(message.topic).purpose}"
        rendered = {
            "subject": _subject(render_to_string(f"{folder}/subject.txt", context)),
            "text": _text(render_to_string(f"{folder}/body.txt", context)),
            "html": render_to_string(f"{folder}/body.html", context).strip() + "\n",
            "from": settings.DEFAULT_FROM_EMAIL,
            "to": message.recipient,
            "message_id": message_id(message.pk),
            "headers": _headers(message, at, thread=message.tenant_id if is_of_several else message.about),
            "attachments": [{"name": each.name, "text": each.text} for each in receipts],
        }
    return {**rendered, "tells": [str(each.pk) for each in (message, *others)]} if others else rendered


def render_preview(message: OutboxMessage) -> dict[str, Any]:
    """The mail as it was sent, or as it would be now; nothing is stored and nothing leaves."""
    return message.rendered or render(message, clock.now())


class Mail(EmailMultiAlternatives):
    """A mail whose bytes follow from what it says: the library draws a new boundary at each sending."""

    #: Names the boundaries. A text that holds it cannot be written: it follows from a hash of the text.
    seed = ""

    def message(self, *args: Any, **more: Any) -> Any:
        found = super().message(*args, **more)
        for number, part in enumerate(each for each in found.walk() if each.is_multipart()):
            part.set_boundary(f"=_{self.seed}.{number}")
        return found


def built(rendered: dict[str, Any], *, secret: str = "") -> Mail:
    """The mail itself; `secret` takes the place of its mark here, and nowhere before.

    Its Message-ID holds a hash of all its bytes. A mail that is sent again is the same to the letter, or another mail
    with another id. Django refuses a line break in any header, so none can be smuggled in here.
    """
    mail = _drafted(rendered, secret)
    digest = hashlib.sha256(mail.message().as_bytes()).hexdigest()[:_DIGEST]
    mail.seed, mail.extra_headers["Message-ID"] = digest, _with(digest, rendered["message_id"])
    return mail


def sent_id(rendered: dict[str, Any]) -> str:
    """The Message-ID under which this left; without its hash where a secret is put into the mail only then."""
    if link_secrets.MARK in rendered["text"]:
        return str(rendered["message_id"])
    return str(built(rendered).extra_headers["Message-ID"])


def _with(digest: str, name: str) -> str:
    local, _at, domain = name.strip("<>").partition("@")
    return f"<{local}.{digest}@{domain}>"


def _drafted(rendered: dict[str, Any], secret: str) -> Mail:
    mail = Mail(
        subject=rendered["subject"],
        body=rendered["text"].replace(link_secrets.MARK, secret or link_secrets.MARK),
        from_email=rendered["from"],
        to=[rendered["to"]],
        # In an order of their own: PostgreSQL keeps the members of an object in another one than they were given in.
        headers={"Message-ID": rendered["message_id"], **dict(sorted(rendered["headers"].items()))},
    )
    mail.attach_alternative(rendered["html"].replace(link_secrets.MARK, secret or link_secrets.MARK), "text/html")
    for file in rendered.get("attachments", ()):
        # As bytes, which no server on the way may break into other lines: a proof holds to the letter or not at all.
        mail.attach(file["name"], file["text"].encode(), "application/octet-stream")
    return mail


def message_id(name: object) -> str:
    """An id at the sender's own domain that follows from a row's id alone."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{name}@{domain or 'localhost'}>"


def _headers(message: OutboxMessage, at: datetime, *, thread: object) -> dict[str, str]:
    # No mail has the thread's own id: all refer to it, so they belong together whichever comes first.
    thread = message_id(f"{thread}.thread")
    headers = {
        "Date": format_datetime(at),
        "References": thread,
        "In-Reply-To": thread,
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "X-Lockbox-Topic": str(message.topic),
    }
    return {**headers, "Reply-To": settings.REPLY_TO_EMAIL} if settings.REPLY_TO_EMAIL else headers


def _language(message: OutboxMessage) -> str:
    wanted = message.person.language if message.person else settings.LANGUAGE_CODE
    return wanted if translation.check_for_language(wanted) else settings.LANGUAGE_CODE


def _zone(message: OutboxMessage) -> ZoneInfo:
    """The person's own zone; an address that is nobody's is read where the tenant is."""
    owner = message.person or message.tenant
    try:
        return ZoneInfo(owner.time_zone if owner else "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _subject(raw: str) -> str:
    line = " ".join(_LINE_BREAKS.sub(" ", raw).split())
    return line if len(line) <= SUBJECT_MAX else line[: SUBJECT_MAX - 1].rstrip() + "…"


def _text(raw: str) -> str:
    lines = "\n".join(part.rstrip() for part in words.paragraphs(raw).split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip() + "\n"
