"""Tickets: open, read, comment on, assign and close them, and set their reference in another help desk."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import OpenApiExample
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.tickets import ASSIGN_TICKET, COMMENT, LINK_TICKET, OPEN_TICKET, START_PRACTICE
from requests_app.domain.scopes import Scope
from requests_app.domain.states import TICKET_LIVE, TicketState
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.errors import in_words_of
from requests_app.doors.api.plain import Shape
from requests_app.doors.api.schema import extend_schema, one
from requests_app.doors.api.ticket_shapes import (
    AssignIn,
    CommentOut,
    LinkIn,
    PracticeIn,
    SaidIn,
    TicketFilter,
    TicketIn,
    TicketLine,
    TicketOut,
)
from requests_app.models import IdempotencyKey, Ticket
from requests_app.platform.addresses import absolute
from requests_app.queries import tenant as tenants
from requests_app.queries import tickets as queries
from requests_app.queries.merging import Parts

_TAGS = ["tickets"]
_READ = {"GET": Scope.TICKETS_READ}
#: The API's names for fields of the operations.
_FIELDS = {"note": "comment", "assignee_id": "assignee", "on_behalf_of_id": "on_behalf_of"}


class Tickets(ListView):
    scopes: ClassVar = _READ
    acts: ClassVar = {"POST": (OPEN_TICKET,)}
    shows = "ticket"
    serializer_class = TicketLine
    filterset_class = TicketFilter
    orders = ("-opened_at", "opened_at", "-changed_at", "changed_at")
    parts: ClassVar = {"changed_at": Parts("state", TicketState.values)}

    def stored_states(self) -> Collection[str]:
        query = self.request.query_params
        if "state" in query:
            return (query["state"],)
        return TICKET_LIVE if query.get("is_live") == "true" else ()

    @extend_schema(operation_id="tickets_list", summary="List tickets", tags=_TAGS, responses=TicketLine(many=True))
    def get(self, request: Any) -> Response:
        return self.listed(queries.listed(self.actor, few=self.few(Ticket.objects.all())))

    @extend_schema(
        operation_id="tickets_open",
        summary="Open a ticket, with its reference in another system",
        tags=_TAGS,
        request=TicketIn,
        responses={201: TicketOut},
        examples=[
            OpenApiExample(
                "From a help desk",
                request_only=True,
                value={
                    "tenant": "{tenant}",
                    "service": "exchange-online",
                    "title": "Invoices are missing",
                    "body": "Since Monday the search finds no invoice of November.",
                    "priority": "high",
                    "external_reference": "INC-4711",
                    "external_url": "https://helpdesk.example.com/cases/4711",
                },
            )
        ],
    )
    def post(self, request: Any) -> Response:
        """Only one ticket of the tenant can have this `external_reference`.

        A 409 names the ticket that already has this reference.
        """
        found = self.body(TicketIn)
        service = queries.service_named(found.pop("service"), actor=self.actor)
        tenant = queries.tenant(found["tenant"], actor=self.actor)
        caller = found.pop("on_behalf_of", None)
        report = operations.Report(
            tenant_id=found.pop("tenant"),
            service_id=service.pk,
            on_behalf_of_id=self._caller(tenant, caller) if caller is not None else None,
            **found,
        )
        with in_words_of(_FIELDS):
            row = operations.open_ticket(report, actor=self.actor)
        return _shown(self, row.pk, status=201)

    def _caller(self, tenant: Any, who: str) -> Any:
        # The operation decides if the caller can name anybody, and refuses a name that nobody has.
        person = queries.person_named(tenant, who)
        return person.pk if person is not None else who


class Practice(ApiView):
    acts: ClassVar = {"POST": (START_PRACTICE,)}
    shows = "ticket"

    @extend_schema(
        operation_id="tenants_practise",
        summary="Start a practice request",
        tags=_TAGS,
        request=PracticeIn,
        responses={201: TicketOut},
        examples=[OpenApiExample("Plain", request_only=True, value={"service": "exchange-online"})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Open a practice ticket in the service's queue.

        The tenant's administrator and the provider's staff can do this. A tenant has at most one open practice ticket
        of each service, and a second call gets a 409.
        """
        tenants.tenant(tenant, actor=self.actor)
        service = queries.service_named(self.body(PracticeIn)["service"], actor=self.actor)
        row = operations.start_practice(tenant, service_id=service.pk, actor=self.actor)
        return _shown(self, row.pk, status=201)


