"""Reads signal streams for the clients that they belong to, and for the people who manage these clients."""

from __future__ import annotations

from typing import cast

from requests_app.domain.actors import Actor
from requests_app.models import SignalStream, Tenant
from requests_app.models.signal_streams import SignalStreamQuerySet


def streams(*, actor: Actor) -> SignalStreamQuerySet:
    """Return the streams of the client that acts. A person has none, because a stream belongs to a client."""
    rows = SignalStream.objects.of_caller(actor).present()
    if actor.machine is None or actor.person_id != actor.machine.account_id:
        rows = rows.none()
    return rows.select_related("webhook", "client__account").order_by("webhook__created_at", "pk")


def stream(stream_id: object, *, actor: Actor) -> SignalStream:
    """Return one stream of the client that acts. Raise NotFound for the stream of another client."""
    return cast(SignalStream, streams(actor=actor).find(stream_id))


def of_tenant(tenant: Tenant) -> SignalStreamQuerySet:
    """Return the streams of a tenant's clients, with their backlogs."""
    rows = SignalStream.objects.present().filter(tenant=tenant).with_backlog()
    return rows.select_related("webhook", "client__account").order_by("webhook__created_at", "pk")


def stream_of(tenant: Tenant, stream_id: object) -> SignalStream:
    """Return one stream of this tenant. Raise NotFound for a stream of another tenant."""
    return cast(SignalStream, of_tenant(tenant).find(stream_id))
