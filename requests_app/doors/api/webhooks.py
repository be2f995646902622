"""Webhooks: add, change, test and switch them, and send their deliveries again.

The keys of a webhook are only in the answer to the call that makes them.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.acts import EVENTS
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.webhooks import (
    ADD_CALLBACK,
    ADD_WEBHOOK,
    CHANGE_WEBHOOK,
    REDELIVER,
    REMOVE_WEBHOOK,
    ROTATE_WEBHOOK_SECRET,
    SEND_WEBHOOK_TEST,
)
from requests_app.domain.scopes import Scope
from requests_app.doors.api import output
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import Several, Strict, Text
from requests_app.doors.api.plain import Shape
from requests_app.doors.api.schema import extend_schema
from requests_app.doors.api.shapes import TenantRef
from requests_app.messages.webhooks.messages import ALL
from requests_app.models import OutboxMessage, Webhook
from requests_app.platform.addresses import absolute
from requests_app.platform.secret_answers import secret_answer
from requests_app.queries import tenant as tenants
from requests_app.queries import webhooks as queries

_TAGS = ["webhooks"]
_READ = {"GET": Scope.WEBHOOKS_MANAGE}

# --- Answers -------------------------------------------------------------------------------------------------


class WebhookOut(serializers.Serializer):
    """`tenant` is null for the provider's own webhook. `off_because` is null while the webhook is on.

    `client` is the client of the provider that uses it for callbacks, or null.

    `resume_at` is when the next waiting message is due. `parked` counts the messages that are not sent any more.
    """

    id = serializers.UUIDField()
    tenant = TenantRef(allow_null=True)
    client = serializers.UUIDField(source="client_id", allow_null=True)
    url = serializers.CharField()
    label = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    public_key = serializers.CharField()
    former_keys_until = serializers.DateTimeField(source="former_until", allow_null=True)
    created_at = serializers.DateTimeField()
    is_on = serializers.BooleanField()
    off_at = serializers.DateTimeField(allow_null=True)
    off_because = serializers.SerializerMethodField()
    failing_since = serializers.DateTimeField(allow_null=True)
    resume_at = serializers.DateTimeField(allow_null=True)
    parked = serializers.IntegerField()

    @extend_schema_field(serializers.ChoiceField(choices=Webhook.Because.values, allow_null=True))
    def get_off_because(self, row: Webhook) -> str | None:
        return row.off_because or None


class WebhookWithSecret(WebhookOut):
    """A webhook with its secret. Only this answer shows `secret`."""

    secret = serializers.SerializerMethodField()

    def get_secret(self, row: Any) -> str:
        return str(self.context["secret"])


class AttemptOut(serializers.Serializer):
    """`status` is the status of the receiver's answer, and `answer` is the first part of this answer.

    Without an answer, `problem` says why.
    """

    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True)
    problem = serializers.CharField()
    milliseconds = serializers.IntegerField()
    answer = serializers.CharField()


class DeliveryLine(serializers.Serializer):
    """The receiver gets `message_id` as `webhook-id`."""

    id = serializers.UUIDField()
    message_id = serializers.SerializerMethodField()
    event = serializers.CharField(source="topic")
    state = serializers.ChoiceField(choices=OutboxMessage.State.values)
    created_at = serializers.DateTimeField()
    next_attempt_at = serializers.SerializerMethodField()
    delivered_at = serializers.DateTimeField(allow_null=True)

    def get_message_id(self, row: OutboxMessage) -> str:
        return str((row.rendered or {}).get("id", ""))

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, row: OutboxMessage) -> Any:
        is_waiting = row.state == OutboxMessage.State.WAITING
        return serializers.DateTimeField().to_representation(row.next_attempt_at) if is_waiting else None


class DeliveryOut(DeliveryLine):
    """`body` is the text that is signed and sent."""

    body = serializers.SerializerMethodField()
    attempts = serializers.SerializerMethodField()

    def get_body(self, row: OutboxMessage) -> str:
        return str((row.rendered or {}).get("body", ""))

    @extend_schema_field(AttemptOut(many=True))
    def get_attempts(self, row: Any) -> Any:
        return output.all_shown(AttemptOut, row.tried)


# --- Bodies --------------------------------------------------------------------------------------------------


class _Events(Several):
    child = serializers.ChoiceField(choices=[ALL, *EVENTS])

    def __init__(self, **options: Any) -> None:
        super().__init__(min_length=1, max_length=len(EVENTS) + 1, **options)


class WebhookIn(Strict):
    url = Text()
    events = _Events()
    label = Text(required=False, allow_blank=True)


class CallbackIn(Strict):
    url = Text()
    label = Text(required=False, allow_blank=True)


class WebhookChange(Strict):
    url = Text(required=False)
    events = _Events(required=False)
    label = Text(required=False, allow_blank=True)


class DeliveryFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=OutboxMessage.State.choices)
    event = django_filters.CharFilter(field_name="topic", max_length=64)


# --- Routes --------------------------------------------------------------------------------------------------

_EXAMPLES = [
    OpenApiExample(
        "A help desk",
        request_only=True,
        value={
            "url": "https://helpdesk.example.com/lockbox",
            "events": ["access_request.approved_by_customer", "access_request.denied_by_customer", "grant.closed"],
            "label": "Help desk",
        },
    )
]


class _Webhooks(ListView):
    scopes: ClassVar = _READ
    acts: ClassVar = {"POST": (ADD_WEBHOOK,)}
    serializer_class = WebhookOut
    orders = ("-created_at",)

    def _added(self, tenant_id: UUID | None) -> Response:
        if tenant_id is not None:
            tenants.tenant(tenant_id, actor=self.actor)
        return _issued(self, operations.add_webhook(tenant_id, **self.body(WebhookIn), actor=self.actor), status=201)


class TenantWebhooks(_Webhooks):
    @extend_schema(
        operation_id="webhooks_list",
        summary="List a tenant's webhooks",
        tags=_TAGS,
        responses=WebhookOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        row = tenants.administered(tenant, actor=self.actor)
        return self.listed(queries.of_tenant(row))

    @extend_schema(
        operation_id="webhooks_add",
        summary="Add a webhook to a tenant",
        tags=_TAGS,
        request=WebhookIn,
        responses={201: WebhookWithSecret},
        examples=_EXAMPLES,
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        return self._added(tenant)


class ProviderWebhooks(_Webhooks):
    """The provider's own webhooks, which get the entries of every log. Only staff can read and add them."""

    @extend_schema(
        operation_id="provider_webhooks_list",
        summary="List the provider's webhooks",
        tags=_TAGS,
        responses=WebhookOut(many=True),
    )
    def get(self, request: Any) -> Response:
        return self.listed(queries.of_provider(actor=self.actor))

    @extend_schema(
        operation_id="provider_webhooks_add",
        summary="Add a webhook of the provider",
        tags=_TAGS,
        request=WebhookIn,
        responses={201: WebhookWithSecret},
        examples=_EXAMPLES,
    )
    def post(self, request: Any) -> Response:
        return self._added(None)


