"""Proposals: what staff and tenants propose, and the pages on which a second member of the staff answers."""

from __future__ import annotations

import json
from typing import ClassVar

from django.contrib import admin
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from requests_app.domain.acts.imports import IMPORT_ROWS
from requests_app.domain.acts.proposals import CONFIRM_PROPOSAL, WITHDRAW_PROPOSAL
from requests_app.doors.admin.acts import of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import preformatted
from requests_app.doors.admin.filters import by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.models import HeldRow, Proposal
from requests_app.words import proposals


@admin.display(description=_("what"))
def _terms(row: Proposal) -> str:
    terms = row.said if row.act == IMPORT_ROWS.name else row.shown
    return preformatted(json.dumps(terms, indent=2, ensure_ascii=False))


@admin.display(description=_("change"))
def _words(row: Proposal) -> str:
    return proposals.words(row.act, row.said)


@admin.display(description=_("state"))
def _state(row: Proposal) -> str:
    """Return what the proposal waits for, or how it ended, at the instant at which the row was read."""
    at = row.read_at  # type: ignore[attr-defined]  # annotated by StaffAdmin
    if row.ended_at is not None:
        return row.get_outcome_display() if row.outcome else gettext("ended")
    if row.effective_at is None:
        return gettext("waits for a second person") if row.expires_at > at else gettext("nobody confirmed it")
    if row.effective_at <= at:
        return gettext("due: takes effect after the access requests and windows that it affects have ended")
    if row.is_alone:
        return gettext("announced; no other member of the staff could confirm it")
    return gettext("announced")


@admin.display(description=_("announced to"))
def _touched(row: Proposal) -> str:
    return ", ".join(row.touched.order_by("name").values_list("name", flat=True))


@admin.display(description=_("API client"))
def _client(row: Proposal) -> str:
    return row.proposed_through.name if row.proposed_through else ""


def is_unconfirmed(row: Proposal) -> bool:
    return is_ahead(row) and row.effective_at is None


def is_ahead(row: Proposal) -> bool:
    """Return whether this is an unfinished proposal of staff.

    Only the tenant's people handle a tenant's own proposal.
    """
    return row.tenant_id is None and row.ended_at is None


class ProposalAdmin(StaffAdmin):
    list_display = (
        _words,
        _state,
        "tenant",
        "proposed_by",
        _client,
        "proposed_at",
        "effective_at",
        "ended_at",
        "confirmed_by",
    )
    reads: ClassVar = ("tenant", "proposed_by", "proposed_through", "confirmed_by")
    ordering = ("-proposed_at",)
    search: ClassVar = Search(ids=("pk", "proposed_by"), tenant="tenant", people=("proposed_by",))
    list_filter = (by_tenant(),)
    lead = _(
        "If staff propose a change that weakens customers' protection, a second member of the staff confirms it "
        "here. The change is announced, and takes effect after the waiting time. The list also shows the proposals of "
        "tenants. Only a tenant's own people can confirm the tenant's proposals."
    )
    facts: ClassVar = [
        ("", (_words, _state, "tenant", _touched, "act", _terms)),
        (_("Times"), ("proposed_by", "proposed_through", "proposed_at", "expires_at")),
        (_("Confirmed"), ("confirmed_by", "confirmed_at", "effective_at", "ended_at", "outcome")),
    ]
    related: ClassVar = [
        Related(
            model=HeldRow,
            by=lambda row: {"of": row.said["import"]} if row.act == IMPORT_ROWS.name else None,
            title=_("The changes of the import"),
        ),
    ]
    acts: ClassVar = [
        of_act(
            CONFIRM_PROPOSAL,
            "confirm",
            label=_("Confirm the change"),
            done=_("The change is confirmed. The customers get a mail that says when it takes effect."),
            explains=_(
                "A second person must confirm the change. This person must have been a member of the staff for at "
                "least the length of the waiting time. The waiting time begins with the confirmation. The change takes "
                "effect when the waiting time is over. Until then, any member of the staff can withdraw the change."
            ),
            offered=is_unconfirmed,
        ),
        of_act(
            WITHDRAW_PROPOSAL,
            "withdraw",
            label=_("Withdraw the change"),
            done=_("The change is withdrawn, and nothing was changed. The customers get a mail."),
            offered=is_ahead,
        ),
    ]

    def name_of(self, row: Proposal) -> str:
        return capfirst(proposals.words(row.act, row.said))
