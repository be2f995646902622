"""Renders a message of the outbox once for its recipient, and builds the mail from the stored result."""

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
from django.utils.translation import gettext as _

from requests_app.domain import link_secrets
from requests_app.domain.acts.declaration import MailWords
from requests_app.messages.mails import facts, words
from requests_app.messages.mails.receipts import CLOSING, Receipt
from requests_app.messages.topics import MAILS, Topic, topic_of
from requests_app.models import Invitation, OutboxMessage

SUBJECT_MAX = 140
#: The number of the hash's characters in a Message-ID. They make the ids of one row's mails different.
_DIGEST = 16
#: The template folder for the mail about several access requests. It is the same for all decisions.
_SEVERAL = "several"
#: The template folder for the mails with declared words.
_PLAIN = "plain"
_LINE_BREAKS = re.compile(r"[\r\n\v\f\x85\u2028\u2029]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def render(
    message: OutboxMessage, at: datetime, *, receipts: Sequence[Receipt] = (), others: Sequence[OutboxMessage] = ()
) -> dict[str, Any]:
    """Return everything that the mail will contain, as plain data that can be stored.

    So each attempt to send the mail sends the same content, even if rows change meanwhile. `receipts` are files to
    attach. `others` are further messages for the same mail, with the same topic, tenant and recipient.
    """
    is_of_several = any(other.about != message.about for other in others)
    with translation.override(_language(message)), timezone.override(_zone(message)):
        proven = {"receipts": receipts, "end_is_proven": any(each.act == CLOSING for each in receipts)}
        found = facts.of_several([message, *others], at) if is_of_several else facts.of(message, at)
        context = {**found, **proven}
        folder = f"emails/{_SEVERAL if is_of_several else _folder(message)}"
        if message.topic in MAILS:
            context["words"] = _filled(MAILS[message.topic], found)
        rendered = {
            "subject": _subject(render_to_string(f"{folder}/subject.txt", context), found),
            "text": _text(render_to_string(f"{folder}/body.txt", context)),
            "html": render_to_string(f"{folder}/body.html", context).strip() + "\n",
            "from": settings.DEFAULT_FROM_EMAIL,
            "to": message.recipient,
            "message_id": message_id(message.pk),
            "headers": _headers(message, at, thread=message.tenant_id if is_of_several else message.about),
            "attachments": [{"name": each.name, "text": each.text} for each in receipts],
        }
    return {**rendered, "tells": [str(each.pk) for each in (message, *others)]} if others else rendered


def _folder(message: OutboxMessage) -> str:
    return _PLAIN if message.topic in MAILS else topic_of(message.topic).purpose


def _filled(mail: MailWords, found: facts.Facts) -> dict[str, Any]:
    """Return the declared words of a mail, with the facts in them. The templates escape both."""
    lead = [str(part).format_map(found) for part in mail.lead]
    one_line = {name: str(getattr(mail, name)).format_map(found) for name in ("subject", "headline", "link")}
    return {**one_line, "lead": lead}


class Mail(EmailMultiAlternatives):
    """A mail whose bytes depend only on its content.

    Django would choose new boundaries between its parts each time the mail is sent.
    """

    #: The boundaries contain this. No text can contain it, because it is made from a hash of the text.
    seed = ""

    def message(self, *args: Any, **more: Any) -> Any:
        found = super().message(*args, **more)
        for number, part in enumerate(each for each in found.walk() if each.is_multipart()):
            part.set_boundary(f"=_{self.seed}.{number}")
        return found


def built(rendered: dict[str, Any], *, secret: str = "") -> Mail:
    """Return the mail, ready to be sent. `secret` replaces `link_secrets.MARK` in the text.

    The stored text never contains the secret. The Message-ID contains a hash of all bytes of the mail. So
    if a mail is sent again, it is identical, or it has another id. Django refuses line breaks in headers, so
    nobody can inject a header.
    """
    mail = _drafted(rendered, secret)
    digest = hashlib.sha256(mail.message().as_bytes()).hexdigest()[:_DIGEST]
    mail.seed, mail.extra_headers["Message-ID"] = digest, _with(digest, rendered["message_id"])
    return mail


def sent_id(rendered: dict[str, Any]) -> str:
    """Return the Message-ID with which the mail was sent.

    If the mail contains a secret, only the first part of the id is known here.
    """
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
        # The order is fixed, because PostgreSQL does not store the order of an object's members.
        headers={"Message-ID": rendered["message_id"], **dict(sorted(rendered["headers"].items()))},
    )
    mail.attach_alternative(rendered["html"].replace(link_secrets.MARK, secret or link_secrets.MARK), "text/html")
    for file in rendered.get("attachments", ()):
        # Sent as bytes, because no server may change its line breaks: the bytes of a proof must not change.
        mail.attach(file["name"], file["text"].encode(), "application/octet-stream")
    return mail


def message_id(name: object) -> str:
    """Return a Message-ID made from a name, such as a row's id, at the domain of the sender."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{name}@{domain or 'localhost'}>"


def _headers(message: OutboxMessage, at: datetime, *, thread: object) -> dict[str, str]:
    # No mail has the id of the thread itself. All mails refer to it, so they belong together in any order.
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
    """Return the recipient's time zone. If the recipient is not a person, return the tenant's time zone.

    An invitation names the time zone of its reader, who has no account yet.
    """
    owner = message.person or message.tenant
    name = owner.time_zone if owner else "UTC"
    if message.topic == Topic.INVITATION:
        name = Invitation.objects.select_related("tenant").get(pk=message.about).zone
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _subject(raw: str, found: facts.Facts) -> str:
    """Return the subject on one line. The mark of a practice request comes first, where no cut can remove it."""
    mark = f"[{_('Practice')}] " if found.get("is_practice") else ""
    line = mark + " ".join(_LINE_BREAKS.sub(" ", raw).split())
    return line if len(line) <= SUBJECT_MAX else line[: SUBJECT_MAX - 1].rstrip() + "…"


def _text(raw: str) -> str:
    lines = "\n".join(part.rstrip() for part in words.paragraphs(raw).split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip() + "\n"
