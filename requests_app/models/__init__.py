"""The domain's rows. Only `operations` changes them."""

from requests_app.models.access import (
    AccessRequest,
    AccessRequestResource,
    ContentAccess,
    Decision,
    Grant,
    Level,
)
from requests_app.models.integrations import Client, IdempotencyKey, Token
from requests_app.models.outbox import OutboxMessage
from requests_app.models.people import Membership, Person, QueueAssignment
from requests_app.models.services import Resource, Service
from requests_app.models.tenants import NotificationAddress, Plan, Tenant
from requests_app.models.tickets import Ticket, TicketComment
from requests_app.models.webhooks import Webhook, WebhookAttempt, WebhookCursor
from requests_app.models.worker import Heartbeat, TaskAttempt

__all__ = [
    "AccessRequest",
    "AccessRequestResource",
    "Client",
    "ContentAccess",
    "Decision",
    "Grant",
    "Heartbeat",
    "IdempotencyKey",
    "Level",
    "Membership",
    "NotificationAddress",
    "OutboxMessage",
    "Person",
    "Plan",
    "QueueAssignment",
    "Resource",
    "Service",
    "TaskAttempt",
    "Tenant",
    "Ticket",
    "TicketComment",
    "Token",
    "Webhook",
    "WebhookAttempt",
    "WebhookCursor",
]
