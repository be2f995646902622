"""Delivers the messages of the outbox as mails.

A fan-out writes one row for each recipient of a message, and each of these rows becomes one mail.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from django.utils.translation import gettext as _

from requests_app.domain import clock, link_secrets
from requests_app.domain.ids import id_by_time
from requests_app.messages import audiences, grouping, outdated
from requests_app.messages.mails import email, receipts
from requests_app.messages.mails.postman import Postman
from requests_app.messages.topics import Topic, topic_of
from requests_app.models import Invitation, OutboxMessage, Person
from requests_app.models.outbox import MAIL
from requests_app.platform.reset_links import ResetLinks

#: A mail that is sent again within this time has the same link for a new password.
_TOKEN_FOR = timedelta(hours=1)


def fan_out(message: OutboxMessage, at: datetime) -> str:
    """Write one row for each recipient, in the caller's transaction. Return a note if there is no recipient."""
    mails = [
        OutboxMessage.new(
            id=id_by_time(at),
            tenant_id=message.tenant_id,
            topic=message.topic,
            about=message.about,
            mark=message.mark,
            key=f"{message.key}:{recipient.email}",
            lane=MAIL,
            payload=message.payload,
            recipient=recipient.email,
            person_id=recipient.person_id,
            created_at=at,
            next_attempt_at=at,
        )
        for recipient in audiences.resolve(message)
    ]
    OutboxMessage.objects.bulk_create(mails, ignore_conflicts=True, batch_size=500)
    return "" if mails else _("Not sent: there is no recipient.")


def send_mail(message: OutboxMessage, postman: Postman) -> str:
    """Send one mail. It is rendered at the first attempt and then stays the same. Return a note if it is not sent.

    Raise NotYet if a receipt may still come, or if the recipient has recently got enough mails.
    """
    at = clock.now()
    grouping.take_apart(message, at)
    note = outdated.why(message, at) or _render(message, at)
    if not note and message.rendered is not None:
        postman.send(email.built(message.rendered, secret=_secret(message, at)))
    return note


def _render(message: OutboxMessage, at: datetime) -> str:
    """Make sure that the mail is rendered. Return a note if another mail has included this message meanwhile."""
    if message.rendered is None and topic_of(message.topic).sending.is_grouped:
        return grouping.render(message, at)
    if message.rendered is None:
        rendered = email.render(message, at, receipts=receipts.of(message, at))
        # The first rendering is the one that is sent. If a drain was slower than its lease, another drain may have
        # rendered and sent this mail meanwhile, with other times in it.
        row = OutboxMessage.objects.filter(pk=message.pk)
        if not row.filter(rendered__isnull=True).update(rendered=rendered):
            rendered = row.values_list("rendered", flat=True).get()
        message.rendered = rendered
    return ""


class _TokenOf(ResetLinks):
    """Makes the token for resetting a password that Django would have made at a given instant.

    Django itself can make the token only for the current time.
    """

    def __init__(self, instant: datetime) -> None:
        super().__init__()
        self.instant = instant

    def _now(self) -> datetime:
        # The framework also uses the local time of this machine, without a zone.
        return self.instant.astimezone().replace(tzinfo=None)


def _token(message: OutboxMessage, person: Person, at: datetime) -> str:
    """Return the token for a link to reset the password. It changes only once an hour.

    So a mail that is sent again within the hour is the same mail. And if the mail is sent late, most of the token's
    lifetime is still left.
    """
    begun = parsedate_to_datetime(message.rendered["headers"]["Date"])  # type: ignore[index]  # it is rendered by now
    return _TokenOf(begun + max(at - begun, timedelta()) // _TOKEN_FOR * _TOKEN_FOR).make_token(person)


def _secret(message: OutboxMessage, at: datetime) -> str:
    """Return the secret of the link. It is put into the mail only when the mail is sent."""
    if message.topic == Topic.INVITATION:
        row = Invitation.objects.get(pk=message.about)
        return link_secrets.of(row.pk, row.sends)
    if message.topic == Topic.ADDRESS_LINK:
        return link_secrets.of(message.about, 1)
    if message.topic == Topic.PASSWORD_RESET and message.person is not None:
        # In the form that the page behind the link reads.
        return f"{message.person.pk.hex}-{_token(message, message.person, at)}"
    return ""