class ClientCallbacks(ApiView):
    """The addresses to which the provider's client can have the ends of its access requests sent."""

    acts: ClassVar = {"POST": (ADD_CALLBACK,)}

    @extend_schema(
        operation_id="clients_add_callback",
        summary="Register a callback address for a client of the provider",
        tags=["callers"],
        request=CallbackIn,
        responses={201: WebhookWithSecret},
        examples=[
            OpenApiExample(
                "A help desk",
                request_only=True,
                value={"url": "https://helpdesk.example.com/callbacks", "label": "Help desk"},
            )
        ],
    )
    def post(self, request: Any, pk: UUID) -> Response:
        return _issued(self, operations.add_callback(pk, **self.body(CallbackIn), actor=self.actor), status=201)


class OneWebhook(ApiView):
    scopes: ClassVar = _READ
    acts: ClassVar = {"PATCH": (CHANGE_WEBHOOK,), "DELETE": (REMOVE_WEBHOOK,)}

    @extend_schema(operation_id="webhooks_show", summary="Read one webhook", tags=_TAGS, responses={200: WebhookOut})
    def get(self, request: Any, pk: UUID) -> Response:
        return _one(self, pk)

    @extend_schema(
        operation_id="webhooks_change",
        summary="Change the address or the events of a webhook",
        tags=_TAGS,
        request=WebhookChange,
        responses={200: WebhookOut},
        examples=[
            OpenApiExample(
                "Hear of ends",
                request_only=True,
                value={"events": ["grant.closed", "grant.revoked"]},
            )
        ],
    )
    def patch(self, request: Any, pk: UUID) -> Response:
        operations.change_webhook(pk, **self.body(WebhookChange), actor=self.actor)
        return _one(self, pk)

    @extend_schema(
        operation_id="webhooks_remove", summary="Remove a webhook", tags=_TAGS, request=None, responses={204: None}
    )
    def delete(self, request: Any, pk: UUID) -> Response:
        operations.remove_webhook(pk, actor=self.actor)
        return Response(status=204)


