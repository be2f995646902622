"""Reads API clients and tokens for the people who manage them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.db.models import Max

from requests_app.domain.actors import Actor
from requests_app.models import Client, Tenant, Token
from requests_app.models.integrations import TokenQuerySet

#: The most tokens that the page shows. The API lists all tokens of a tenant's people.
SHOWN = 200
ENDED_SHOWN = 10


@dataclass(frozen=True)
class TokensIn:
    rows: list[Token]
    has_more: bool


def clients(actor: Actor, *, tenant_id: object = None) -> Any:
    """Return the clients of a tenant, each with `last_used_at`, without those that were removed.

    Without a tenant, return the provider's own clients.
    """
    rows = Client.objects.visible_to(actor).live().filter(tenant=tenant_id)
    rows = rows.select_related("account", "tenant", "decides_for", "created_by")
    return rows.annotate(last_used_at=Max("account__tokens__last_used_at"))


def client(client_id: object, *, actor: Actor) -> Client:
    """Return one client by its id, for staff and for all people of the client's tenant.

    All these people may see the client, because it may decide for the tenant.
    """
    rows = Client.objects.visible_to(actor).live().annotate(last_used_at=Max("account__tokens__last_used_at"))
    return cast(Client, rows.select_related("account", "tenant", "decides_for", "created_by").find(client_id))


def tokens(actor: Actor) -> Any:
    """Return the tokens that the actor may revoke.

    They are the actor's own tokens, and the tokens of the people and directories that the actor administers.
    """
    return Token.objects.visible_to(actor).revocable().select_related("account", "revoked_by")


def token(token_id: object, *, actor: Actor) -> Token:
    return cast(Token, tokens(actor).find(token_id))


def lasting_tokens(client: Client, *, at: datetime) -> list[Token]:
    """Return the long-lived tokens of a directory that are still valid, newest first."""
    return list(Token.objects.filter(account=client.account_id).lasting().live(at).order_by("-created_at", "pk"))


def client_of(tenant: Tenant, client_id: object, *, actor: Actor) -> Client:
    """Return one client of this tenant, for the tenant's own pages."""
    return cast(Client, clients(actor, tenant_id=tenant.pk).find(client_id))


def own_tokens(actor: Actor, *, at: datetime) -> list[Token]:
    """Return those of the actor's own tokens that are valid, newest first."""
    return list(_visible_tokens(actor).live(at))


def own_ended_tokens(actor: Actor, *, at: datetime) -> list[Token]:
    """Return the newest of the actor's own tokens that are revoked or expired."""
    ended = _visible_tokens(actor).exclude(revoked_at=None, expires_at__gt=at)
    return list(ended.select_related("revoked_by")[:ENDED_SHOWN])


def _visible_tokens(actor: Actor) -> TokenQuerySet:
    return Token.objects.filter(account=actor.person).personal().order_by("-created_at", "pk")


def tokens_in(tenant: Tenant, *, at: datetime) -> TokensIn:
    """Return the valid personal tokens of a tenant's people, newest first. The list stops at SHOWN tokens."""
    people = tenant.memberships.values("person_id")
    rows = Token.objects.filter(account__in=people).personal().live(at).select_related("account")
    found = list(rows.order_by("-created_at", "pk")[: SHOWN + 1])
    return TokensIn(found[:SHOWN], len(found) > SHOWN)
