"""The scopes of the API. A scope says what a token can be used for. Pure.

The declaration of an act names the scope that the act needs. A token can do only what its scopes name and what its
holder may do, so a scope never gives its holder more. An act that declares no scope can't be done with a token. No
token can read content, because a token is not a grant.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Scope(StrEnum):
    """The scopes, written as in OAuth 2.0 (RFC 6749, section 3.3)."""

    TENANT_READ = "tenant:read"
    TENANT_MANAGE = "tenant:manage"
    SIGN_ON_MANAGE = "sign-on:manage"
    MEMBERS_READ = "members:read"
    MEMBERS_MANAGE = "members:manage"
    MEMBERS_PROVISION = "members:provision"
    TICKETS_READ = "tickets:read"
    TICKETS_WRITE = "tickets:write"
    REQUESTS_READ = "requests:read"
    REQUESTS_ASK = "requests:ask"
    REQUESTS_SUBMIT = "requests:submit"
    DECISIONS_WRITE = "decisions:write"
    GRANTS_READ = "grants:read"
    GRANTS_CLOSE = "grants:close"
    GRANTS_TOKEN = "grants:token"  # noqa: S105 - a name
    LOG_READ = "log:read"
    EVALUATE = "evaluate"
    GUARD = "guard"
    PROVISION = "provision"
    WEBHOOKS_MANAGE = "webhooks:manage"
    SSF_READ = "ssf.read"
    SSF_MANAGE = "ssf.manage"
    TOKENS_MANAGE = "tokens:manage"


LABELS: dict[Scope, Promise] = {
    Scope.TENANT_READ: _("Read how the tenant is set up, its services and resources"),
    Scope.TENANT_MANAGE: _(
        "Switch Lockbox on or off, set the maximum length of windows and the approval requirements, manage "
        "notification addresses"
    ),
    Scope.SIGN_ON_MANAGE: _("Set up single sign-on and its domains, unlink people from it"),
    Scope.MEMBERS_READ: _("Read who holds which role"),
    Scope.MEMBERS_PROVISION: _("Synchronise people with a directory (SCIM)"),
    Scope.MEMBERS_MANAGE: _(
        "Invite people, give and take roles, name deputies, switch accounts off and on, reset second factors, and set "
        "two-person control"
    ),
    Scope.TICKETS_READ: _("Read tickets and their conversations"),
    Scope.TICKETS_WRITE: _("Open tickets, comment, assign, answer, resolve and close them"),
    Scope.REQUESTS_READ: _("Read access requests"),
    Scope.REQUESTS_ASK: _(
        "Learn from the decision point which denied access an engineer can ask for, and follow the access requests "
        "that the client has raised from such a denial"
    ),
    Scope.REQUESTS_SUBMIT: _(
        "Submit and withdraw access requests; an engineer who asks for a ticket that nobody has also gets the ticket"
    ),
    Scope.DECISIONS_WRITE: _("Decide on access requests"),
    Scope.GRANTS_READ: _("Read windows and the accesses to content in them"),
    Scope.GRANTS_CLOSE: _("Close windows early"),
    Scope.GRANTS_TOKEN: _("Get grant tokens, with which your own windows open content in the provider’s applications"),
    Scope.LOG_READ: _("Read the log, its checkpoints and proofs"),
    Scope.EVALUATE: _("Ask whether a person is allowed to do something now; a client can also report what it opens"),
    Scope.GUARD: _(
        "Guard an application of the provider: follow the windows of one service, accept and renew their grant tokens, "
        "and report accesses"
    ),
    Scope.PROVISION: _(
        "Set up tenants, plans, services and resources, and manage the provider’s people and their roles; changes that "
        "weaken customers’ protection are only proposed"
    ),
    Scope.WEBHOOKS_MANAGE: _("Manage webhooks"),
    Scope.SSF_READ: _("Read the client’s own signal streams, and fetch their events"),
    Scope.SSF_MANAGE: _("Create, change and delete the client’s own signal streams"),
    Scope.TOKENS_MANAGE: _("Manage API clients and tokens"),
}

#: The scopes that a customer's client can have. Only people manage people, clients, tokens and the sign-in. But a
#: directory in which people manage people may provision them (MEMBERS_PROVISION). Grant tokens belong to an engineer.
OF_CLIENTS = frozenset(Scope) - {
    Scope.SIGN_ON_MANAGE,
    Scope.MEMBERS_MANAGE,
    Scope.TOKENS_MANAGE,
    Scope.REQUESTS_ASK,
    Scope.REQUESTS_SUBMIT,
    Scope.PROVISION,
    Scope.GUARD,
    Scope.GRANTS_TOKEN,
}
#: The scopes that a provider's client can have. It never decides: a human approves for the provider. A client for the
#: provider's directory (MEMBERS_PROVISION) has no other scope. A client with GUARD belongs to one external service.
OF_PROVIDER_CLIENTS = frozenset(Scope) - {
    Scope.SIGN_ON_MANAGE,
    Scope.MEMBERS_MANAGE,
    Scope.TOKENS_MANAGE,
    Scope.TENANT_MANAGE,
    Scope.DECISIONS_WRITE,
    Scope.GRANTS_TOKEN,
}


def known(names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes that have these names. A stored name that no longer exists is left out."""
    return frozenset(Scope(name) for name in names if name in Scope._value2member_map_)


def in_order(scopes: Iterable[Scope]) -> list[str]:
    """Return the names of scopes in the order of `Scope`. They are stored and shown in this order."""
    wanted = frozenset(scopes)
    return [str(scope) for scope in Scope if scope in wanted]
