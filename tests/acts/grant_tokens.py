"""Test cases for the acts that give grant tokens."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from requests_app import operations
from tests.acts.case import Case
from tests.cast import Cast


def _window(cast: Cast) -> Any:
    cast.guard()
    return cast.in_quillo()


CASES: dict[str, Case] = {
    "issue_grant_token": Case(
        "priya",
        _window,
        lambda cast, row, actor: operations.issue_grant_token(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:grant_token", args=[row.pk])),
        status=200,
        api=lambda cast, caller, row: caller.post(f"grants/{row.pk}/token", {}),
    ),
}
