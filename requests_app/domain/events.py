"""All names that an entry of the log can have, in the form "subject.past_participle"."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from requests_app.domain.acts import EVENTS

#: The id of the log for what belongs to no tenant: the provider's people, plans and services.
PROVIDER_LOG = UUID(int=0)


class Event(StrEnum):
    """The names of events that the code itself uses, for example to filter a log.

    An entry does not take its name from here, but from the declaration of its act.
    """

    ACCESS_REQUEST_SUBMITTED = "access_request.submitted"
    ACCESS_REQUEST_APPROVED_BY_PROVIDER = "access_request.approved_by_provider"
    ACCESS_REQUEST_DENIED_BY_PROVIDER = "access_request.denied_by_provider"
    ACCESS_REQUEST_APPROVED_BY_CUSTOMER = "access_request.approved_by_customer"
    ACCESS_REQUEST_DENIED_BY_CUSTOMER = "access_request.denied_by_customer"
    ACCESS_REQUEST_WITHDRAWN = "access_request.withdrawn"
    ACCESS_REQUEST_EXPIRED = "access_request.expired"
    GRANT_RELEASED = "grant.released"
    GRANT_REVOKED = "grant.revoked"
    GRANT_CLOSED = "grant.closed"
    CONTENT_LIST_ASKED = "content.list_asked"
    CONTENT_LISTED = "content.listed"
    CONTENT_OPENED = "content.opened"
    CONTENT_DOWNLOADED = "content.downloaded"
    CONTENT_FAILED = "content.failed"
    CONTENT_CUT = "content.cut"
    CONTENT_ACCESS_ALLOWED = "content.access_allowed"
    TICKET_OPENED = "ticket.opened"
    TICKET_ASSIGNED = "ticket.assigned"
    TICKET_ANSWER_ASKED = "ticket.answer_asked"
    TICKET_ANSWERED = "ticket.answered"
    TICKET_COMMENTED = "ticket.commented"
    TICKET_NOTE_ADDED = "ticket.note_added"
    TICKET_RESOLVED = "ticket.resolved"
    TICKET_CLOSED = "ticket.closed"
    TICKET_REOPENED = "ticket.reopened"
    TENANT_CREATED = "tenant.created"
    TENANT_CHANGED = "tenant.changed"
    PLAN_CHANGED = "plan.changed"
    SERVICE_CHANGED = "service.changed"
    LOCKBOX_SWITCHED_ON = "lockbox.switched_on"
    LOCKBOX_SWITCHED_OFF = "lockbox.switched_off"
    ROLE_GIVEN = "role.given"
    ROLE_TAKEN = "role.taken"
    PERSON_CREATED = "person.created"
    PERSON_CHANGED = "person.changed"
    PERSON_PASSWORD_CHANGED = "person.password_changed"  # noqa: S105 - a name
    PERSON_ADDRESS_REQUESTED = "person.address_requested"
    PERSON_ADDRESS_CHANGED = "person.address_changed"
    PASSKEY_ENROLLED = "passkey.enrolled"
    PASSKEY_REMOVED = "passkey.removed"
    PERSON_TOTP_SET_UP = "person.totp_set_up"
    PERSON_TOTP_REMOVED = "person.totp_removed"
    PERSON_RECOVERY_CODES_MADE = "person.recovery_codes_made"
    PERSON_SECOND_FACTORS_RESET = "person.second_factors_reset"
    PERSON_SWITCHED_OFF = "person.switched_off"
    PERSON_SWITCHED_ON = "person.switched_on"
    INVITATION_SENT = "invitation.sent"
    INVITATION_WITHDRAWN = "invitation.withdrawn"
    INVITATION_ACCEPTED = "invitation.accepted"
    RECOVERY_KEY_MADE = "recovery_key.made"
    RECOVERY_KEY_USED = "recovery_key.used"
    RECOVERY_KEY_REFUSED = "recovery_key.refused"
    OUT_OF_OFFICE_SET = "out_of_office.set"
    OUT_OF_OFFICE_ENDED = "out_of_office.ended"
    MUTE_SET = "mute.set"
    MUTE_LIFTED = "mute.lifted"
    TWO_PERSON_SWITCHED_ON = "two_person_control.switched_on"
    TWO_PERSON_SWITCHED_OFF = "two_person_control.switched_off"
    PROPOSAL_MADE = "proposal.made"
    PROPOSAL_CONFIRMED = "proposal.confirmed"
    PROPOSAL_WITHDRAWN = "proposal.withdrawn"
    PROPOSAL_APPLIED = "proposal.applied"
    PROPOSAL_LAPSED = "proposal.lapsed"
    ACCOUNTS_LINKED = "accounts.linked"
    ACCOUNTS_UNLINKED = "accounts.unlinked"
    IDENTITY_LINKED = "identity.linked"
    IDENTITY_UNLINKED = "identity.unlinked"
    SIGN_ON_CHANGED = "sign_on.changed"
    SIGN_ON_BYPASSED = "sign_on.bypassed"
    DOMAIN_CLAIMED = "domain.claimed"
    DOMAIN_VERIFIED = "domain.verified"
    DOMAIN_REMOVED = "domain.removed"
    ADDRESS_ADDED = "notification_address.added"
    ADDRESS_REMOVED = "notification_address.removed"
    RESOURCE_ADDED = "resource.added"
    RESOURCE_CHANGED = "resource.changed"
    MAIL_PARKED = "mail.parked"
    MAIL_RESENT = "mail.resent"
    LOG_EXPORTED = "log.exported"
    LOG_EVIDENCE_TAKEN = "log.evidence_taken"
    LOG_KEY_ROTATED = "log.key_rotated"
    LOG_TOMBSTONED = "log.tombstoned"
    LOG_PRUNED = "log.pruned"
    LOG_HEAD_ADOPTED = "log.head_adopted"
    LOG_POLICY_CHANGED = "log.policy_changed"
    WITNESS_ADDED = "witness.added"
    WITNESS_REMOVED = "witness.removed"
    CLIENT_CREATED = "client.created"
    CLIENT_CHANGED = "client.changed"
    CLIENT_TOKEN_MADE = "client.token_made"  # noqa: S105 - a name
    CLIENT_SECRET_ROTATED = "client.secret_rotated"  # noqa: S105 - a name
    CLIENT_REMOVED = "client.removed"
    TOKEN_CREATED = "token.created"  # noqa: S105 - a name
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - a name
    TICKET_LINKED = "ticket.linked"
    WEBHOOK_ADDED = "webhook.added"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_REMOVED = "webhook.removed"
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"  # noqa: S105 - a name
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_ENABLED = "webhook.enabled"
    WEBHOOK_TESTED = "webhook.tested"
    WEBHOOK_REDELIVERED = "webhook.redelivered"
    ACT_REFUSED = "act.refused"


#: Every name that an entry can have, in the order in which the API lists them: first the names of `Event`, then those
#: that only a declaration has. Declare a new event; do not add it to `Event`.
NAMES: tuple[str, ...] = (*map(str, Event), *(name for name in EVENTS if name not in Event._value2member_map_))
TITLES: dict[str, Promise] = {name: EVENTS[name].label for name in NAMES}


def title_of(name: str) -> str:
    """Return the title of an event.

    If a newer version stored a name that is unknown here, return the name unchanged.
    """
    event = EVENTS.get(name)
    return name if event is None else str(event.label)


#: The names of the interfaces in the log, with their titles.
DOORS: dict[str, Promise] = {
    "pages": _("Pages"),
    "api": _("API"),
    "admin": _("Administration"),
    "command": _("Command"),
    "task": _("Background task"),
}


def door_title(name: str) -> str:
    """Return the title of an interface. If the name is unknown, return the name unchanged."""
    return str(DOORS.get(name, name))
