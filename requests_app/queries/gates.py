"""Reads the proxies of web tools."""

from __future__ import annotations

from typing import cast

from django.db.models import QuerySet

from requests_app.domain.actors import Actor
from requests_app.models import GateProxy, Service


def proxies(service_id: object, *, actor: Actor) -> QuerySet[GateProxy]:
    """Return the proxies of a web tool, including those that were removed."""
    service = Service.objects.visible_to(actor).find(service_id)
    rows = GateProxy.objects.visible_to(actor).filter(service=service)
    return cast(QuerySet[GateProxy], rows.select_related("service"))


def proxy(proxy_id: object, *, actor: Actor) -> GateProxy:
    return cast(GateProxy, GateProxy.objects.visible_to(actor).select_related("service").find(proxy_id))
