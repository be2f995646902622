"""Access requests over AuthZEN (Access Request and Approval Profile, draft 1): submit, follow and cancel.

A client of the provider raises the access request for an engineer, after the decision point has denied the access. It
is an access request like every other. The client only gets a handle on it, which the profile calls a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock, levels, limits, policy
from requests_app.domain.access_tasks import (
    TASK_LIVES_FOR,
    InvalidDenialBinding,
    InvalidTaskState,
    Status,
    TaskExpired,
    draft_status,
    instant,
    status_of,
)
from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_drafts import DISCARD_DRAFT, DRAFT_ACCESS
from requests_app.domain.acts.access_requests import SUBMIT, WITHDRAW
from requests_app.domain.errors import DomainError, Malformed, NotAllowed, Unacceptable, WrongState
from requests_app.domain.ids import as_id
from requests_app.domain.levels import Level
from requests_app.domain.scopes import Scope
from requests_app.domain.states import State
from requests_app.doors.api import authzen, errors
from requests_app.doors.api.authzen import Evaluation
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.callbacks import CALLBACK, CLIENT, callback_in, object_in, source_in, text_in
from requests_app.doors.api.decision_point import TAG
from requests_app.doors.api.errors import KeyReused, in_words_of
from requests_app.doors.api.fields import CommentIn
from requests_app.doors.api.schema import extend_schema
from requests_app.models import AccessDraft, AccessRequest, AccessTask, Ticket
from requests_app.queries import access, asking

_URN = "urn:openid:authzen:access-request:error:"
_CODES = frozenset(
    (
        "not_requestable",
        "expired_denial",
        "invalid_denial_binding",
        "duplicate_request",
        "unknown_task",
        "task_expired",
        "invalid_task_state",
    )
)
#: The profile's names for fields of the operation.
_FIELDS = {
    "ticket_id": "context.ticket",
    "tried": "context.tried",
    "justification": "context.justification",
    "level": "requested_access.level",
    "window_for": "requested_access.length",
    "note": "comment",
    "source_url": "client.source.external_url",
}


class DuplicateRequest(DomainError):
    code, status = "duplicate_request", 409
    is_evidence = False
    default = gettext_lazy("This Idempotency-Key was used for another access request. Send another key.")


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an error as the rest of the API does, with the profile's type for the profile's errors."""
    found = errors.handle(DuplicateRequest() if isinstance(error, KeyReused) else error, context)
    if found is not None and found.data.get("code") in _CODES:
        found.data["type"] = _URN + found.data["code"]
    return found


# --- Bodies --------------------------------------------------------------------------------------------------

_TEXT = {"type": "string"}
#: What a client must add to the members of its question.
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["context", "requested_access"],
    "properties": {
        "context": {
            "type": "object",
            "required": ["ticket", "tried", "justification"],
            "properties": {
                "ticket": {
                    **_TEXT,
                    "description": "The ticket of the tenant: its id, its reference, or its reference in your ticket "
                    "system.",
                },
                "tried": {
                    **_TEXT,
                    "minLength": 1,
                    "maxLength": limits.JUSTIFICATION_MAX,
                    "description": "What the engineer has tried without access.",
                },
                "justification": {
                    **_TEXT,
                    "minLength": limits.JUSTIFICATION_MIN,
                    "maxLength": limits.JUSTIFICATION_MAX,
                    "description": "Why there is no other way. The customer reads it.",
                },
            },
        },
        "requested_access": {
            "type": "object",
            "required": ["length"],
            "properties": {
                "level": {
                    **_TEXT,
                    "enum": list(Level.values),
                    "description": "How much the window allows. Without it: the smallest level that allows the action.",
                },
                "length": {
                    "type": "integer",
                    "description": "How long the window is open, in seconds: one of the lengths that the tenant "
                    "allows.",
                },
                "requested_until": {
                    **_TEXT,
                    "format": "date-time",
                    "description": "The window ends then at the latest.",
                },
                "emergency": {
                    "type": "boolean",
                    "description": "Shown to everybody who decides. It changes nothing about the process.",
                },
            },
        },
    },
}


def _body_schema() -> dict[str, Any]:
    question, added = authzen.EVALUATION, SCHEMA["properties"]
    context = question["properties"]["context"]
    context = {**added["context"], "properties": {**context["properties"], **added["context"]["properties"]}}
    denial = {
        "type": "object",
        "required": ["binding_token", "expires_at"],
        "properties": {"binding_token": _TEXT, "expires_at": {**_TEXT, "format": "date-time"}},
        "description": "Both are from `context.access_request` of the denial, unchanged.",
    }
    members = {"context": context, "requested_access": added["requested_access"], "denial": denial}
    members |= {"callback": CALLBACK, "client": CLIENT}
    needed = [*question["required"], "context", "requested_access", "denial"]
    return {**question, "properties": {**question["properties"], **members}, "required": needed}


