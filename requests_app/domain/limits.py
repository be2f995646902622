"""Pure arithmetic of durations, deadlines and windows."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain.errors import Unacceptable

JUSTIFICATION_MIN, JUSTIFICATION_MAX = 20, 4000
COMMENT_MAX = 2000
RESOURCES_MIN, RESOURCES_MAX = 1, 20
TITLE_MAX = 200
#: The longest address (RFC 5321, section 4.5.3.1.3).
EMAIL_MAX = 254
REOPEN_FOR = timedelta(days=7)
INVITATION_FOR = timedelta(days=7)
#: A link that was sent to a new address.
ADDRESS_CHANGE_FOR = timedelta(hours=24)
PROPOSAL_FOR = timedelta(days=7)
#: Invitations of a tenant that wait, and how often one is sent: they are mails to people who did not ask for them.
INVITATIONS_MAX, INVITATION_SENDS_MAX = 100, 10
OUT_OF_OFFICE_MAX = timedelta(days=90)
#: The fewest and the most days for which a tenant may have its log retained.
LOG_RETENTION_DAYS = (30, 36500)
#: The fewest and the most hours within which a witness must have cosigned the log, where a tenant wants that.
COSIGNED_WITHIN_HOURS = (1, 168)
#: How long a customer may go without being asked, in hours: a mute that nobody remembers is over the next day.
MUTE_HOURS = (1, 4, 24)
STEP_UP_FOR = timedelta(minutes=5)
#: What one engineer may have pending with one tenant, and raise there within an hour (approval fatigue).
PENDING_MAX, HOURLY_MAX = 10, 20
#: Access requests for which one recipient gets a mail each within this time; further ones share one mail.
MAILS_AT_ONCE, GROUPED_FOR = 3, timedelta(minutes=15)


def provider_deadline(at: datetime) -> datetime:
    return at + timedelta(seconds=settings.PROVIDER_DECISION_SECONDS)


def staff_change_wait() -> timedelta:
    """Return how long a confirmed change by staff waits, if it weakens customers."""
    return timedelta(seconds=settings.STAFF_CHANGE_WAIT_SECONDS)


def customer_deadline(at: datetime) -> datetime:
    return at + timedelta(seconds=settings.CUSTOMER_DECISION_SECONDS)


def window_choices(cap: int) -> list[int]:
    """Return the offered lengths in seconds, none longer than the tenant's cap."""
    return [seconds for seconds in settings.WINDOW_CHOICES_SECONDS if seconds <= cap]


def require_window(seconds: object, *, cap: int) -> int:
    """Return the requested length in seconds, or refuse it and name the allowed lengths."""
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds not in window_choices(cap):
        allowed = ", ".join(str(choice // 60) for choice in window_choices(cap))
        raise Unacceptable(
            _("Choose one of the offered lengths: %(allowed)s minutes.") % {"allowed": allowed},
            field="window_for",
        )
    return seconds


def require_text(value: object, *, field: str, at_least: int = 1, at_most: int) -> str:
    """Return the trimmed text, or refuse it with its limits. Control characters are refused."""
    text = value.replace("\r\n", "\n").strip() if isinstance(value, str) else ""
    if not at_least <= len(text) <= at_most:
        raise Unacceptable(
            _("Write between %(least)d and %(most)d characters; this has %(length)d.")
            % {"least": at_least, "most": at_most, "length": len(text)},
            field=field,
        )
    if any(ord(char) < 32 and char not in "\n\t" for char in text):
        raise Unacceptable(_("This contains characters that cannot be stored."), field=field)
    return text


def require_note(value: object, *, needed: bool) -> str:
    """Return a decision's comment: optional, unless the table requires one."""
    if not value and not needed:
        return ""
    return require_text(value, field="note", at_least=1 if needed else 0, at_most=COMMENT_MAX)


def is_within(at: datetime, opens_at: datetime, closes_at: datetime) -> bool:
    """Whether a window is open: it includes its first instant and not its last, `opens_at <= at < closes_at`."""
    return opens_at <= at < closes_at