class RotateWebhook(ApiView):
    acts: ClassVar = {"POST": (ROTATE_WEBHOOK_SECRET,)}

    @extend_schema(
        operation_id="webhooks_rotate_secret",
        summary="Make new keys; the previous keys also sign for one day",
        tags=_TAGS,
        request=None,
        responses={200: WebhookWithSecret},
    )
    def post(self, request: Any, pk: UUID) -> Response:
        self.body(Strict)
        return _issued(self, operations.rotate_webhook_secret(pk, actor=self.actor), status=200)


class SendTest(ApiView):
    acts: ClassVar = {"POST": (SEND_WEBHOOK_TEST,)}

    @extend_schema(
        operation_id="webhooks_test",
        summary="Send a test to a webhook",
        tags=_TAGS,
        request=None,
        responses={201: DeliveryOut},
    )
    def post(self, request: Any, pk: UUID) -> Response:
        self.body(Strict)
        return _delivery(self, operations.send_webhook_test(pk, actor=self.actor).pk, pk, status=201)


class Deliveries(ListView):
    scopes: ClassVar = _READ
    serializer_class = DeliveryLine
    filterset_class = DeliveryFilter
    orders = ("-created_at", "created_at")

    @extend_schema(
        operation_id="webhooks_deliveries",
        summary="List what was sent to a webhook in the last 30 days",
        tags=_TAGS,
        responses=DeliveryLine(many=True),
    )
    def get(self, request: Any, pk: UUID) -> Response:
        return self.listed(queries.messages_of(queries.managed(pk, actor=self.actor)))


class OneDelivery(ApiView):
    scopes: ClassVar = _READ

    @extend_schema(
        operation_id="webhooks_delivery",
        summary="Read one message and every attempt to deliver it",
        tags=_TAGS,
        responses={200: DeliveryOut},
    )
    def get(self, request: Any, pk: UUID, message: UUID) -> Response:
        return _delivery(self, message, pk)


class Redeliver(ApiView):
    acts: ClassVar = {"POST": (REDELIVER,)}

    @extend_schema(
        operation_id="webhooks_redeliver",
        summary="Send one message again, under the same id",
        tags=_TAGS,
        request=None,
        responses={200: DeliveryOut},
    )
    def post(self, request: Any, pk: UUID, message: UUID) -> Response:
        self.body(Strict)
        # The operation checks the caller's rights. This only checks that the message belongs to the webhook.
        queries.belongs(message, pk, actor=self.actor)
        operations.redeliver(message, actor=self.actor)
        return _delivery(self, message, pk)


def _one(view: ApiView, pk: UUID) -> Response:
    return view.shown(WebhookOut, queries.managed(pk, actor=view.actor))


def _delivery(view: ApiView, message: UUID, pk: UUID, *, status: int = 200) -> Response:
    found = queries.delivery(queries.managed(pk, actor=view.actor), message)
    location = ""
    if status == 201:
        location = absolute(reverse("api:webhook_delivery", args=[pk, message]))
    return view.shown(DeliveryOut, found, status=status, location=location)


def _issued(view: ApiView, issued: operations.Issued, *, status: int) -> Response:
    row = queries.managed(issued.webhook.pk, actor=view.actor)
    location = absolute(reverse("api:webhook", args=[row.pk])) if status == 201 else ""
    shown = view.shown(WebhookWithSecret, row, status=status, location=location, secret=issued.keys.whsec)
    return secret_answer(shown)


ACTS = Shape(
    noun=Noun.WEBHOOK,
    address="webhooks/<uuid:pk>",
    tag=_TAGS[0],
    names="webhooks",
    out=WebhookOut,
    show=lambda view, pk, _row: _one(view, pk),
    urls="webhook_",
)
