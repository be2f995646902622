"""The sentence of every event of the log. {who} is whoever acted; the other names are made by _log_words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from requests_app.events import Event
from requests_app.lifecycle import State

Said = dict[str, Any]

#: For an event of a newer version, and for an entry whose bytes cannot be read.
BY_NAME = _("{who}: {title}")

PATTERNS: dict[str, Promise] = {
    Event.ACCESS_REQUEST_SUBMITTED: _("{who} asked to {ask} for {length}"),
    Event.ACCESS_REQUEST_APPROVED_BY_PROVIDER: _("{who} approved {request} for {provider}; {tenant} is asked next"),
    Event.ACCESS_REQUEST_DENIED_BY_PROVIDER: _("{who} denied {request} for {provider}"),
    Event.ACCESS_REQUEST_APPROVED_BY_CUSTOMER: _(
        "{who} approved {request} for {tenant}; the window is open until {until}"
    ),
    Event.ACCESS_REQUEST_DENIED_BY_CUSTOMER: _("{who} denied {request} for {tenant}"),
    Event.ACCESS_REQUEST_WITHDRAWN: _("{who} withdrew {request}"),
    Event.ACCESS_REQUEST_EXPIRED: _("Nobody answered {request} in time; it expired"),
    Event.GRANT_RELEASED: _("{who} gave the window of {request} back early"),
    Event.GRANT_REVOKED: _("{who} closed the window of {request} early"),
    Event.GRANT_CLOSED: _("The window of {request} closed by itself"),
    Event.CONTENT_LIST_ASKED: _("{who} asked for the names in {resource_name}"),
    Event.CONTENT_LISTED: _("{who} was shown {names} in {resource_name}"),
    Event.CONTENT_OPENED: _("{who} opened {item} in {resource_name}"),
    Event.CONTENT_DOWNLOADED: _("{who} downloaded {item} from {resource_name}"),
    Event.CONTENT_FAILED: _("{who} tried to look at {item} in {resource_name}; it could not be read"),
    Event.CONTENT_CUT: _("{who} was reading {item} in {resource_name}; it was cut off when the window closed"),
    Event.CONTENT_ACCESS_ALLOWED: _("{who} let {engineer} open {item} in {resource_name} through another service"),
    Event.TICKET_OPENED: _("{who} opened the ticket {ticket}: {ticket_title}"),
    Event.TICKET_ASSIGNED: _("{who} gave the ticket {ticket} to {assignee}"),
    Event.TICKET_ANSWER_ASKED: _("{who} asked the customer something on the ticket {ticket}"),
    Event.TICKET_ANSWERED: _("{who} answered on the ticket {ticket}"),
    Event.TICKET_COMMENTED: _("{who} wrote on the ticket {ticket}"),
    Event.TICKET_NOTE_ADDED: _("{who} wrote a note on the ticket {ticket} that only {provider} reads"),
    Event.TICKET_RESOLVED: _("{who} resolved the ticket {ticket}"),
    Event.TICKET_CLOSED: _("{who} closed the ticket {ticket}"),
    Event.TICKET_REOPENED: _("{who} reopened the ticket {ticket}"),
    Event.TENANT_CREATED: _("{who} set up {name} on the plan {plan}"),
    Event.TENANT_CHANGED: _("{who} changed the tenant: {changes}"),
    Event.PLAN_CHANGED: _("{who} changed a plan: {changes}"),
    Event.SERVICE_CHANGED: _("{who} changed a service: {changes}"),
    Event.LOCKBOX_SWITCHED_ON: _("{who} switched Lockbox on"),
    Event.LOCKBOX_SWITCHED_OFF: _("{who} switched Lockbox off"),
    Event.ROLE_GIVEN: _("{who} gave {name} the role “{role}”"),
    Event.ROLE_TAKEN: _("{who} took the role “{role}” from {name}"),
    Event.PERSON_CREATED: _("{who} added an account for {name} ({email})"),
    Event.PERSON_CHANGED: _("{who} changed the account of {name}"),
    Event.PERSON_PASSWORD_CHANGED: _("{who} changed the password of the own account"),
    Event.PERSON_ADDRESS_REQUESTED: _("{who} asked for another address, {new_email}"),
    Event.PERSON_ADDRESS_CHANGED: _("{who} changed the own address from {email_before} to {email}"),
    Event.PASSKEY_ENROLLED: _("{who} added the passkey “{passkey_name}” to the own account"),
    Event.PASSKEY_REMOVED: _("{who} removed the passkey “{passkey_name}” of {name}"),
    Event.PERSON_TOTP_SET_UP: _("{who} set up an authenticator app for the own account"),
    Event.PERSON_TOTP_REMOVED: _("{who} removed the authenticator app from the own account"),
    Event.PERSON_RECOVERY_CODES_MADE: _("{who} had new recovery codes made for the own account"),
    Event.PERSON_SECOND_FACTORS_RESET: _("{who} reset the second factors of {name}"),
    Event.IDENTITY_LINKED: _("{name} signed in at {issuer} for the first time"),
    Event.IDENTITY_UNLINKED: _("{who} unlinked {name} from {issuer}"),
    Event.SIGN_ON_CHANGED: _("{who} changed single sign-on: {issuer}"),
    Event.SIGN_ON_BYPASSED: _("{who} signed in past single sign-on"),
    Event.DOMAIN_CLAIMED: _("{who} added the domain {domain}"),
    Event.DOMAIN_VERIFIED: _("{who} had the domain {domain} proven"),
    Event.DOMAIN_REMOVED: _("{who} removed the domain {domain}"),
    Event.PERSON_SWITCHED_OFF: _("{who} switched off the account of {name}"),
    Event.PERSON_SWITCHED_ON: _("{who} switched on the account of {name}"),
    Event.INVITATION_SENT: _("{who} invited {email} to be {role}"),
    Event.INVITATION_WITHDRAWN: _("{who} withdrew the invitation of {email}"),
    Event.INVITATION_ACCEPTED: _("{who} accepted the invitation that {invited_by} had sent to {email}"),
    Event.RECOVERY_KEY_MADE: _("{who} had a recovery key made; one that was made before is dead"),
    Event.RECOVERY_KEY_USED: _("The recovery key was used to make {email} an administrator; its people were told"),
    Event.RECOVERY_KEY_REFUSED: _("{title}: somebody tried one that is none"),
    Event.OUT_OF_OFFICE_SET: _("{who} is out of the office; {deputy_name} decides from {from_at} until {until_at}"),
    Event.OUT_OF_OFFICE_ENDED: _("{who} ended the time in which {deputy_name} decides for {approver_name}"),
    Event.MUTE_SET: _("{who} denied {denied_amount} that waited, and takes none from {muted} until {until_at}"),
    Event.MUTE_LIFTED: _("{who} lifted the mute of {muted}"),
    Event.TWO_PERSON_SWITCHED_ON: _("{who} switched two-person control on"),
    Event.TWO_PERSON_SWITCHED_OFF: _("{who} switched two-person control off"),
    Event.PROPOSAL_MADE: _("{who} proposed to {proposed}"),
    Event.PROPOSAL_CONFIRMED: _("{who} confirmed what {proposed_by} had proposed: to {proposed}"),
    Event.PROPOSAL_WITHDRAWN: _("{who} withdrew what {proposed_by} had proposed: to {proposed}"),
    Event.PROPOSAL_APPLIED: _("What {proposed_by} had proposed took effect: to {proposed} ({confirmed})"),
    Event.PROPOSAL_LAPSED: _("What {proposed_by} had proposed lapsed, nothing was changed: to {proposed}. {lapsed}"),
    Event.ACCOUNTS_LINKED: _("{who} linked the accounts of {name} and {other_name}: they count as one human"),
    Event.ACCOUNTS_UNLINKED: _("{who} unlinked the account of {name}: it counts as a human of its own"),
    Event.ADDRESS_ADDED: _("{who} added {email} to the addresses that only get mail"),
    Event.ADDRESS_REMOVED: _("{who} removed {email} from the addresses that only get mail"),
    Event.RESOURCE_ADDED: _("{who} added the resource {resource_set}"),
    Event.RESOURCE_CHANGED: _("{who} changed a resource: {changes}"),
    Event.MAIL_PARKED: _("A mail to {to} could not be delivered and was given up"),
    Event.MAIL_RESENT: _("{who} had a mail to {to} sent again"),
    Event.LOG_EXPORTED: _("{who} exported the log as {format}"),
    Event.LOG_EVIDENCE_TAKEN: _("{who} downloaded the evidence of the log"),
    Event.LOG_KEY_ROTATED: _("The log is signed with a new key from here on: {new_key} in place of {old_keys}"),
    Event.LOG_TOMBSTONED: _(
        "{who} closed the damaged log and began a new one; signed before: {signed_size}, found: {found_size}"
    ),
    Event.LOG_PRUNED: _("{who} removed the entries before number {to}, which were older than {days}"),
    Event.LOG_HEAD_ADOPTED: _(
        "{who} was told by the operator to go on from the newest checkpoint, whose copy outside was lost"
    ),
    Event.LOG_POLICY_CHANGED: _("{who} changed the rules of the log"),
    Event.WITNESS_ADDED: _("{who} added the witness {name} at {url}"),
    Event.WITNESS_REMOVED: _("{who} removed the witness {name}"),
    Event.CLIENT_CREATED: _("{who} added the client {name}"),
    Event.CLIENT_CHANGED: _("{who} changed the client {name}"),
    Event.CLIENT_TOKEN_MADE: _("{who} made a lasting token for the client {name}"),
    Event.CLIENT_SECRET_ROTATED: _("{who} gave the client {name} a new secret"),
    Event.CLIENT_REMOVED: _("{who} removed the client {name}"),
    Event.TOKEN_CREATED: _("{who} made the token “{name}”"),
    Event.TOKEN_REVOKED: _("{who} revoked the token “{name}” of {person_name}"),
    Event.TICKET_LINKED: _("{who} took away what the ticket {ticket} is called elsewhere"),
    Event.WEBHOOK_ADDED: _("{who} added a webhook to {place}"),
    Event.WEBHOOK_CHANGED: _("{who} changed the webhook to {place}"),
    Event.WEBHOOK_REMOVED: _("{who} removed the webhook to {place}"),
    Event.WEBHOOK_SECRET_ROTATED: _("{who} had a new secret made for the webhook to {place}"),
    Event.WEBHOOK_DISABLED: _("{who} switched the webhook to {place} off"),
    Event.WEBHOOK_ENABLED: _("{who} switched the webhook to {place} on again"),
    Event.WEBHOOK_TESTED: _("{who} sent a test to the webhook to {place}"),
    Event.WEBHOOK_REDELIVERED: _("{who} had a message sent again to the webhook to {place}"),
    Event.ACT_REFUSED: _("{who} tried to {act} and was refused: {why}"),
}


def _has(name: str, value: object = None) -> Callable[[Said, Said], bool]:
    """Whether the detail has something under this name, or exactly this value."""
    return lambda detail, actor: bool(detail.get(name)) if value is None else detail.get(name) == value


def _says(name: str) -> Callable[[Said, Said], bool]:
    """Whether the detail has this name at all, be it with nothing under it."""
    return lambda detail, actor: name in detail


def _is_download_of_an_item(detail: Said, actor: Said) -> bool:
    return detail.get("action") == "download" and bool(detail.get("item"))


#: Kinds of an event that have a sentence of their own, by (detail, actor); the first that applies counts.
VARIANTS: dict[str, tuple[tuple[Callable[[Said, Said], bool], Promise], ...]] = {
    Event.ACCESS_REQUEST_SUBMITTED: (
        (_has("reason", "legal_demand"), _("{who} asked to {ask} for {length}, because {authority} demands it")),
    ),
    Event.ACCESS_REQUEST_APPROVED_BY_PROVIDER: (
        (
            _has("state", State.OPEN.value),
            _("{who} approved {request} for {provider}; the window is open until {until}"),
        ),
    ),
    Event.ACCESS_REQUEST_WITHDRAWN: ((_has("cause"), _("{request} was withdrawn, because {cause}")),),
    Event.GRANT_REVOKED: ((_has("cause"), _("The window of {request} was closed, because {cause}")),),
    Event.CONTENT_OPENED: ((_has("part"), _("{who} opened an attachment of {item} in {resource_name}")),),
    Event.CONTENT_DOWNLOADED: ((_has("part"), _("{who} downloaded an attachment of {item} in {resource_name}")),),
    Event.CONTENT_FAILED: ((_has("item", ""), _("{who} tried to look at {resource_name}; it could not be read")),),
    Event.CONTENT_ACCESS_ALLOWED: (
        (_has("action", "list"), _("{who} let {engineer} see names in {resource_name} through another service")),
        (
            _is_download_of_an_item,
            _("{who} let {engineer} download {item} from {resource_name} through another service"),
        ),
        (
            _has("action", "download"),
            _("{who} let {engineer} download something from {resource_name} through another service"),
        ),
        (_has("item", ""), _("{who} let {engineer} open something in {resource_name} through another service")),
    ),
    Event.TICKET_LINKED: (
        (_has("external_reference"), _("{who} linked the ticket {ticket} to {external_reference}")),
        (_has("external_url"), _("{who} linked the ticket {ticket} to {external_url}")),
    ),
    Event.TICKET_OPENED: (
        (_has("on_behalf_of"), _("{who} recorded the ticket {ticket} for {on_behalf_of}: {ticket_title}")),
    ),
    Event.TICKET_ASSIGNED: (
        (
            lambda detail, actor: detail.get("assignee_id") is not None and detail["assignee_id"] == actor.get("id"),
            _("{who} took the ticket {ticket}"),
        ),
    ),
    Event.PERSON_PASSWORD_CHANGED: (
        (_has("how", "reset"), _("{who} set a new password through a link that was sent to {email}")),
    ),
    Event.INVITATION_ACCEPTED: (
        (_has("invited_by", ""), _("{who} accepted the invitation that the recovery key had sent to {email}")),
    ),
    Event.PROPOSAL_MADE: (
        (
            lambda detail, actor: bool(detail.get("told_late") and detail.get("effective_at")),
            _("{proposed_by} had proposed to {proposed}. Nobody else could confirm it; it takes effect {effective_at}"),
        ),
        (_has("told_late"), _("{proposed_by} had proposed to {proposed}")),
        (
            _has("effective_at"),
            _("{who} proposed to {proposed}. Nobody else could confirm it; it takes effect {effective_at}"),
        ),
    ),
    Event.PROPOSAL_CONFIRMED: (
        (
            _has("told_late"),
            _("{proposed_by} had proposed to {proposed}, and it was confirmed. It takes effect {effective_at}"),
        ),
        (
            _has("effective_at"),
            _("{who} confirmed what {proposed_by} had proposed: to {proposed}. It takes effect {effective_at}"),
        ),
    ),
    Event.ACCOUNTS_LINKED: (
        (
            _has("because", "same_identity"),
            _("The account {email} counts as one human with another one that signs in at {issuer} as the same"),
        ),
        (
            _has("because", "same_address"),
            _("The new account {email} counts as one human with another account of the same mailbox"),
        ),
    ),
    Event.CLIENT_CREATED: ((_has("decides_for"), _("{who} added the client {name}, which decides for {decides_for}")),),
    Event.CLIENT_CHANGED: (
        (_has("decides_for"), _("{who} changed the client {name}; it decides for {decides_for}")),
        (_has("decides_for_id_before"), _("{who} changed the client {name}; it decides for nobody any more")),
    ),
    Event.TENANT_CHANGED: (
        (_has("window_cap"), _("{who} set the longest window to {length}; it was {before}")),
        (_has("yes_rule", "any"), _("{who} set that a yes counts signed or not")),
        (_has("yes_rule", "signed"), _("{who} set that a yes must be signed with a passkey")),
        (
            _has("yes_rule", "device_bound"),
            _("{who} set that a yes must be signed with a passkey that can’t leave its device"),
        ),
        (
            _has("own_keys_only"),
            _("{who} set that a yes takes a key of {approval_rp_id}, added on the own approval page {approval_origin}"),
        ),
        (_has("approval_origin"), _("{who} set the own approval page to {approval_origin}; any key counts for a yes")),
        (_says("approval_origin"), _("{who} set that there is no own approval page; any key counts for a yes")),
    ),
    Event.LOG_EVIDENCE_TAKEN: (
        (_has("kind", "access_request"), _("{who} downloaded the evidence of {request}")),
        (_has("kind", "period"), _("{who} downloaded the evidence of a period of the log")),
    ),
    Event.WEBHOOK_DISABLED: (
        (_has("because", "gone"), _("The webhook to {place} was switched off, because it answered that it is gone")),
        (_has("because", "failing"), _("The webhook to {place} was switched off, because it failed for days")),
    ),
    Event.LOG_POLICY_CHANGED: (
        (
            _has("cosigned_within"),
            _("{who} set that a window opens only if a witness cosigned the log within {cosigned_within}"),
        ),
        (_says("cosigned_within"), _("{who} set that a window opens whether or not a witness cosigned the log")),
        (_has("log_retention_days"), _("{who} set that entries of the log are kept for {retention}")),
        (_says("log_retention_days"), _("{who} set that entries of the log are kept for good")),
    ),
}

#: What ended access as a consequence, by the cause that the entry names.
CAUSES: dict[str, Promise] = {
    "ticket-closed": _("{by} closed the ticket"),
    "ticket-resolved": _("{by} resolved the ticket"),
    "person-switched-off": _("{by} switched off the engineer’s account"),
    "role-taken": _("{by} took the engineer out of the queue"),
    "accounts-linked": _("{by} linked two accounts, and one human now stood on both sides of it"),
}

#: What was tried and refused: "… tried to …".
ACTS: dict[str, Promise] = {
    "sign_in": _("sign in through single sign-on"),
    "submit": _("ask for access"),
    "approve_as_provider": _("approve an access request for the provider"),
    "deny_as_provider": _("deny an access request for the provider"),
    "approve_as_customer": _("approve an access request for the customer"),
    "deny_as_customer": _("deny an access request for the customer"),
    "withdraw": _("withdraw an access request"),
    "release": _("give a window back"),
    "revoke": _("close a window"),
    "watch": _("see what is looked at through a window"),
    "list_items": _("see the names in a resource"),
    "open_item": _("open an item"),
    "allow_access": _("let content be opened through another service"),
    "open_ticket": _("open a ticket"),
    "assign_ticket": _("take or give a ticket"),
    "ask_customer": _("ask the customer something"),
    "answer_ticket": _("answer on a ticket"),
    "resolve_ticket": _("resolve a ticket"),
    "close_ticket": _("close a ticket"),
    "reopen_ticket": _("reopen a ticket"),
    "comment": _("write on a ticket"),
    "make_recovery_key": _("have a recovery key made"),
    "try_recovery_key": _("use a recovery key"),
    "use_recovery_key": _("use a recovery key"),
    "set_out_of_office": _("name a deputy"),
    "end_out_of_office": _("end a deputy’s time"),
    "deny_all_and_mute": _("deny all that waits, and mute"),
    "lift_mute": _("lift a mute"),
    "set_two_person_control": _("switch two-person control"),
    "confirm_proposal": _("confirm a proposed change"),
    "withdraw_proposal": _("withdraw a proposed change"),
    "make_staff": _("make somebody staff"),
    "provision_member": _("add somebody from the directory"),
    "change_provisioned": _("change somebody as the directory has them"),
    "provision_role": _("give or take a role as the directory has it"),
    "remove_provisioned": _("remove somebody whom the directory removed"),
    "invite_person": _("invite somebody"),
    "resend_invitation": _("send an invitation again"),
    "withdraw_invitation": _("withdraw an invitation"),
    "accept_invitation": _("accept an invitation"),
    "add_person": _("add an account"),
    "set_sign_on": _("change single sign-on"),
    "claim_domain": _("add a domain"),
    "verify_domain": _("have a domain proven"),
    "remove_domain": _("remove a domain"),
    "note_bypass": _("sign in past single sign-on"),
    "unlink_identity": _("unlink somebody from single sign-on"),
    "give_role": _("give a role"),
    "take_role": _("take a role away"),
    "give_queue_role": _("put somebody into a queue"),
    "take_queue_role": _("take somebody out of a queue"),
    "set_password": _("change the password of the own account"),
    "ask_for_reset": _("ask for a new password"),
    "request_address": _("ask for another address"),
    "confirm_address": _("take another address"),
    "step_up": _("prove who they are"),
    "enrol_passkey": _("add a passkey to the own account"),
    "remove_passkey": _("remove a passkey"),
    "set_up_totp": _("set up an authenticator app"),
    "remove_totp": _("remove the authenticator app"),
    "make_recovery_codes": _("have new recovery codes made"),
    "reset_second_factors": _("reset somebody’s second factors"),
    "link_accounts": _("link two accounts"),
    "unlink_accounts": _("unlink an account"),
    "switch_off_person": _("switch an account off"),
    "switch_on_person": _("switch an account on"),
    "switch_lockbox": _("switch Lockbox on or off"),
    "set_yes_rule": _("set what a yes takes"),
    "set_window_cap": _("set the longest window"),
    "add_address": _("add a notification address"),
    "remove_address": _("remove a notification address"),
    "create_tenant": _("set up a tenant"),
    "change_tenant": _("change the tenant"),
    "save_plan": _("change a plan"),
    "save_service": _("change a service"),
    "save_resource": _("change a resource"),
    "export_log": _("export the log"),
    "take_evidence": _("download evidence"),
    "add_witness": _("register a witness"),
    "remove_witness": _("remove a witness"),
    "set_cosigning": _("set whether a witness must have cosigned the log"),
    "tombstone": _("close the damaged log"),
    "adopt_log_head": _("vouch for the newest checkpoint"),
    "prune_log": _("remove old entries"),
    "set_approval_page": _("say where the own approval page is"),
    "set_log_retention": _("set how long the log is kept"),
    "resend_mail": _("send a mail again"),
    "link_ticket": _("link a ticket"),
    "create_client": _("add a client"),
    "change_client": _("change a client"),
    "rotate_client_secret": _("give a client a new secret"),
    "remove_client": _("remove a client"),
    "make_lasting_token": _("make a lasting token for a client"),
    "create_token": _("make a token"),
    "revoke_token": _("revoke a token"),
    "step_up_token": _("confirm with the password who holds a token"),
    "add_webhook": _("add a webhook"),
    "change_webhook": _("change a webhook"),
    "remove_webhook": _("remove a webhook"),
    "rotate_webhook_secret": _("have a new secret made for a webhook"),
    "disable_webhook": _("switch a webhook off"),
    "enable_webhook": _("switch a webhook on"),
    "send_webhook_test": _("send a test to a webhook"),
    "redeliver": _("have a message sent again to a webhook"),
}


def pattern_for(event: str, detail: Said, actor: Said) -> Promise:
    """The sentence for the event, or for the kind of it that the detail shows."""
    if not actor or event not in PATTERNS:
        return BY_NAME
    return next((words for applies, words in VARIANTS.get(event, ()) if applies(detail, actor)), PATTERNS[event])
