"""The limits of the domain, and calculations with durations, deadlines and windows. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain.errors import Unacceptable

JUSTIFICATION_MIN, JUSTIFICATION_MAX = 20, 4000
COMMENT_MAX = 2000
#: How many of the last characters of a key or a fingerprint show that somebody has stored it.
ENDING = 4
RESOURCES_MIN, RESOURCES_MAX = 1, 20
TITLE_MAX = 200
#: Of an external service: the application's name, its link template, and the text for engineers.
APPLICATION_MAX, LINK_TEMPLATE_MAX, GUIDANCE_MAX = 80, 400, 1000
#: The address at which the proxy of this product finds a web tool.
UPSTREAM_MAX = 300
#: How a guard names itself and its version.
GUARD_VERSION_MAX = 80
#: The most accesses in one report, and in one entry of the log. The longest path pattern, and the longest other text.
REPORTED_MAX, REPORTED_IN_ENTRY = 1000, 500
REPORTED_ITEM_MAX, REPORTED_TEXT_MAX = 300, 64
#: How far the clock of an application can differ, and how late a guard can learn of an end. An access outside the
#: window by more than this is an alarm.
REPORTED_TOLERANCE = timedelta(seconds=1)
#: After the first access that is reported when the window has ended, the mail about it waits for more of them.
REPORTS_SETTLE = timedelta(minutes=2)
#: A client can have this many guards that were heard of in this time. A program with its secret could make up more.
GUARDS_MAX, GUARD_COUNTS_FOR = 200, timedelta(hours=1)
#: A token that was renewed this short a time ago is not renewed again. A guard renews it after three minutes.
TOKEN_RENEWED_EVERY = timedelta(seconds=60)
#: A guard that has sent no sign of life for this long is silent. It should send one every 30 seconds.
GUARD_SILENT_AFTER = timedelta(seconds=60)
#: How often people get a mail that an application is silent, for each window.
SILENCE_MAILED_EVERY = timedelta(hours=1)
#: How much two machines' clocks can differ when the time of a backup is compared.
CLOCKS_DIFFER = timedelta(minutes=5)
#: While backups fail or are too old, staff get a mail this often.
BACKUP_MAILED_EVERY = timedelta(days=1)
#: How long the text of a sent mail is stored. Until then, staff can read it and send it again.
MAIL_STORED_FOR = timedelta(days=90)
#: How exactly it is stored when a proxy last asked at a gate.
GATE_ASKED_GRAIN = timedelta(minutes=1)
#: A guard whose backlog has not become smaller for this long does not get its reports through.
GUARD_BEHIND_AFTER = timedelta(minutes=5)
#: After this long, a guard that had nothing left to report was probably removed.
GUARD_GONE_AFTER = timedelta(days=1)
#: The most earlier lives that a guard can name when it begins a new one.
GUARD_FORMER_MAX = 100
#: How exactly the time of a guard's sign of life is stored. A smaller unit would cause a write for each sign.
SIGN_GRAIN = timedelta(seconds=15)
#: The longest address (RFC 5321, section 4.5.3.1.3).
EMAIL_MAX = 254
REOPEN_FOR = timedelta(days=7)
INVITATION_FOR = timedelta(days=7)
#: How long after a file has prepared an invitation staff can send it.
PREPARED_FOR = timedelta(days=30)
#: How long the link works with which the first staff member is made.
SETUP_LINK_FOR = timedelta(minutes=15)
#: How long the link to a new mail address works.
ADDRESS_CHANGE_FOR = timedelta(hours=24)
PROPOSAL_FOR = timedelta(days=7)
#: This long before the end of that time, the staff who can confirm get one more mail.
PROPOSAL_ENDS_SOON = timedelta(days=1)
#: The most open invitations of a tenant, and how often each can be sent. These mails go to people who did not ask.
INVITATIONS_MAX, INVITATION_SENDS_MAX = 100, 10
OUT_OF_OFFICE_MAX = timedelta(days=90)
#: The smallest and the largest number of days for which a tenant's log is retained.
LOG_RETENTION_DAYS = (30, 36500)
#: If a tenant requires cosignatures: the smallest and the largest limit for the age of the last one, in hours.
COSIGNED_WITHIN_HOURS = (1, 168)
#: How long a mute can last, in hours. A mute that everybody forgot is over the next day.
MUTE_HOURS = (1, 4, 24)
STEP_UP_FOR = timedelta(minutes=5)
#: The most access requests that one engineer can have waiting at one tenant, and can submit there within an hour. More
#: would tire the approvers.
PENDING_MAX, HOURLY_MAX = 10, 20
#: The same limits for practice requests, which tire the same approvers. One is enough to practise.
PRACTICE_PENDING_MAX, PRACTICE_HOURLY_MAX = 2, 5
#: The number of access requests for which one recipient gets separate mails within this time. Further access requests
#: share one mail.
MAILS_AT_ONCE, GROUPED_FOR = 3, timedelta(minutes=15)


def pending_max(*, is_practice: bool) -> int:
    return PRACTICE_PENDING_MAX if is_practice else PENDING_MAX


def hourly_max(*, is_practice: bool) -> int:
    return PRACTICE_HOURLY_MAX if is_practice else HOURLY_MAX


def provider_deadline(at: datetime) -> datetime:
    return at + timedelta(seconds=settings.PROVIDER_DECISION_SECONDS)


def staff_change_wait() -> timedelta:
    """Return the waiting time before a confirmed change by staff takes effect.

    Only changes that reduce customers' protection wait.
    """
    return timedelta(seconds=settings.STAFF_CHANGE_WAIT_SECONDS)


def customer_deadline(at: datetime) -> datetime:
    return at + timedelta(seconds=settings.CUSTOMER_DECISION_SECONDS)


def window_choices(cap: int) -> list[int]:
    """Return the lengths of a window that a person can choose, in seconds. None is longer than the tenant's cap."""
    return [seconds for seconds in settings.WINDOW_CHOICES_SECONDS if seconds <= cap]