def _until_in(part: Mapping[str, Any]) -> datetime | None:
    text = text_in(part, "requested_until", member="requested_access")
    if not text:
        return None
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        words = _("Send an instant with its time zone, for example 2026-12-01T12:00:00Z.")
        raise Unacceptable(words, field="requested_access.requested_until")
    return found


def _emergency_in(part: Mapping[str, Any]) -> bool:
    found = part.get("emergency", False)
    if not isinstance(found, bool):
        raise Malformed(_("%(member)s must be true or false.") % {"member": "requested_access.emergency"})
    return found


# --- Answers -------------------------------------------------------------------------------------------------


class ProgressOut(serializers.Serializer):
    """The stage that decides next. The customer's stage is only counted if the customer is asked."""

    current_step = serializers.IntegerField()
    total_steps = serializers.IntegerField()
    step_name = serializers.ChoiceField(choices=["engineer_confirmation", "provider_approval", "customer_approval"])


class LinksOut(serializers.Serializer):
    """`ticket` and `review` are the page of the access request. `cancel` is only there while the task is pending."""

    ticket = serializers.URLField()
    review = serializers.URLField()
    cancel = serializers.URLField(required=False)


class TaskOut(serializers.Serializer):
    """`id` is also the id of the access request. After `expires_at`, the task can't be read any more."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=[*Status])
    status_endpoint = serializers.URLField()
    expires_at = serializers.DateTimeField()
    progress = ProgressOut(required=False)
    links = LinksOut()


class ApprovalOut(serializers.Serializer):
    """`id` is the id of the window. `approved_until` is its end, which can come earlier at any time."""

    id = serializers.UUIDField()
    approved_at = serializers.DateTimeField()
    approved_until = serializers.DateTimeField()


class ResultOut(serializers.Serializer):
    """Ask the decision point again, with `approval` as `context.approval`. The approval alone gives nothing."""

    mode = serializers.ChoiceField(choices=["reevaluate"])
    approval = ApprovalOut()


class TaskAnswerOut(serializers.Serializer):
    task = TaskOut()
    result = ResultOut(required=False)


def draft_answer(draft: AccessDraft, *, at: datetime) -> dict[str, Any]:
    """Return the task of a draft. Its pages are for the engineer, who confirms or discards it there."""
    status = draft_status(draft.ended_at, draft.expires_at, at=at)
    page = f"{settings.BASE_URL}{reverse('web:ask', args=[draft.ticket_id])}?draft={draft.pk}"
    task: dict[str, Any] = {
        "id": draft.pk,
        "status": status,
        "status_endpoint": settings.BASE_URL + reverse("api:access_task", args=[draft.pk]),
        "expires_at": draft.made_at + TASK_LIVES_FOR,
        "links": {"ticket": page, "review": page},
    }
    if status is Status.PENDING:
        total = 3 if operations.lockbox_applies(draft.tenant, draft.service) else 2
        task["progress"] = {"current_step": 1, "total_steps": total, "step_name": "engineer_confirmation"}
        task["links"]["cancel"] = settings.BASE_URL + reverse("api:access_task_cancel", args=[draft.pk])
    return {"task": task}


def answer(row: AccessRequest, task_row: AccessTask, *, at: datetime) -> dict[str, Any]:
    state = row.state_at(at)
    status, address = status_of(state), settings.BASE_URL + reverse("api:access_task", args=[row.pk])
    page = settings.BASE_URL + reverse("web:access_request", args=[row.pk])
    task: dict[str, Any] = {
        "id": row.pk,
        "status": status,
        "status_endpoint": address,
        "expires_at": task_row.expires_at,
        "links": {"ticket": page, "review": page},
    }
    if status is Status.PENDING:
        is_first = state is State.PENDING_PROVIDER
        task["progress"] = {
            "current_step": task_row.was_draft + (1 if is_first else 2),
            "total_steps": task_row.was_draft + (2 if row.needs_customer_approval else 1),
            "step_name": "provider_approval" if is_first else "customer_approval",
        }
        if not task_row.was_draft:
            # After the confirmation, it is the engineer's own access request.
            task["links"]["cancel"] = settings.BASE_URL + reverse("api:access_task_cancel", args=[row.pk])
    grant = asking.grant_of(row)
    if status is not Status.APPROVED or grant is None:
        return {"task": task}
    approval = {"id": grant.pk, "approved_at": grant.opens_at, "approved_until": asking.approved_until(grant)}
    return {"task": task, "result": {"mode": "reevaluate", "approval": approval}}


# --- Routes --------------------------------------------------------------------------------------------------


class _Tasks(ApiView):
    has_no_etag: ClassVar[bool] = True

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return handle

    def require_client(self) -> None:
        """Raise InsufficientScope or NotAllowed unless a client of the provider calls, with all scopes."""
        for scope in (Scope.REQUESTS_ASK, Scope.EVALUATE):
            policy.require_scope(self.actor, scope)
        if not asking.may_ask(self.actor):
            raise NotAllowed

    def in_name_of(self, engineer: UUID) -> Actor:
        person = access.engineer_named(str(engineer))
        if person is None:
            raise NotAllowed
        return self.actor_of(self.request, self.token, in_name_of=person).sending(self.actor.once)

    def answered(self, pk: object, *, status: int = 200) -> Response:
        at = clock.now()
        draft = asking.draft_of(pk, actor=self.actor)
        if draft is not None:
            if at >= draft.made_at + TASK_LIVES_FOR:
                raise TaskExpired
            found = Response(draft_answer(draft, at=at), status=status)
        else:
            task_row, row = asking.task(pk, at=at, actor=self.actor)
            found = Response(answer(row, task_row, at=at), status=status)
        if status == 201:
            found["Location"] = found.data["task"]["status_endpoint"]
        return found


class AccessTasks(_Tasks):
    """The access request is raised by the client for the engineer, who is the subject. It goes through both stages.

    Send an Idempotency-Key. A denial can be used once.
    """

    acts: ClassVar = {"POST": (DRAFT_ACCESS,)}
    acts_with_more: ClassVar = {"POST": (SUBMIT,)}
    shows = "access_task"

    @extend_schema(
        operation_id="access_tasks_submit",
        summary="Ask for the access that the decision point has denied",
        tags=[TAG],
        request={"application/json": _body_schema()},
        responses={201: TaskAnswerOut},
        examples=[
            OpenApiExample(
                "After a denial",
                request_only=True,
                value={
                    "subject": {"type": "engineer", "id": "priya.nair@provider.example"},
                    "action": {"name": "read"},
                    "resource": {"type": "quillo", "id": "ws-1041"},
                    "context": {
                        "tenant": "contoso",
                        "ticket": "TK-7Q2M-4XKD",
                        "tried": "Rebuilt the index; the notes are still missing from it.",
                        "justification": "The index of this workspace drops notes; only the notes show why.",
                    },
                    "requested_access": {"length": 7200, "emergency": False},
                    "denial": {"binding_token": "eyJ0eXAi…", "expires_at": "2026-11-30T20:25:00Z"},
                },
            )
        ],
    )
    def post(self, request: Any) -> Response:
        asked = authzen.evaluation_in(request.data)
        self.require_client()
        if "items" in request.data:
            raise Malformed(_("Ask for one access in a call: items are not offered."))
        ask, engineer = self._ask(request.data, asked)
        row: AccessRequest | AccessDraft
        with in_words_of(_FIELDS):
            if Scope.REQUESTS_SUBMIT in (self.actor.scopes or ()):
                row = operations.submit(ask, actor=engineer)
            else:
                row = operations.draft_access(_draft(ask), actor=engineer)
        return self.answered(row.pk, status=201)

    def _ask(self, body: dict[str, Any], asked: Evaluation) -> tuple[operations.Ask, Actor]:
        wanted, denied = object_in(body, "requested_access"), object_in(body, "denial")
        level, until = text_in(wanted, "level", member="requested_access"), _until_in(wanted)
        is_emergency, callback, source = _emergency_in(wanted), callback_in(body), source_in(body)
        texts = {name: text_in(asked.context, name, member="context") for name in ("ticket", "tried", "justification")}
        token, expires_at = (text_in(denied, name, member="denial") for name in ("binding_token", "expires_at"))
        denial, found = asking.denial_of(token, authzen.question_of(asked), at=clock.now(), actor=self.actor)
        if expires_at != instant(denial.ends_at):
            raise InvalidDenialBinding
        if level and not levels.covers(level, levels.NEEDED[asked.action]):
            words = _("Choose a level that allows the action %(action)s.") % {"action": asked.action}
            raise Unacceptable(words, field="requested_access.level")
        engineer = self.in_name_of(denial.engineer_id)
        ask = operations.Ask(
            ticket_id=_ticket(texts["ticket"], found, engineer),
            resource_ids=[found.resource.pk],
            level=level or found.level,
            window_for=wanted.get("length"),  # type: ignore[arg-type]  # the operation checks it
            tried=texts["tried"],
            justification=texts["justification"],
            until_at=until,
            is_emergency=is_emergency,
            denial=denial,
            callback=callback,
            source_url=source,
        )
        return ask, engineer


def _draft(ask: operations.Ask) -> operations.Draft:
    assert ask.denial is not None
    return operations.Draft(
        ticket_id=ask.ticket_id,
        resource_id=ask.resource_ids[0],
        level=ask.level,
        window_for=ask.window_for,
        tried=ask.tried,
        justification=ask.justification,
        denial=ask.denial,
        until_at=ask.until_at,
        is_emergency=ask.is_emergency,
        callback=ask.callback,
        source_url=ask.source_url,
    )


def _ticket(text: str, found: asking.Requestable, engineer: Actor) -> UUID:
    """Return the ticket that the client named: one of the resource's tenant and service that the engineer can see."""
    rows = Ticket.objects.visible_to(engineer)
    rows = rows.filter(tenant=found.resource.tenant_id, service=found.resource.service_id, is_practice=False)
    key = as_id(text)
    named = Q(pk=key) if key is not None else Q(reference=text.upper()) | Q(external_reference=text)
    ids: list[UUID] = list(rows.filter(named).values_list("pk", flat=True)[:2]) if text else []
    if len(ids) != 1:
        words = _("Send the id or the reference of one ticket of this tenant and this service.")
        raise Unacceptable(words, field="context.ticket")
    return ids[0]