class OneTicket(ApiView):
    scopes: ClassVar = _READ

    @extend_schema(operation_id="tickets_show", summary="Read one ticket", tags=_TAGS, responses=one(TicketOut))
    def get(self, request: Any, pk: UUID) -> Response:
        return _shown(self, pk)


class Comments(ListView):
    scopes: ClassVar = _READ
    acts: ClassVar = {"POST": (COMMENT,)}
    serializer_class = CommentOut
    orders = ("at", "-at")

    @extend_schema(
        operation_id="tickets_comments",
        summary="List the comments on a ticket",
        tags=_TAGS,
        responses=CommentOut(many=True),
    )
    def get(self, request: Any, pk: UUID) -> Response:
        return self.listed(queries.comments(pk, actor=self.actor))

    @extend_schema(
        operation_id="tickets_comment",
        summary="Comment on a ticket",
        tags=_TAGS,
        request=SaidIn,
        responses={201: CommentOut},
        examples=[OpenApiExample("Plain", request_only=True, value={"body": "It is only the invoices of November."})],
    )
    def post(self, request: Any, pk: UUID) -> Response:
        """If the ticket waits for the customer, the customer's comment is the answer and changes the ticket's state."""
        row = operations.comment(pk, actor=self.actor, **self.body(SaidIn))
        found = queries.comments(pk, actor=self.actor).find(row.pk)
        location = absolute(reverse("api:comment", args=[pk, row.pk]))
        return self.shown(CommentOut, found, status=201, location=location)

    def address_of_what(self, done: IdempotencyKey) -> str:
        # The stored call names only the ticket. The comment has the same time as the call.
        comments = queries.comments(self.kwargs["pk"], actor=self.actor)
        found = comments.filter(author_id=self.actor.person, at=done.done_at).first()
        return reverse("api:comment", args=[self.kwargs["pk"], found.pk]) if found else ""


class OneComment(ApiView):
    scopes: ClassVar = _READ

    @extend_schema(
        operation_id="tickets_comment_show",
        summary="Read one comment",
        tags=_TAGS,
        responses=one(CommentOut),
    )
    def get(self, request: Any, pk: UUID, comment: UUID) -> Response:
        return self.shown(CommentOut, queries.comments(pk, actor=self.actor).find(comment))


class Link(ApiView):
    acts: ClassVar = {"PUT": (LINK_TICKET,)}

    @extend_schema(
        operation_id="tickets_link",
        summary="Set the ticket's reference and address in another system",
        tags=_TAGS,
        request=LinkIn,
        responses=one(TicketOut),
        examples=[
            OpenApiExample(
                "A case of a help desk",
                request_only=True,
                value={
                    "external_reference": "INC-4711",
                    "external_url": "https://helpdesk.example.com/cases/4711",
                },
            )
        ],
    )
    def put(self, request: Any, pk: UUID) -> Response:
        """The new reference replaces the earlier one; an empty reference removes it.

        A repeated call changes nothing.
        """
        operations.link_ticket(pk, actor=self.actor, **self.body(LinkIn))
        return _shown(self, pk)


class Assign(ApiView):
    acts: ClassVar = {"POST": (ASSIGN_TICKET,)}
    shows = "ticket"

    @extend_schema(
        operation_id="tickets_assign",
        summary="Take a ticket, or assign it to an engineer of its queue",
        tags=_TAGS,
        request=AssignIn,
        responses=one(TicketOut),
        examples=[OpenApiExample("To the caller", request_only=True, value={})],
    )
    def post(self, request: Any, pk: UUID) -> Response:
        """A client must name an engineer, because only people work on tickets."""
        assignee = self.body(AssignIn).get("assignee")
        with in_words_of(_FIELDS):
            operations.assign_ticket(pk, actor=self.actor, assignee_id=assignee)
        return _shown(self, pk)


def _shown(view: ApiView, pk: UUID, *, status: int = 200) -> Response:
    row = queries.listed(view.actor).find(pk)
    location = absolute(reverse("api:ticket", args=[row.pk])) if status == 201 else ""
    return view.shown(TicketOut, row, status=status, location=location, at=clock.now())


ACTS = Shape(
    noun=Noun.TICKET,
    address="tickets/<uuid:pk>",
    tag="tickets",
    names="tickets",
    out=TicketOut,
    show=lambda view, pk, _result: _shown(view, pk),
    urls="ticket_",
    shows="ticket",
    comment="It began on Monday.",
    fields=_FIELDS,
)
