"""The bodies, answers and filters of the routes for tickets."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.tickets import ASSIGN_TICKET
from requests_app.domain.states import TICKET_LIVE, TicketState
from requests_app.doors.api.fields import IdFilter, InstantFilter, Strict, Text, Uuid, YesNo, YesNoFilter
from requests_app.doors.api.plain import words_of
from requests_app.doors.api.shapes import PersonRef, ServiceRef, TenantRef
from requests_app.models import Ticket
from requests_app.queries import tickets as queries

#: The last parts of the acts' addresses, in the order of the document. Assigning has a form of its own.
ACTS = {ASSIGN_TICKET.name: "assign", **words_of(Noun.TICKET)}
ACTIONS = [*ACTS.values(), "comment", "link"]

# --- Answers -------------------------------------------------------------------------------------------------


class TicketLine(serializers.Serializer):
    """`external_reference` and `external_url` are the ticket's reference and address in another system, or empty.

    `on_behalf_of` is the person for whom the ticket was recorded. It is null if a person opened the ticket themselves.
    If `is_practice` is true, people practise with this ticket, and its problem is made up.
    """

    id = serializers.UUIDField()
    reference = serializers.CharField()
    tenant = TenantRef()
    service = ServiceRef()
    title = serializers.CharField()
    is_practice = serializers.BooleanField()
    origin = serializers.ChoiceField(choices=Ticket.Origin.values)
    priority = serializers.ChoiceField(choices=Ticket.Priority.values)
    state = serializers.ChoiceField(choices=TicketState.values)
    opened_by = PersonRef()
    on_behalf_of = PersonRef(allow_null=True)
    assignee = PersonRef(allow_null=True)
    external_reference = serializers.CharField()
    external_url = serializers.CharField()
    opened_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)


class TicketOut(TicketLine):
    """`allowed_actions` names the acts that this caller is allowed to do now.

    The ticket's comments and access requests are separate lists.
    """

    body = serializers.CharField()
    allowed_actions = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=ACTIONS)))
    def get_allowed_actions(self, row: Ticket) -> list[str]:
        actor = self.context["actor"]
        found = queries.allowed_actions(row, actor=actor, at=self.context["at"])
        more = {"comment": queries.may_comment(row, actor=actor), "link": queries.may_link(row, actor=actor)}
        return [ACTS[edge.act.name] for edge in found] + [name for name, may in more.items() if may]


class CommentOut(serializers.Serializer):
    """If `is_internal` is true, the comment is a note of the provider's side, which customers can't see."""

    id = serializers.UUIDField()
    author = PersonRef()
    body = serializers.CharField()
    is_internal = serializers.BooleanField()
    at = serializers.DateTimeField()


# --- Bodies --------------------------------------------------------------------------------------------------


class LinkIn(Strict):
    external_reference = Text(allow_blank=True)
    external_url = Text(required=False, allow_blank=True, default="")


class TicketIn(Strict):
    """`service` is the service's key or id.

    Only the provider's side sends `on_behalf_of`: the id or email address of the person of the tenant who called or
    wrote.
    """

    tenant = Uuid()
    service = Text()
    title = Text()
    body = Text()
    priority = serializers.ChoiceField(
        choices=Ticket.Priority.values, required=False, default=str(Ticket.Priority.NORMAL)
    )
    on_behalf_of = Text(required=False)
    external_reference = Text(required=False, allow_blank=True, default="")
    external_url = Text(required=False, allow_blank=True, default="")


class PracticeIn(Strict):
    """`service` is the service's key or id."""

    service = Text()


class SaidIn(Strict):
    """Only the provider's side can set `is_internal`."""

    body = Text()
    is_internal = YesNo(required=False, default=False)


class AssignIn(Strict):
    """Without `assignee`, the ticket is assigned to the caller."""

    assignee = Uuid(required=False)


# --- Filters -------------------------------------------------------------------------------------------------


class TicketFilter(django_filters.FilterSet):
    tenant = IdFilter(field_name="tenant_id")
    service = IdFilter(field_name="service_id")
    state = django_filters.ChoiceFilter(choices=TicketState.choices, method="in_state")
    is_live = YesNoFilter(method="live")
    origin = django_filters.ChoiceFilter(choices=Ticket.Origin.choices)
    priority = django_filters.ChoiceFilter(choices=Ticket.Priority.choices)
    assignee = IdFilter(field_name="assignee_id")
    is_assigned = YesNoFilter(method="assigned")
    is_practice = YesNoFilter()
    reference = django_filters.CharFilter(field_name="reference", max_length=16)
    external_reference = django_filters.CharFilter(
        field_name="external_reference", max_length=Ticket.EXTERNAL_REFERENCE_MAX
    )
    opened_since = InstantFilter(field_name="opened_at", lookup_expr="gte")
    opened_before = InstantFilter(field_name="opened_at", lookup_expr="lt")
    changed_since = InstantFilter(field_name="changed_at", lookup_expr="gte")

    def in_state(self, rows: Any, _name: str, value: str) -> Any:
        return rows.with_state_alone().filter(state_alone=value)

    def live(self, rows: Any, _name: str, value: bool) -> Any:
        rows, live = rows.with_state_alone(), sorted(TICKET_LIVE)
        return rows.filter(state_alone__in=live) if value else rows.exclude(state_alone__in=live)

    def assigned(self, rows: Any, _name: str, value: bool) -> Any:
        return rows.filter(assignee__isnull=not value)
