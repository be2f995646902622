"""What a token may be used for: the scopes of the API, and which of them an act needs. Pure.

A scope narrows and never widens: whoever holds a token may do what its holder may do and its scopes name. An act that
is not in the table can't be done with a token at all, content among them: a token never stands for a grant.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Scope(StrEnum):
    """Spelled as in OAuth 2.0 (RFC 6749, section 3.3)."""

    TENANT_READ = "tenant:read"
    TENANT_MANAGE = "tenant:manage"
    SIGN_ON_MANAGE = "sign-on:manage"
    MEMBERS_READ = "members:read"
    MEMBERS_MANAGE = "members:manage"
    MEMBERS_PROVISION = "members:provision"
    TICKETS_READ = "tickets:read"
    TICKETS_WRITE = "tickets:write"
    REQUESTS_READ = "requests:read"
    REQUESTS_SUBMIT = "requests:submit"
    DECISIONS_WRITE = "decisions:write"
    GRANTS_READ = "grants:read"
    GRANTS_CLOSE = "grants:close"
    LOG_READ = "log:read"
    EVALUATE = "evaluate"
    WEBHOOKS_MANAGE = "webhooks:manage"
    TOKENS_MANAGE = "tokens:manage"


LABELS: dict[Scope, Promise] = {
    Scope.TENANT_READ: _("Read how the tenant is set up, its services and resources"),
    Scope.TENANT_MANAGE: _("Switch Lockbox, set the longest window and what a yes takes, manage addresses for notices"),
    Scope.SIGN_ON_MANAGE: _("Set up single sign-on and its domains, unlink people from it"),
    Scope.MEMBERS_READ: _("Read who holds which role"),
    Scope.MEMBERS_PROVISION: _("Keep the tenant’s people as a directory has them (SCIM)"),
    Scope.MEMBERS_MANAGE: _(
        "Invite people, give and take roles, name deputies, switch accounts off and on, reset second factors, and set "
        "two-person control"
    ),
    Scope.TICKETS_READ: _("Read tickets and what was said on them"),
    Scope.TICKETS_WRITE: _("Open tickets, comment, assign, answer, resolve and close them"),
    Scope.REQUESTS_READ: _("Read access requests"),
    Scope.REQUESTS_SUBMIT: _("Raise and withdraw access requests"),
    Scope.DECISIONS_WRITE: _("Decide on access requests"),
    Scope.GRANTS_READ: _("Read windows and what was looked at"),
    Scope.GRANTS_CLOSE: _("Close windows, or give them back"),
    Scope.LOG_READ: _("Read the log, its checkpoints and proofs"),
    Scope.EVALUATE: _("Ask whether somebody may do something now; a client may also report what it opens"),
    Scope.WEBHOOKS_MANAGE: _("Manage webhooks"),
    Scope.TOKENS_MANAGE: _("Manage clients and tokens"),
}

#: The scope that an act needs, by the act's name in the kernel.
ACTS: dict[str, Scope] = {
    **dict.fromkeys(
        ("switch_lockbox", "set_window_cap", "set_yes_rule", "add_address", "remove_address"), Scope.TENANT_MANAGE
    ),
    **dict.fromkeys(
        (
            *("open_ticket", "assign_ticket", "ask_customer", "answer_ticket", "resolve_ticket"),
            *("close_ticket", "reopen_ticket", "comment", "link_ticket"),
        ),
        Scope.TICKETS_WRITE,
    ),
    **dict.fromkeys(
        (
            *("invite_person", "resend_invitation", "withdraw_invitation"),
            *("set_out_of_office", "end_out_of_office"),
            *("set_two_person_control", "confirm_proposal", "withdraw_proposal"),
            *("give_role", "take_role", "switch_off_person", "switch_on_person", "reset_second_factors"),
        ),
        Scope.MEMBERS_MANAGE,
    ),
    **dict.fromkeys(
        ("set_sign_on", "claim_domain", "verify_domain", "remove_domain", "unlink_identity"), Scope.SIGN_ON_MANAGE
    ),
    **dict.fromkeys(
        ("provision_member", "change_provisioned", "remove_provisioned", "provision_role"), Scope.MEMBERS_PROVISION
    ),
    "submit": Scope.REQUESTS_SUBMIT,
    "withdraw": Scope.REQUESTS_SUBMIT,
    "approve_as_provider": Scope.DECISIONS_WRITE,
    "deny_as_provider": Scope.DECISIONS_WRITE,
    "approve_as_customer": Scope.DECISIONS_WRITE,
    "deny_as_customer": Scope.DECISIONS_WRITE,
    "deny_all_and_mute": Scope.DECISIONS_WRITE,
    "lift_mute": Scope.DECISIONS_WRITE,
    "release": Scope.GRANTS_CLOSE,
    "revoke": Scope.GRANTS_CLOSE,
    **dict.fromkeys(
        (
            *("add_webhook", "change_webhook", "remove_webhook", "rotate_webhook_secret"),
            *("disable_webhook", "enable_webhook", "send_webhook_test", "redeliver"),
        ),
        Scope.WEBHOOKS_MANAGE,
    ),
    "export_log": Scope.LOG_READ,
    "take_evidence": Scope.LOG_READ,
    "create_client": Scope.TOKENS_MANAGE,
    "change_client": Scope.TOKENS_MANAGE,
    "rotate_client_secret": Scope.TOKENS_MANAGE,
    "remove_client": Scope.TOKENS_MANAGE,
    "make_lasting_token": Scope.TOKENS_MANAGE,
    "create_token": Scope.TOKENS_MANAGE,
    "revoke_token": Scope.TOKENS_MANAGE,
    "enrol_passkey": Scope.DECISIONS_WRITE,
    "allow_access": Scope.EVALUATE,
}

#: What its human may do with any token: proving who they are gives a token nothing beyond its scopes.
OF_ANY_TOKEN = frozenset({"step_up_token"})

#: What a customer's client may be given. People are managed by people, and so are clients and tokens, and where people
#: sign in; but a directory in which people manage people may say so itself.
OF_CLIENTS = frozenset(Scope) - {
    Scope.SIGN_ON_MANAGE,
    Scope.MEMBERS_MANAGE,
    Scope.TOKENS_MANAGE,
    Scope.REQUESTS_SUBMIT,
}
#: What a provider's client may be given. It never decides: the provider's yes is a human's.
OF_PROVIDER_CLIENTS = frozenset(Scope) - {
    Scope.SIGN_ON_MANAGE,
    Scope.MEMBERS_MANAGE,
    Scope.MEMBERS_PROVISION,
    Scope.TOKENS_MANAGE,
    Scope.TENANT_MANAGE,
    Scope.DECISIONS_WRITE,
}


def known(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes of these names. A name that is stored and no longer known gives nothing."""
    return frozenset(Scope(name) for name in names if name in Scope._value2member_map_)


def in_order(scopes: Iterable[Scope]) -> list[str]:
    """As they are stored and shown: in the order of the table."""
    wanted = frozenset(scopes)
    return [str(scope) for scope in Scope if scope in wanted]