class OneAccessTask(_Tasks):
    """Only the client that raised the access request can read it here. Poll at most every few seconds."""

    scopes: ClassVar = {"GET": Scope.REQUESTS_ASK}

    @extend_schema(
        operation_id="access_tasks_show",
        summary="Read what became of an access request",
        tags=[TAG],
        responses={200: TaskAnswerOut},
    )
    def get(self, request: Any, pk: UUID) -> Response:
        return self.answered(pk)


class CancelAccessTask(_Tasks):
    """Discards the draft, or withdraws the access request while nobody has decided finally.

    A client without `requests:submit` can only discard a draft. Then the access request belongs to the engineer.
    """

    acts: ClassVar = {"POST": (DISCARD_DRAFT,)}
    acts_with_more: ClassVar = {"POST": (WITHDRAW,)}
    shows = "access_task"

    @extend_schema(
        operation_id="access_tasks_cancel",
        summary="Cancel an access request",
        tags=[TAG],
        request=CommentIn,
        responses={200: TaskAnswerOut},
        examples=[OpenApiExample("With a comment", request_only=True, value={"comment": "It works again."})],
    )
    def post(self, request: Any, pk: UUID) -> Response:
        found, at = self.body(CommentIn), clock.now()
        if (draft := asking.draft_of(pk, actor=self.actor)) is not None:
            return self._discarded(draft, found["comment"])
        task_row, row = asking.task(pk, at=at, actor=self.actor)
        self.require_client()
        if task_row.was_draft:
            raise NotAllowed
        if status_of(row.state_at(at)) is not Status.PENDING:
            raise InvalidTaskState
        try:
            with in_words_of(_FIELDS):
                operations.withdraw(row.pk, actor=self.in_name_of(row.requested_by_id), note=found["comment"])
        except WrongState as refusal:
            raise InvalidTaskState from refusal
        return self.answered(pk)

    def _discarded(self, draft: AccessDraft, comment: str) -> Response:
        self.require_client()
        try:
            with in_words_of(_FIELDS):
                operations.discard_draft(draft.pk, actor=self.in_name_of(draft.engineer_id), note=comment)
        except WrongState as refusal:
            raise InvalidTaskState from refusal
        return self.answered(draft.pk)


@require_safe
def schema(request: HttpRequest) -> JsonResponse:
    """Return the JSON Schema of what a client adds to its denied question. It is the same for all, and public."""
    return JsonResponse(SCHEMA, content_type="application/schema+json")


urlpatterns = [
    path("access/v1/requests", AccessTasks.as_view(), name="access_tasks"),
    path("access/v1/requests/schema", schema, name="access_task_schema"),
    path("access/v1/requests/<uuid:pk>", OneAccessTask.as_view(), name="access_task"),
    path("access/v1/requests/<uuid:pk>/cancel", CancelAccessTask.as_view(), name="access_task_cancel"),
]
