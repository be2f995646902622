"""What each event of the log means to a SIEM.

By the events' names, since the log knows nothing of what it watches. A name that is not here comes from a newer
version and gets OCSF's base event.
"""

from __future__ import annotations

from audit_app.meanings import OTHER, Action, Family, Meaning, Severity

_LOW, _MEDIUM, _HIGH = Severity.LOW, Severity.MEDIUM, Severity.HIGH
_CREATED, _UPDATED, _DELETED = (Meaning(Family.ENTITY, activity) for activity in (1, 3, 4))
_TICKET = (
    "assigned",
    "answer_asked",
    "answered",
    "commented",
    "note_added",
    "resolved",
    "closed",
    "reopened",
    "linked",
)


def _decided(name: str, action: Action, severity: Severity) -> Meaning:
    return Meaning(Family.ENTITY, OTHER, name, severity, action, is_decision=True)


MEANINGS: dict[str, Meaning] = {
    "access_request.submitted": Meaning(Family.ENTITY, 1, severity=_LOW),
    "access_request.approved_by_provider": _decided("Approve", Action.ALLOWED, _LOW),
    "access_request.denied_by_provider": _decided("Deny", Action.DENIED, Severity.INFORMATIONAL),
    "access_request.approved_by_customer": _decided("Approve", Action.ALLOWED, _LOW),
    "access_request.denied_by_customer": _decided("Deny", Action.DENIED, Severity.INFORMATIONAL),
    "access_request.withdrawn": _UPDATED,
    "access_request.expired": _UPDATED,
    "grant.released": Meaning(Family.USER_ACCESS, 2),
    "grant.revoked": Meaning(Family.USER_ACCESS, 2, severity=_LOW),
    "grant.closed": Meaning(Family.USER_ACCESS, 2),
    "content.list_asked": Meaning(Family.DATASTORE, 4),
    "content.listed": Meaning(Family.DATASTORE, 8),
    "content.opened": Meaning(Family.DATASTORE, 1, severity=_LOW),
    "content.downloaded": Meaning(Family.DATASTORE, OTHER, "Download", _LOW),
    "content.failed": Meaning(Family.DATASTORE, 1, severity=_LOW, has_failed=True),
    "content.cut": Meaning(Family.DATASTORE, OTHER, "Cut off", _MEDIUM, Action.DENIED),
    "content.access_allowed": Meaning(Family.DATASTORE, 1, severity=_LOW, action=Action.ALLOWED),
    "ticket.opened": _CREATED,
    **{f"ticket.{name}": _UPDATED for name in _TICKET},
    "tenant.created": _CREATED,
    "tenant.changed": Meaning(Family.ENTITY, 3, severity=_LOW),
    "plan.changed": Meaning(Family.ENTITY, 3, severity=_LOW),
    "service.changed": Meaning(Family.ENTITY, 3, severity=_MEDIUM),
    "lockbox.switched_on": Meaning(Family.ENTITY, 8, severity=_LOW),
    "lockbox.switched_off": Meaning(Family.ENTITY, 9, severity=_HIGH),
    "role.given": Meaning(Family.USER_ACCESS, 1, severity=_MEDIUM),
    "role.taken": Meaning(Family.USER_ACCESS, 2, severity=_LOW),
    "person.created": Meaning(Family.ACCOUNT, 1, severity=_LOW),
    "person.changed": Meaning(Family.ACCOUNT, OTHER, "Update", _LOW),
    "person.password_changed": Meaning(Family.ACCOUNT, 3, severity=_MEDIUM),
    "person.address_requested": Meaning(Family.ACCOUNT, OTHER, "Change of address asked for", _LOW),
    "person.address_changed": Meaning(Family.ACCOUNT, OTHER, "Address changed", _MEDIUM),
    "passkey.enrolled": Meaning(Family.ACCOUNT, 10, severity=_MEDIUM),
    "passkey.removed": Meaning(Family.ACCOUNT, 11, severity=_MEDIUM),
    "person.totp_set_up": Meaning(Family.ACCOUNT, 10, severity=_LOW),
    "person.totp_removed": Meaning(Family.ACCOUNT, 11, severity=_MEDIUM),
    "person.recovery_codes_made": Meaning(Family.ACCOUNT, OTHER, "Recovery codes made", _MEDIUM),
    "person.second_factors_reset": Meaning(Family.ACCOUNT, 11, severity=_HIGH),
    "person.switched_off": Meaning(Family.ACCOUNT, 5, severity=_LOW),
    "person.switched_on": Meaning(Family.ACCOUNT, 2, severity=_LOW),
    "invitation.sent": Meaning(Family.ACCOUNT, OTHER, "Invite", _MEDIUM),
    "invitation.withdrawn": Meaning(Family.ACCOUNT, OTHER, "Withdraw invitation", _LOW),
    "invitation.accepted": Meaning(Family.ACCOUNT, 1, severity=_MEDIUM),
    "recovery_key.made": Meaning(Family.ENTITY, 1, severity=_MEDIUM),
    "recovery_key.used": Meaning(Family.ENTITY, OTHER, "Use", _HIGH),
    "recovery_key.refused": Meaning(Family.ENTITY, OTHER, "Use", _MEDIUM, Action.DENIED, has_failed=True),
    "out_of_office.set": Meaning(Family.USER_ACCESS, 1, severity=_MEDIUM),
    "out_of_office.ended": Meaning(Family.USER_ACCESS, 2, severity=_LOW),
    "mute.set": Meaning(Family.ENTITY, 8, severity=_HIGH),
    "mute.lifted": Meaning(Family.ENTITY, 9, severity=_LOW),
    "two_person_control.switched_on": Meaning(Family.ENTITY, 8, severity=_LOW),
    "two_person_control.switched_off": Meaning(Family.ENTITY, 9, severity=_HIGH),
    "proposal.made": Meaning(Family.ENTITY, 1, severity=_MEDIUM),
    "proposal.confirmed": Meaning(Family.ENTITY, OTHER, "Confirm", _MEDIUM),
    "proposal.withdrawn": Meaning(Family.ENTITY, 4, severity=_LOW),
    "proposal.applied": Meaning(Family.ENTITY, 3, severity=_HIGH),
    "proposal.lapsed": Meaning(Family.ENTITY, OTHER, "Lapse", _LOW),
    "accounts.linked": Meaning(Family.ACCOUNT, OTHER, "Link", _MEDIUM),
    "accounts.unlinked": Meaning(Family.ACCOUNT, OTHER, "Unlink", _MEDIUM),
    "identity.linked": Meaning(Family.ACCOUNT, OTHER, "Linked", _MEDIUM),
    "identity.unlinked": Meaning(Family.ACCOUNT, OTHER, "Unlinked", _MEDIUM),
    "sign_on.changed": Meaning(Family.ENTITY, 3, severity=_HIGH),
    "sign_on.bypassed": Meaning(Family.ACCOUNT, OTHER, "Signed in past single sign-on", _HIGH),
    "domain.claimed": Meaning(Family.ENTITY, 1, severity=_LOW),
    "domain.verified": Meaning(Family.ENTITY, 3, severity=_MEDIUM),
    "domain.removed": Meaning(Family.ENTITY, 4, severity=_LOW),
    "notification_address.added": Meaning(Family.ENTITY, 1, severity=_LOW),
    "notification_address.removed": Meaning(Family.ENTITY, 4, severity=_LOW),
    "resource.added": _CREATED,
    "resource.changed": Meaning(Family.ENTITY, 3, severity=_LOW),
    "mail.parked": Meaning(Family.ENTITY, OTHER, "Delivery given up", _MEDIUM, has_failed=True),
    "mail.resent": Meaning(Family.ENTITY, OTHER, "Sent again"),
    "log.exported": Meaning(Family.LOG, 3, severity=_LOW),
    "log.evidence_taken": Meaning(Family.LOG, 3, severity=_LOW),
    "log.key_rotated": Meaning(Family.LOG, OTHER, "Key rotated", _MEDIUM),
    "log.tombstoned": Meaning(Family.LOG, OTHER, "Shard closed", _HIGH),
    "log.pruned": Meaning(Family.LOG, 2, severity=_MEDIUM),
    "log.head_adopted": Meaning(Family.LOG, OTHER, "Head vouched for", _HIGH),
    "log.policy_changed": Meaning(Family.LOG, OTHER, "Policy changed", _MEDIUM),
    "witness.added": Meaning(Family.ENTITY, 1, severity=_MEDIUM),
    "witness.removed": Meaning(Family.ENTITY, 4, severity=_MEDIUM),
    "client.created": Meaning(Family.ENTITY, 1, severity=_MEDIUM),
    "client.changed": Meaning(Family.ENTITY, 3, severity=_MEDIUM),
    "client.token_made": Meaning(Family.ENTITY, OTHER, "Token made", _MEDIUM),
    "client.secret_rotated": Meaning(Family.ENTITY, OTHER, "Secret rotated", _MEDIUM),
    "client.removed": Meaning(Family.ENTITY, 4, severity=_LOW),
    "token.created": Meaning(Family.ENTITY, 1, severity=_MEDIUM),
    "token.revoked": Meaning(Family.ENTITY, 4, severity=_LOW),
    "webhook.added": Meaning(Family.ENTITY, 1, severity=_MEDIUM),
    "webhook.changed": Meaning(Family.ENTITY, 3, severity=_MEDIUM),
    "webhook.removed": Meaning(Family.ENTITY, 4, severity=_LOW),
    "webhook.secret_rotated": Meaning(Family.ENTITY, 3, severity=_MEDIUM),
    "webhook.disabled": Meaning(Family.ENTITY, 9, severity=_MEDIUM),
    "webhook.enabled": Meaning(Family.ENTITY, 8, severity=_LOW),
    "webhook.tested": Meaning(Family.ENTITY, OTHER, "Tested"),
    "webhook.redelivered": Meaning(Family.ENTITY, OTHER, "Sent again"),
    "act.refused": Meaning(Family.API, OTHER, "Refused", _MEDIUM, Action.DENIED, has_failed=True),
}

#: What a service elsewhere was told yes to is one event; what it asked for is in the detail, as the `action`.
_ALLOWED = {
    "list": Meaning(Family.DATASTORE, 8, severity=_LOW, action=Action.ALLOWED),
    "download": Meaning(Family.DATASTORE, OTHER, "Download", _LOW, Action.ALLOWED),
}
UNKNOWN = Meaning(Family.BASE)


def meaning_of(event: str, action: str = "") -> Meaning:
    """`action` is the one in the entry's detail."""
    if event == "content.access_allowed" and action in _ALLOWED:
        return _ALLOWED[action]
    return MEANINGS.get(event, UNKNOWN)


def title_of(event: str) -> str:
    """A name for people that no translation changes, so that a rule about it holds in every language."""
    return event.replace(".", " ").replace("_", " ").capitalize()
