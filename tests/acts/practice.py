"""Test cases for the act that starts a practice request."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from requests_app import operations
from tests.acts.case import Case
from tests.acts.shared import by_button
from tests.cast import Cast


def _start(cast: Cast, row: Any, actor: Any) -> Any:
    return operations.start_practice(cast.contoso.pk, service_id=cast.exchange.pk, actor=actor)


def _call(cast: Cast, caller: Any, row: Any) -> Any:
    return caller.post(f"tenants/{cast.contoso.pk}/practice", {"service": "exchange-online"})


CASES: dict[str, Case] = {
    "start_practice": Case(
        "ines",
        lambda cast: None,
        _start,
        page=lambda cast, client, row: client.post(
            reverse("web:practice", args=[cast.contoso.pk]), {"service": str(cast.exchange.pk)}
        ),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/practice", {"service": "exchange-online"}
        ),
    ),
    "start_practice by staff": Case(
        "stella",
        lambda cast: cast.contoso,
        _start,
        admin=lambda cast, client, row: by_button("tenant", "start-practice", service=str(cast.exchange.pk))(
            cast, client, row
        ),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/practice", {"service": "exchange-online"}
        ),
    ),
}
