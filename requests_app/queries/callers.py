"""Reads API clients and tokens for the people who manage them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db.models import Max
from django.utils.translation import gettext as _

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Side
from requests_app.domain.errors import NotAllowed
from requests_app.domain.scopes import Scope
from requests_app.models import Client, Person, Service, Tenant, Token
from requests_app.models.integrations import TokenQuerySet

#: The most tokens that the page shows. The API lists all tokens of a tenant's people.
SHOWN = 200
ENDED_SHOWN = 10


@dataclass(frozen=True)
class TokensIn:
    rows: list[Token]
    has_more: bool


#: The scopes with which a client of the provider sets up customers, or manages the provider's people.
PROVISIONING = frozenset({Scope.PROVISION, Scope.MEMBERS_PROVISION})


def answered_for(actor: Actor) -> tuple[Client, Person]:
    """Return the provider's client that acts, and the human who could read the secret or the token of this call.

    Raise NotAllowed if somebody who could use the client is no longer staff.
    """
    assert actor.machine is not None
    if actor.person_id != actor.machine.account_id:
        raise NotAllowed
    token = Token.objects.filter(pk=actor.token_id).first() if actor.token_id else None
    return answered_through(actor.machine.client_id, token=token)


def answered_through(client_id: object, *, token: Token | None = None) -> tuple[Client, Person]:
    """Return a client of the provider, and the human who answers for what it does. Raise NotAllowed without them.

    A client counts as every human who could use it: the human who made it, the human who holds its secret, and the
    human who saw its long-lived token, if it came with one. All of them must be staff.
    """
    client: Client = Client.objects.select_related("account", "created_by", "secret_by").get(pk=client_id)
    is_lasting = token is not None and token.kind == Token.Kind.LASTING
    reader = token.made_by if token is not None and is_lasting else client.holder
    if client.holder is None or reader is None:
        raise NotAllowed(_("Nobody knows who holds the secret of this API client. Make a new secret, then try again."))
    for person in (client.created_by, client.holder, reader):
        if not (person.is_active and person.is_staff):
            words = _("%(name)s made this API client, or holds its secret, and is no longer staff. Make a new client.")
            raise NotAllowed(words % {"name": person.name})
    return client, reader


def humans_of(client: Client, at: datetime) -> frozenset[UUID]:
    """Return every human who could use a client of the provider: the maker, the holder, and who read its tokens."""
    readers = Token.objects.filter(account=client.account_id).lasting().live(at).exclude(made_by=None)
    found = {client.created_by.human_id, *readers.values_list("made_by__human_id", flat=True)}
    return frozenset(found if client.holder is None else {*found, client.holder.human_id})


def require_answered_for(actor: Actor, *scopes: Scope | None) -> None:
    """Raise NotAllowed if a client of the provider provisions, and no human of the staff answers for it any more.

    Otherwise a person whose account is switched off could continue with the secret of a client. Only calls with such
    a scope pay for the check.
    """
    if actor.machine is not None and actor.side is Side.PROVIDER and not PROVISIONING.isdisjoint(scopes):
        answered_for(actor)


def guard(actor: Actor) -> Client:
    """Return the client of an application that acts, with the external service that it guards.

    Raise NotAllowed for everybody else, also for a person whose token has the scope, and for a service that is no
    longer external.
    """
    if actor.machine is None or actor.person_id != actor.machine.account_id:
        raise NotAllowed
    policy.require_scope(actor, Scope.GUARD)
    row: Client | None = (
        Client.objects.live().select_related("account", "service").filter(pk=actor.machine.client_id).first()
    )
    if row is None or row.service is None or Scope.GUARD not in row.scopes or not row.service.is_external:
        raise NotAllowed
    return row


def has_guard(service: Service) -> bool:
    """Return whether a live client guards the application of this external service."""
    return any(Scope.GUARD in scopes for scopes in service.guards.live().values_list("scopes", flat=True))


def takes_tokens(service: Service) -> bool:
    """Return whether an engineer can use grant tokens at this service: with a guard in it, or at its gate."""
    return service.is_external and (service.has_gate or has_guard(service))


def clients(actor: Actor, *, tenant_id: object = None) -> Any:
    """Return the clients of a tenant, each with `last_used_at`, without those that were removed.

    Without a tenant, return the provider's own clients.
    """
    rows = Client.objects.visible_to(actor).live().filter(tenant=tenant_id)
    rows = rows.select_related("account", "tenant", "decides_for", "created_by", "service")
    return rows.annotate(last_used_at=Max("account__tokens__last_used_at"))


def client(client_id: object, *, actor: Actor) -> Client:
    """Return one client by its id, for staff and for all people of the client's tenant.

    All these people may see the client, because it may decide for the tenant.
    """
    rows = Client.objects.visible_to(actor).live().annotate(last_used_at=Max("account__tokens__last_used_at"))
    return cast(
        Client, rows.select_related("account", "tenant", "decides_for", "created_by", "service").find(client_id)
    )


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
