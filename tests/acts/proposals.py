"""Test cases for the acts on changes that need a second person."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from requests_app import operations
from requests_app.domain.errors import ChangeProposed
from requests_app.models import Proposal
from tests.acts.case import Case
from tests.acts.shared import by_button
from tests.cast import Cast


def _proposals(cast: Cast) -> str:
    return reverse("web:proposals", args=[cast.contoso.pk])


def _proposed(cast: Cast) -> Any:
    """Switch two-person control on, propose a change as the administrator, and return the proposal."""
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    with pytest.raises(ChangeProposed) as outcome:
        operations.give_role(cast.contoso.pk, cast.mia.pk, role="approver", actor=cast.as_("ines"))
    return Proposal.objects.get(pk=outcome.value.current["proposal"])


def _announced(cast: Cast) -> Any:
    """Propose a change as a member of staff, and return the proposal. The case's actor is another member."""
    cast.colleague()
    with pytest.raises(ChangeProposed) as outcome:
        operations.make_staff(cast.erik.pk, actor=cast.as_("sten"))
    return Proposal.objects.get(pk=outcome.value.current["proposal"])


CASES: dict[str, Case] = {
    "set_two_person_control": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.set_two_person_control(cast.contoso.pk, on=True, actor=actor),
        page=lambda cast, client, row: client.post(_proposals(cast), {"control": "on"}),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/two-person-control", {"on": True}),
    ),
    "confirm_proposal": Case(
        "ada",
        lambda cast: _proposed(cast),
        lambda cast, row, actor: operations.confirm_proposal(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(_proposals(cast), {"act": "confirm", "proposal": str(row.pk)}),
        api=lambda cast, caller, row: caller.post(f"proposals/{row.pk}/confirm"),
    ),
    "withdraw_proposal": Case(
        "ada",
        lambda cast: _proposed(cast),
        lambda cast, row, actor: operations.withdraw_proposal(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(_proposals(cast), {"act": "withdraw", "proposal": str(row.pk)}),
        api=lambda cast, caller, row: caller.post(f"proposals/{row.pk}/withdraw"),
    ),
    "confirm_proposal by staff": Case(
        "stella",
        _announced,
        lambda cast, row, actor: operations.confirm_proposal(row.pk, actor=actor),
        admin=by_button("proposal", "confirm"),
        api=lambda cast, caller, row: caller.post(f"proposals/{row.pk}/confirm"),
    ),
    "withdraw_proposal by staff": Case(
        "stella",
        _announced,
        lambda cast, row, actor: operations.withdraw_proposal(row.pk, actor=actor),
        admin=by_button("proposal", "withdraw"),
        api=lambda cast, caller, row: caller.post(f"proposals/{row.pk}/withdraw"),
    ),
}
