"""Reads facts about this installation itself."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain import link_secrets
from requests_app.models import Installation, OutboxMessage, Person, Plan, Tenant
from requests_app.models.outbox import MAIL
from requests_app.platform import trial
from requests_app.platform.trial import MAIL_FILES


def has_staff() -> bool:
    """Return whether there is a staff member. An account that is switched off counts too."""
    return Person.objects.get_queryset().filter(is_staff=True).exists()


def is_trial() -> bool:
    """Return whether this installation is a trial. Nothing that a production installation needs is left out there."""
    return trial.is_trial(
        base_url=settings.BASE_URL, email_backend=settings.EMAIL_BACKEND, is_production=settings.PRODUCTION
    )


def needs_trial_plan() -> bool:
    """Return whether this is a trial that nobody has begun: it has no plan and no staff member."""
    return is_trial() and not has_staff() and not Plan.objects.exists()


def is_setup_link_open(at: datetime) -> bool:
    """Return whether a set-up link was made that still works at this time."""
    return Installation.objects.filter(pk=1, setup_link_expires_at__gt=at).exclude(setup_link_hash="").exists()


def is_mail_tested() -> bool:
    """Return whether a test mail has ever succeeded."""
    return Installation.objects.filter(mail_tested_at__isnull=False).exists()


def provider_name() -> str:
    """Return the sentence that says which name everybody reads, and how the operator changes it."""
    words = _(
        "Everybody reads the name “%(name)s”. To change it, write a line with PROVIDER_NAME=… into %(file)s, and "
        "start again."
    )
    return words % {"name": settings.PROVIDER_NAME, "file": settings.DATA_DIR / ".env"}


def why_no_link_is_copied() -> str:
    """Return why no invitation link may be copied in this installation. Return "" while one may be.

    A copied link is for the time before anything depends on who reads it, and before mail works.
    """
    if Tenant.objects.ever_on().exists():
        return _("A tenant has switched Lockbox on, so invitations reach their readers by mail only.")
    if is_mail_tested():
        return _("A test mail has succeeded, so invitations reach their readers by mail only.")
    if _has_sent_mail():
        return _("The mail server has accepted a mail, so invitations reach their readers by mail only.")
    return ""


def _has_sent_mail() -> bool:
    """Return whether a mail was delivered, and mails are not written to files. What was sent to files proves nothing.

    A delivered message doesn't tell which backend it was given to. After a change from files to a server, earlier
    messages count too: then staff send a test mail in place of copying links.
    """
    delivered = OutboxMessage.objects.filter(lane=MAIL, state=OutboxMessage.State.DELIVERED)
    return settings.EMAIL_BACKEND != MAIL_FILES and delivered.exists()


def is_setup_begun(secret: str, browser: str, *, at: datetime) -> bool:
    """Return whether this link is in use at this time, and this is the secret of the browser that opened it first."""
    if not browser:
        return False
    hashes = {
        "setup_link_hash": link_secrets.hashed(secret),
        "setup_link_owner_hash": link_secrets.hashed(browser),
    }
    return Installation.objects.filter(pk=1, setup_link_expires_at__gt=at, **hashes).exists()


def has_key_copy() -> bool:
    """Return whether an encrypted copy of the log's key was made, and its passphrase was shown."""
    return Installation.objects.exclude(key_copy_hash="").exists()
