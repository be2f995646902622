"""Proposals: what staff and tenants propose, and the pages on which a second member of the staff answers."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.acts.callers import GIVE_SCOPES
from requests_app.domain.acts.imports import IMPORT_ROWS
from requests_app.domain.acts.proposals import CONFIRM_PROPOSAL, WITHDRAW_PROPOSAL
from requests_app.doors.admin import imports
from requests_app.doors.admin.acts import AdminAction, of_act
from requests_app.doors.admin.base import StaffAdmin
from requests_app.doors.admin.columns import instant, link_to, mono, preformatted
from requests_app.doors.admin.filters import by_choice, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.models import Client, Proposal
from requests_app.queries import imports as queries
from requests_app.queries import second_person
from requests_app.words import proposals, times


@admin.display(description=_("arguments of the act"))
def _terms(row: Proposal) -> str:
    terms = row.said if row.act == IMPORT_ROWS.name else row.shown
    return preformatted(json.dumps(terms, indent=2, ensure_ascii=False))


@admin.display(description=_("change"))
def _words(row: Proposal) -> str:
    """Return the change as a sentence. For an import, its rows say the changes, and the file names it."""
    return capfirst(proposals.title(row.act, row.said, row.changes_held))  # type: ignore[attr-defined]  # annotated below


@admin.display(description=_("kinds of changes"))
def _kinds(row: Proposal) -> str:
    """Return how many changes of each kind the import holds. Each number links to the list of these changes."""
    if row.act != IMPORT_ROWS.name:
        return ""
    return imports.kinds(row.said["import"])


@admin.display(description=_("already done by the import"))
def _counts(row: Proposal) -> str:
    return imports.count_words(row.said["_counts"]) if row.act == IMPORT_ROWS.name else ""


@admin.display(description=_("SHA-256 of the file"))
def _sha(row: Proposal) -> str:
    return mono(row.said["sha"]) if row.act == IMPORT_ROWS.name else ""


@admin.display(description=_("API client"))
def _client(row: Proposal) -> str:
    """Return a link to the client that gets scopes. Its page has the lines for the application that it guards."""
    client = Client.objects.filter(pk=row.said["client"]).first() if row.act in GIVE_SCOPES else None
    return link_to(client) if client is not None else ""


@admin.display(description=_("takes effect"))
def _would_take_effect(row: Proposal) -> str:
    """Return when the change takes effect if somebody confirms it at the instant at which the row was read."""
    wait = limits.staff_change_wait()
    words = gettext("{wait} after you confirm the change. If you confirm it now: {when}")
    length = times.duration_words(wait.total_seconds())
    at = row.read_at  # type: ignore[attr-defined]  # annotated by StaffAdmin
    return format_html(words, wait=length, when=instant(at + wait))


@admin.display(description=_("state"))
def _state(row: Proposal) -> str:
    """Return what the proposal waits for, or how it ended, at the instant at which the row was read."""
    at = row.read_at  # type: ignore[attr-defined]  # annotated by StaffAdmin
    if row.ended_at is not None:
        return row.get_outcome_display() if row.outcome else gettext("ended")
    if row.effective_at is None:
        return gettext("waits for a second person") if row.expires_at > at else gettext("nobody confirmed it")
    if row.effective_at <= at:
        if operations.is_held_up(row, at):
            return gettext("due: takes effect after the access requests and windows that it affects have ended")
        return gettext("due: takes effect in a moment")
    if row.is_alone:
        return gettext("announced; no other member of the staff could confirm it")
    if row.is_through_group:
        return gettext("announced; a role through a group needs no confirmation")
    return gettext("announced")


@admin.display(description=_("announced to"))
def _touched(row: Proposal) -> str:
    return ", ".join(sorted(tenant.name for tenant in row.touched.all()))


@admin.display(description=_("tenants"))
def _tenants(row: Proposal) -> str:
    """Return the tenant to which the proposal belongs, or those to which a proposal of staff is announced."""
    return link_to(row.tenant) if row.tenant is not None else _touched(row)


def is_unconfirmed(row: Proposal) -> bool:
    return is_ahead(row) and row.effective_at is None


def is_ahead(row: Proposal) -> bool:
    """Return whether this is an unfinished proposal of staff.

    Only the tenant's people handle a tenant's own proposal.
    """
    return row.tenant_id is None and row.ended_at is None


#: A proposal that a second member of the staff can confirm.
WAITS = "waits"


def _in_state(rows: QuerySet, state: str) -> QuerySet:
    at = clock.now()
    narrowed = {
        WAITS: rows.filter(pk__in=Proposal.objects.unconfirmed(at)),
        "announced": rows.filter(tenant=None, ended_at=None, effective_at__isnull=False),
        "ended": rows.exclude(ended_at=None),
    }
    return narrowed[state]


class ProposalAdmin(StaffAdmin):
    list_display = (_words, _state, _tenants, "proposed_by", "proposed_at", "effective_at")
    is_wrapped = True
    waiting = staticmethod(lambda: second_person.count_unconfirmed(clock.now()) + second_person.count_through_groups())
    reads: ClassVar = ("tenant", "touched", "proposed_by", "proposed_through", "confirmed_by")
    ordering = ("-proposed_at",)
    search: ClassVar = Search(ids=("pk", "proposed_by"), tenant="tenant", people=("proposed_by",))
    list_filter = (
        by_choice(
            "state",
            _("state"),
            [(WAITS, _("waits for a second person")), ("announced", _("announced")), ("ended", _("ended"))],
            narrow=_in_state,
        ),
        by_tenant(),
    )
    lead = _(
        "If staff propose a change that weakens customers' protection, a second member of the staff confirms it "
        "here. The change is announced, and takes effect after the waiting time. The list also shows the proposals of "
        "tenants. Only a tenant's own people can confirm the tenant's proposals."
    )
    facts: ClassVar = [
        ("", (_words, _client, _kinds, _state, "tenant", _touched, _counts)),
        (_("Times"), ("proposed_by", "proposed_through", "proposed_at", "expires_at")),
        (_("Confirmed"), ("confirmed_by", "confirmed_at", "effective_at", "ended_at", "outcome")),
    ]
    folded: ClassVar = [(_("For programs"), (_sha, "act", _terms))]
    #: What the second person reads on the page with the button.
    to_answer: ClassVar = (_words, _kinds, _touched, "proposed_by", "proposed_through", "proposed_at", _counts, _sha)
    related: ClassVar = [
        imports.held_rows(by=lambda row: {"of": row.said["import"]} if row.act == IMPORT_ROWS.name else None),
    ]
    acts: ClassVar = [
        of_act(
            CONFIRM_PROPOSAL,
            "confirm",
            label=_("Confirm the change"),
            done=_("The change is confirmed. The customers get a mail that says when it takes effect."),
            explains=_(
                "You must be another human than the person who proposed the change. The waiting time begins with your "
                "confirmation. The change takes effect when the waiting time is over. Until then, any member of the "
                "staff can withdraw the change."
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
        return _words(row)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return queries.with_changes(super().get_queryset(request))

    def before_act(self, request: HttpRequest, act: AdminAction, row: Proposal) -> dict[str, Any]:
        """Return the whole change, so that nobody confirms or withdraws what they have not seen."""
        effect = (_would_take_effect,) if act.name == "confirm" else ()
        panels = [panel for related in self.related if (panel := self._pages_of(request, related, row))]
        return {"facts": self._groups(row, [("", (*self.to_answer, *effect))]), "panels": panels}
