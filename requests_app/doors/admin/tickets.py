"""Tickets and their comments. The table of transitions decides which acts are offered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.tickets import (
    ASK_CUSTOMER,
    ASSIGN_TICKET,
    CLOSE_TICKET,
    COMMENT,
    LINK_TICKET,
    REOPEN_TICKET,
    RESOLVE_TICKET,
)
from requests_app.domain.lifecycle import TICKET_TRANSITIONS
from requests_app.domain.states import TicketState
from requests_app.doors.admin.acts import ActForm, AdminAction, PersonField, TenantField, of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import list_of, state
from requests_app.doors.admin.filters import by_choice, by_row, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.models import AccessRequest, Person, Service, Ticket, TicketComment

STATE = state("ticket", _("state"))


class LinkForm(ActForm):
    external_reference = forms.CharField(
        label=_("External reference"), required=False, max_length=Ticket.EXTERNAL_REFERENCE_MAX
    )
    external_url = forms.CharField(label=_("External address"), required=False, max_length=Ticket.EXTERNAL_URL_MAX)

    def prepare(self) -> None:
        if self.row is not None:
            self.initial.update(external_reference=self.row.external_reference, external_url=self.row.external_url)


class RecordForm(LinkForm):
    tenant = TenantField()
    service = forms.ModelChoiceField(label=_("Service"), queryset=Service.objects.order_by("name"))
    title = forms.CharField(label=_("Title"), max_length=limits.TITLE_MAX)
    body = forms.CharField(label=_("What happened"), widget=forms.Textarea, max_length=limits.JUSTIFICATION_MAX)
    priority = forms.ChoiceField(label=_("Priority"), choices=Ticket.Priority.choices, initial=Ticket.Priority.NORMAL)
    on_behalf_of = PersonField(
        label=_("For"),
        required=False,
        help_text=_("The email address of the customer who called or wrote. This person gets the confirmation."),
    )
    field_order = ["tenant", "service", "title", "body", "priority", "on_behalf_of"]


class AssignForm(ActForm):
    assignee = PersonField(label=_("Engineer"), help_text=_("The email address of an engineer of this queue."))

    def prepare(self) -> None:
        if self.row.assignee is not None:
            self.initial["assignee"] = self.row.assignee.email


class CommentForm(ActForm):
    body = forms.CharField(label=_("Text"), widget=forms.Textarea, max_length=limits.JUSTIFICATION_MAX)
    is_internal = forms.BooleanField(
        label=_("Internal note"), required=False, help_text=_("Only the provider's people read this.")
    )


def record(row: None, actor: Actor, data: dict[str, Any]) -> Ticket:
    caller = data["on_behalf_of"]
    report = operations.Report(
        tenant_id=data["tenant"].pk,
        service_id=data["service"].pk,
        title=data["title"],
        body=data["body"],
        priority=data["priority"],
        on_behalf_of_id=caller.pk if caller else None,
        external_reference=data["external_reference"],
        external_url=data["external_url"],
    )
    return operations.open_ticket(report, actor=actor)


_ENDS = _("Every waiting access request of the ticket ends, and every open window of the ticket closes.")


def from_table(action: str) -> Callable[[Ticket], bool]:
    """Make a function that returns whether the table of transitions allows staff to do this act on a ticket."""
    edge = TICKET_TRANSITIONS[action]
    return lambda row: row.state in edge.moves.sources and Role.STAFF in edge.act.roles


class TicketAdmin(StaffAdmin):
    list_display = ("reference", "title", STATE, "priority", "tenant", "service", "assignee", "changed_at")
    reads: ClassVar = ("tenant", "service", "assignee")
    ordering = ("-opened_at",)
    date_hierarchy = "opened_at"
    search: ClassVar = Search(
        references=("reference",), tenant="tenant", people=("opened_by", "on_behalf_of", "assignee")
    )
    list_filter = (
        by_choice("state", _("state"), TicketState.choices),
        by_choice("origin", _("origin"), Ticket.Origin.choices),
        by_choice("priority", _("priority"), Ticket.Priority.choices),
        by_tenant(),
        by_row("service", _("service"), Service),
        by_row("assignee", _("assignee"), Person),
        by_row("opened_by", _("opened by"), Person),
    )
    facts: ClassVar = [
        ("", ("reference", "title", STATE, "priority", "origin", "tenant", "service")),
        (_("What happened"), ("body",)),
        (_("People"), ("opened_by", "on_behalf_of", "assignee")),
        (_("In another system"), ("external_reference", "external_url")),
        (_("Times"), ("opened_at", "changed_at", "resolved_at", "closed_at")),
    ]
    related: ClassVar = [
        Related(model=TicketComment, by=lambda ticket: {"ticket": ticket}, order=("at",), title=_("Conversation")),
        Related(model=AccessRequest, by=lambda ticket: {"ticket": ticket}),
    ]
    adding: ClassVar = AdminAction(
        name="add", label=_("Record a ticket"), form=RecordForm, run=record, done=_("The ticket was recorded.")
    )
    acts: ClassVar = [
        of_act(
            ASSIGN_TICKET,
            "assign",
            label=_("Assign"),
            form=AssignForm,
            run=lambda row, actor, data: operations.assign_ticket(row.pk, assignee_id=data["assignee"].pk, actor=actor),
            offered=from_table("assign_ticket"),
        ),
        of_act(COMMENT, "comment", label=_("Comment"), form=CommentForm, offered=from_table("close_ticket")),
        of_act(LINK_TICKET, "link", label=_("Set the external reference"), form=LinkForm),
        of_act(ASK_CUSTOMER, "ask-customer", offered=from_table("ask_customer")),
        of_act(RESOLVE_TICKET, "resolve", explains=_ENDS, offered=from_table("resolve_ticket")),
        of_act(
            CLOSE_TICKET, "close", explains=_ENDS, offered=from_table("close_ticket"), bulk=_("Close these tickets")
        ),
        of_act(REOPEN_TICKET, "reopen", offered=from_table("reopen_ticket")),
    ]

    def links(self, row: Ticket) -> list[tuple[str, str]]:
        return [
            (str(_("Entries about this ticket")), list_of(AuditEntry, tenant_id=row.tenant_id, subject_id=str(row.pk)))
        ]


class TicketCommentAdmin(StaffAdmin):
    list_display = ("at", "author", "body", "is_internal", "ticket", "tenant")
    reads: ClassVar = ("author", "ticket", "tenant")
    ordering = ("-at",)
    date_hierarchy = "at"
    search: ClassVar = Search(
        ids=("pk", "ticket"), references=("ticket__reference",), tenant="tenant", people=("author",)
    )
    list_filter = (by_tenant(), by_row("ticket", _("ticket"), Ticket))
    facts: ClassVar = [("", ("ticket", "tenant", "author", "at", "is_internal", "body"))]

    def name_of(self, row: TicketComment) -> str:
        return str(_("Comment on %(ticket)s") % {"ticket": row.ticket})
