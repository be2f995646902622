"""Clients and tokens, as those who manage them see them."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import Max

from requests_app.actors import Actor
from requests_app.models import Client, Token


def clients(actor: Actor, *, tenant_id: object = None) -> Any:
    """The clients of a tenant, or with None the provider's own, each with `last_used_at`; without those removed."""
    rows = Client.objects.visible_to(actor).live().filter(tenant=tenant_id)
    rows = rows.select_related("account", "tenant", "decides_for", "created_by")
    return rows.annotate(last_used_at=Max("account__tokens__last_used_at"))


def client(client_id: object, *, actor: Actor) -> Client:
    rows = Client.objects.visible_to(actor).live().annotate(last_used_at=Max("account__tokens__last_used_at"))
    return cast(Client, rows.select_related("account", "tenant", "decides_for", "created_by").find(client_id))


def tokens(actor: Actor) -> Any:
    """The personal tokens that this actor may revoke: the own ones, and those of the people they administer."""
    return Token.objects.visible_to(actor).personal().select_related("account", "revoked_by")


def token(token_id: object, *, actor: Actor) -> Token:
    return cast(Token, tokens(actor).find(token_id))
