"""The rows of the database. Only `operations` changes them."""

from requests_app.models.access import (
    AccessRequest,
    AccessRequestResource,
    ContentAccess,
    Decision,
    Grant,
    Level,
    SignedDecision,
)
from requests_app.models.access_tasks import AccessDraft, AccessTask
from requests_app.models.addresses import AddressChange
from requests_app.models.codes import OneTimeCode
from requests_app.models.deputies import OutOfOffice
from requests_app.models.directory import DirectoryGroup, DirectoryRecord, GroupMember, GroupRole
from requests_app.models.gates import GateProxy, GateSession
from requests_app.models.guards import Guard
from requests_app.models.guesses import Tries
from requests_app.models.imports import HeldRow, Import, ImportBatch
from requests_app.models.installation import Installation
from requests_app.models.integrations import Client, IdempotencyKey, Token
from requests_app.models.invitations import Invitation
from requests_app.models.keys import Passkey
from requests_app.models.mutes import Mute
from requests_app.models.outbox import OutboxMessage
from requests_app.models.people import Membership, Person, QueueAssignment
from requests_app.models.proposals import Proposal
from requests_app.models.recovery import RecoveryKey
from requests_app.models.restored import Restoration, RestoredConfirmation, RestoredTenant
from requests_app.models.services import Resource, Service
from requests_app.models.signal_streams import SignalStream
from requests_app.models.single_sign_on import Domain, Identity, ProviderSignOn, SignOn
from requests_app.models.staff_terms import StaffTerm
from requests_app.models.tenants import NotificationAddress, Plan, Tenant
from requests_app.models.tickets import Ticket, TicketComment
from requests_app.models.token_keys import TokenKey
from requests_app.models.webhooks import Webhook, WebhookAttempt, WebhookCursor
from requests_app.models.worker import Heartbeat, TaskAttempt

__all__ = [
    "AccessDraft",
    "AccessRequest",
    "AccessRequestResource",
    "AccessTask",
    "AddressChange",
    "Client",
    "ContentAccess",
    "Decision",
    "DirectoryGroup",
    "DirectoryRecord",
    "Domain",
    "GateProxy",
    "GateSession",
    "Grant",
    "GroupMember",
    "GroupRole",
    "Guard",
    "Heartbeat",
    "HeldRow",
    "IdempotencyKey",
    "Identity",
    "Import",
    "ImportBatch",
    "Installation",
    "Invitation",
    "Level",
    "Membership",
    "Mute",
    "NotificationAddress",
    "OneTimeCode",
    "OutOfOffice",
    "OutboxMessage",
    "Passkey",
    "Person",
    "Plan",
    "Proposal",
    "ProviderSignOn",
    "QueueAssignment",
    "RecoveryKey",
    "Resource",
    "Restoration",
    "RestoredConfirmation",
    "RestoredTenant",
    "Service",
    "SignOn",
    "SignalStream",
    "SignedDecision",
    "StaffTerm",
    "TaskAttempt",
    "Tenant",
    "Ticket",
    "TicketComment",
    "Token",
    "TokenKey",
    "Tries",
    "Webhook",
    "WebhookAttempt",
    "WebhookCursor",
]
