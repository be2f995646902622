"""Test cases for the acts on mutes."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from requests_app import operations
from tests.acts.case import Case
from tests.cast import Cast


def _mutes(cast: Cast) -> str:
    return reverse("web:mutes", args=[cast.contoso.pk])


def _muted(cast: Cast) -> Any:
    cast.confirmed()
    return operations.deny_all_and_mute(cast.contoso.pk, engineer_id=cast.priya.pk, hours=4, actor=cast.as_("ada"))


CASES: dict[str, Case] = {
    "deny_all_and_mute": Case(
        "ada",
        lambda cast: cast.confirmed(),
        lambda cast, row, actor: operations.deny_all_and_mute(
            cast.contoso.pk, engineer_id=cast.priya.pk, hours=4, note="Too many.", actor=actor
        ),
        page=lambda cast, client, row: client.post(
            _mutes(cast), {"engineer": str(cast.priya.pk), "hours": "4", "note": "Too many."}
        ),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/mutes", {"engineer": str(cast.priya.pk), "hours": 4, "note": "Too many."}
        ),
    ),
    "lift_mute": Case(
        "ada",
        _muted,
        lambda cast, row, actor: operations.lift_mute(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(_mutes(cast), {"lift": str(row.pk)}),
        api=lambda cast, caller, row: caller.post(f"mutes/{row.pk}/lift"),
    ),
}
