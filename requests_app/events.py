"""Every name an audit entry may carry: "subject.past_participle"."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

#: The log of what concerns no tenant: the provider's people, plans and services.
PROVIDER_LOG = UUID(int=0)


class Event(StrEnum):
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


TITLES: dict[Event, Promise] = {
    Event.ACCESS_REQUEST_SUBMITTED: _("Access request submitted"),
    Event.ACCESS_REQUEST_APPROVED_BY_PROVIDER: _("Approved by the provider"),
    Event.ACCESS_REQUEST_DENIED_BY_PROVIDER: _("Denied by the provider"),
    Event.ACCESS_REQUEST_APPROVED_BY_CUSTOMER: _("Approved by the customer"),
    Event.ACCESS_REQUEST_DENIED_BY_CUSTOMER: _("Denied by the customer"),
    Event.ACCESS_REQUEST_WITHDRAWN: _("Access request withdrawn"),
    Event.ACCESS_REQUEST_EXPIRED: _("Access request expired"),
    Event.GRANT_RELEASED: _("Window given back"),
    Event.GRANT_REVOKED: _("Window closed early"),
    Event.GRANT_CLOSED: _("Window closed by itself"),
    Event.CONTENT_LIST_ASKED: _("Asked for a list of names"),
    Event.CONTENT_LISTED: _("Names listed"),
    Event.CONTENT_OPENED: _("Item opened"),
    Event.CONTENT_DOWNLOADED: _("Item downloaded"),
    Event.CONTENT_FAILED: _("Content could not be read"),
    Event.CONTENT_CUT: _("Reading cut off"),
    Event.CONTENT_ACCESS_ALLOWED: _("Access allowed elsewhere"),
    Event.TICKET_OPENED: _("Ticket opened"),
    Event.TICKET_ASSIGNED: _("Ticket assigned"),
    Event.TICKET_ANSWER_ASKED: _("Answer asked of the customer"),
    Event.TICKET_ANSWERED: _("Customer answered"),
    Event.TICKET_COMMENTED: _("Comment added"),
    Event.TICKET_NOTE_ADDED: _("Internal note added"),
    Event.TICKET_RESOLVED: _("Ticket resolved"),
    Event.TICKET_CLOSED: _("Ticket closed"),
    Event.TICKET_REOPENED: _("Ticket reopened"),
    Event.TENANT_CREATED: _("Tenant created"),
    Event.TENANT_CHANGED: _("Tenant changed"),
    Event.PLAN_CHANGED: _("Plan changed"),
    Event.SERVICE_CHANGED: _("Service changed"),
    Event.LOCKBOX_SWITCHED_ON: _("Lockbox switched on"),
    Event.LOCKBOX_SWITCHED_OFF: _("Lockbox switched off"),
    Event.ROLE_GIVEN: _("Role given"),
    Event.ROLE_TAKEN: _("Role taken away"),
    Event.PERSON_CREATED: _("Person added"),
    Event.PERSON_CHANGED: _("Person changed"),
    Event.PERSON_PASSWORD_CHANGED: _("Password changed"),
    Event.PERSON_ADDRESS_REQUESTED: _("Change of an address asked for"),
    Event.PERSON_ADDRESS_CHANGED: _("Address changed"),
    Event.PASSKEY_ENROLLED: _("Passkey added"),
    Event.PASSKEY_REMOVED: _("Passkey removed"),
    Event.PERSON_TOTP_SET_UP: _("Authenticator app set up"),
    Event.PERSON_TOTP_REMOVED: _("Authenticator app removed"),
    Event.PERSON_RECOVERY_CODES_MADE: _("Recovery codes made"),
    Event.PERSON_SECOND_FACTORS_RESET: _("Second factors reset"),
    Event.PERSON_SWITCHED_OFF: _("Person switched off"),
    Event.PERSON_SWITCHED_ON: _("Person switched on"),
    Event.INVITATION_SENT: _("Invitation sent"),
    Event.INVITATION_WITHDRAWN: _("Invitation withdrawn"),
    Event.INVITATION_ACCEPTED: _("Invitation accepted"),
    Event.RECOVERY_KEY_MADE: _("Recovery key made"),
    Event.RECOVERY_KEY_USED: _("Recovery key used"),
    Event.RECOVERY_KEY_REFUSED: _("Wrong recovery key"),
    Event.OUT_OF_OFFICE_SET: _("Deputy named"),
    Event.OUT_OF_OFFICE_ENDED: _("Deputy’s time ended early"),
    Event.MUTE_SET: _("Everything denied and muted"),
    Event.MUTE_LIFTED: _("Mute lifted"),
    Event.TWO_PERSON_SWITCHED_ON: _("Two-person control switched on"),
    Event.TWO_PERSON_SWITCHED_OFF: _("Two-person control switched off"),
    Event.PROPOSAL_MADE: _("Change proposed"),
    Event.PROPOSAL_CONFIRMED: _("Change confirmed"),
    Event.PROPOSAL_WITHDRAWN: _("Proposed change withdrawn"),
    Event.PROPOSAL_APPLIED: _("Announced change took effect"),
    Event.PROPOSAL_LAPSED: _("Announced change lapsed"),
    Event.ACCOUNTS_LINKED: _("Accounts linked as one human’s"),
    Event.ACCOUNTS_UNLINKED: _("Account no longer linked"),
    Event.IDENTITY_LINKED: _("Linked to single sign-on"),
    Event.IDENTITY_UNLINKED: _("No longer linked to single sign-on"),
    Event.SIGN_ON_CHANGED: _("Single sign-on changed"),
    Event.SIGN_ON_BYPASSED: _("Signed in past single sign-on"),
    Event.DOMAIN_CLAIMED: _("Domain added"),
    Event.DOMAIN_VERIFIED: _("Domain proven"),
    Event.DOMAIN_REMOVED: _("Domain removed"),
    Event.ADDRESS_ADDED: _("Notification address added"),
    Event.ADDRESS_REMOVED: _("Notification address removed"),
    Event.RESOURCE_ADDED: _("Resource added"),
    Event.RESOURCE_CHANGED: _("Resource changed"),
    Event.MAIL_PARKED: _("Mail could not be delivered"),
    Event.MAIL_RESENT: _("Mail sent again"),
    Event.LOG_EXPORTED: _("Log exported"),
    Event.LOG_EVIDENCE_TAKEN: _("Evidence downloaded"),
    Event.LOG_KEY_ROTATED: _("Log key changed"),
    Event.LOG_TOMBSTONED: _("Damaged log closed, and a new one begun"),
    Event.LOG_PRUNED: _("Old entries removed"),
    Event.LOG_HEAD_ADOPTED: _("Newest checkpoint vouched for"),
    Event.LOG_POLICY_CHANGED: _("Rules of the log changed"),
    Event.WITNESS_ADDED: _("Witness added"),
    Event.WITNESS_REMOVED: _("Witness removed"),
    Event.CLIENT_CREATED: _("Client added"),
    Event.CLIENT_CHANGED: _("Client changed"),
    Event.CLIENT_TOKEN_MADE: _("Lasting token made"),
    Event.CLIENT_SECRET_ROTATED: _("Client’s secret changed"),
    Event.CLIENT_REMOVED: _("Client removed"),
    Event.TOKEN_CREATED: _("Token made"),
    Event.TOKEN_REVOKED: _("Token revoked"),
    Event.TICKET_LINKED: _("Ticket linked"),
    Event.WEBHOOK_ADDED: _("Webhook added"),
    Event.WEBHOOK_CHANGED: _("Webhook changed"),
    Event.WEBHOOK_REMOVED: _("Webhook removed"),
    Event.WEBHOOK_SECRET_ROTATED: _("Webhook given a new secret"),
    Event.WEBHOOK_DISABLED: _("Webhook switched off"),
    Event.WEBHOOK_ENABLED: _("Webhook switched on"),
    Event.WEBHOOK_TESTED: _("Webhook tested"),
    Event.WEBHOOK_REDELIVERED: _("Message to a webhook sent again"),
    Event.ACT_REFUSED: _("Refused"),
}


def title_of(name: str) -> str:
    """Words for a stored event name; a name from a newer version stands for itself."""
    try:
        return str(TITLES[Event(name)])
    except ValueError:
        return name


#: Through what somebody came to act.
DOORS: dict[str, Promise] = {
    "pages": _("Pages"),
    "api": _("API"),
    "admin": _("Administration"),
    "command": _("Command"),
    "task": _("By itself"),
}


def door_title(name: str) -> str:
    """The door in words; one that is not known as it stands in the log."""
    return str(DOORS.get(name, name))
