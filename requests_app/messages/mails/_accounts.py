"""Reads the facts for mails about a person's own account."""

from __future__ import annotations

import datetime as dt
from datetime import datetime

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app.domain import link_secrets
from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import Topic
from requests_app.models import AddressChange, OutboxMessage, Person, QueueAssignment
from requests_app.queries import given_roles


@reads(Topic.PASSWORD_CHANGED)
def password(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a password was changed, or was reset with a link."""
    person = Person.objects.get(pk=message.about)
    is_reset = message.payload["how"] == "reset"
    how = _("through a link sent to this address") if is_reset else _("by a person who knew the previous password")
    return {
        "path": reverse("account_reset_password"),
        "is_own_account": True,
        "is_reset": is_reset,
        "facts": [
            Fact(_("Account"), [words.line(person.email)]),
            Fact(_("How"), [how]),
            Fact(_("When"), [words.when(message.created_at, at)]),
        ],
    }


@reads(Topic.PASSWORD_RESET)
def reset(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail with the link to set a new password."""
    assert message.person is not None
    path = reverse("account_reset_password_from_key", kwargs={"uidb36": "UID", "key": "KEY"})
    return {
        "path": path.replace("UID-KEY", link_secrets.MARK),
        "is_own_account": True,
        "is_first": message.person.email_verified_at is None,
        "until": words.when(message.created_at + dt.timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT), at),
        "facts": [
            Fact(_("Account"), [words.line(message.person.email)]),
            Fact(_("When"), [words.when(message.created_at, at)]),
        ],
    }


@reads(Topic.ADDRESS_LINK)
def address_link(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that asks its reader to confirm the new address of an account."""
    row = AddressChange.objects.get(pk=message.about)
    return {
        "path": reverse("web:address_confirm", args=[link_secrets.MARK]),
        "is_own_account": True,
        "until": words.when(row.expires_at, at),
        "facts": [
            Fact(_("Address"), [words.line(row.email_before)]),
            Fact(_("New address"), [words.line(row.email)]),
            Fact(_("The link works until"), [words.when(row.expires_at, at)]),
        ],
    }


@reads(Topic.ADDRESS_CHANGED)
def address_changed(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail to the former address, after a new address was requested or confirmed."""
    row = AddressChange.objects.get(pk=message.about)
    is_done = message.payload["how"] == "changed"
    return {
        "path": reverse("account_reset_password"),
        "is_own_account": True,
        "is_done": is_done,
        "new": words.line(row.email),
        "facts": [
            Fact(_("Old address") if is_done else _("Address"), [words.line(row.email_before)]),
            Fact(_("New address"), [words.line(row.email)]),
            Fact(_("When"), [words.when(message.created_at, at)]),
        ],
    }


@reads(Topic.PASSKEYS_CHANGED)
def passkeys(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a passkey was added or removed.

    It goes to the holder of the passkey, and to the approvers of the holder's tenants.
    """
    person = Person.objects.get(pk=message.about)
    is_holder = message.person_id == person.pk
    added = message.payload["change"] == "added"
    if is_holder or message.tenant_id is None:
        path = reverse("account_reset_password")
    else:
        path = reverse("web:people", args=[message.tenant_id])
    return {
        "path": path,
        "is_own_account": is_holder,
        "added": added,
        "name": words.name(person),
        "by": words.line(message.payload["by"]),
        "facts": [
            Fact(_("Person"), [words.name(person), words.line(person.email)]),
            Fact(_("Passkey"), [words.line(message.payload["passkey"]), _("added") if added else _("removed")]),
            Fact(_("Done by"), [words.line(message.payload["by"])]),
            Fact(_("When"), [words.when(message.created_at, at)]),
        ],
    }


@reads(Topic.ROLE_GIVEN)
def role_given(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail to a person of the provider, when a role that was announced takes effect."""
    role, since = message.payload["role"], datetime.fromisoformat(message.payload["since"])
    names = given_roles.queues(message.about, role, since=since)
    return {
        "path": reverse("web:home"),
        "is_own_account": True,
        "role": role,
        "queues": words.line(", ".join(names)),
        "facts": [
            Fact(_("Role"), [str(QueueAssignment.Role(role).label) if names else _("Staff")]),
            *([Fact(_("Queues"), [words.line(name) for name in names])] if names else []),
            Fact(_("Since"), [words.when(since, at)]),
        ],
    }


@reads(Topic.SECOND_FACTOR_CHANGED)
def second_factor(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a person's second factors were changed.

    A factor was set up or removed, new recovery codes were made, or another person reset all factors.
    """
    person = Person.objects.get(pk=message.about)
    is_holder = message.person_id == person.pk
    by = words.line(message.payload.get("by", ""))
    return {
        "path": reverse("web:security") if is_holder else reverse("web:people", args=[message.tenant_id]),
        "is_own_account": is_holder,
        "how": message.payload["how"],
        "name": words.name(person),
        "by": by,
        "facts": [
            Fact(
                _("Account"),
                [words.line(person.email)] if is_holder else [words.name(person), words.line(person.email)],
            ),
            *([Fact(_("Done by"), [by])] if by else []),
            Fact(_("When"), [words.when(message.created_at, at)]),
        ],
    }