def require_window(seconds: object, *, cap: int) -> int:
    """Return the requested length of a window in seconds.

    Raise Unacceptable, with the allowed lengths, if it is not allowed.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds not in window_choices(cap):
        allowed = ", ".join(str(choice // 60) for choice in window_choices(cap))
        raise Unacceptable(
            _("Choose one of the offered lengths: %(allowed)s minutes.") % {"allowed": allowed},
            field="window_for",
        )
    return seconds


def require_text(value: object, *, field: str, at_least: int = 1, at_most: int) -> str:
    """Return the text without spaces at its ends.

    Raise Unacceptable if its length or one of its characters is not allowed.
    """
    text = value.replace("\r\n", "\n").strip() if isinstance(value, str) else ""
    if not at_least <= len(text) <= at_most:
        raise Unacceptable(
            _("Write between %(least)d and %(most)d characters. Your text has %(length)d.")
            % {"least": at_least, "most": at_most, "length": len(text)},
            field=field,
        )
    if any(ord(char) < 32 and char not in "\n\t" for char in text):
        raise Unacceptable(
            _("This contains characters that cannot be stored. Remove them, and try again."), field=field
        )
    return text


def require_note(value: object, *, needed: bool) -> str:
    """Return the comment of a decision. Without `needed`, the comment may be empty."""
    if not value and not needed:
        return ""
    return require_text(value, field="note", at_least=1 if needed else 0, at_most=COMMENT_MAX)


def is_within(at: datetime, opens_at: datetime, closes_at: datetime) -> bool:
    """Return whether a window is open at this instant. At `opens_at` it is open, at `closes_at` it is closed."""
    return opens_at <= at < closes_at


#: How exactly the time of a token's last use is stored. A smaller unit would cause a write for each call.
TOKEN_USE_GRAIN = timedelta(minutes=1)
