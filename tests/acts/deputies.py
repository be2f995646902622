"""Test cases for the acts on absences and deputies."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.urls import reverse

from requests_app import operations
from requests_app.domain import clock
from tests.acts.case import Case
from tests.cast import Cast


def _week() -> dict[str, Any]:
    return week_from(clock.now())


def _out_of_office(cast: Cast) -> str:
    return reverse("web:out_of_office", args=[cast.contoso.pk])


def week_from(at: dt.datetime) -> dict[str, dt.datetime]:
    """Return a period of a week in whole minutes, which the form's fields accept."""
    begin = at.replace(second=0, microsecond=0) + dt.timedelta(hours=1)
    return {"from_at": begin, "until_at": begin + dt.timedelta(days=7)}


CASES: dict[str, Case] = {
    "set_out_of_office": Case(
        "ada",
        lambda cast: None,
        lambda cast, row, actor: operations.set_out_of_office(
            cast.contoso.pk, deputy_id=cast.alan.pk, **_week(), actor=actor
        ),
        page=lambda cast, client, row: client.post(
            _out_of_office(cast),
            {
                "deputy": str(cast.alan.pk),
                **{name: f"{at:%Y-%m-%dT%H:%M}" for name, at in _week().items()},
            },
        ),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/out-of-office",
            {
                "deputy": str(cast.alan.pk),
                **{name: at.isoformat() for name, at in week_from(clock.now()).items()},
            },
        ),
    ),
    "end_out_of_office": Case(
        "ada",
        lambda cast: operations.set_out_of_office(
            cast.contoso.pk, deputy_id=cast.alan.pk, **_week(), actor=cast.as_("ada")
        ),
        lambda cast, row, actor: operations.end_out_of_office(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(_out_of_office(cast), {"end": str(row.pk)}),
        api=lambda cast, caller, row: caller.post(f"out-of-office/{row.pk}/end"),
    ),
}
