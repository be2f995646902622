"""For each noun, finds and locks the row that an act is about, and reads the facts that the declaration's rules need.

Each finder searches in `visible_to`, so a row that does not exist and a row of another tenant get the same refusal. It
locks in one order (access request, grant, tenant, other rows, log), and ends with `Step.concerns`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from audit_app import recorder
from requests_app.domain.acts.declaration import Noun, Party
from requests_app.domain.errors import NotFound
from requests_app.models import (
    AccessDraft,
    AccessRequest,
    Client,
    Domain,
    Identity,
    Import,
    Invitation,
    Mute,
    NotificationAddress,
    OutboxMessage,
    OutOfOffice,
    Passkey,
    Person,
    Proposal,
    SignalStream,
    Tenant,
    Ticket,
    Token,
    Webhook,
)
from requests_app.models.outbox import WEBHOOK
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._keys import logs_of, logs_with


def tenant(current: Step, row_id: object) -> Tenant:
    row: Tenant = Tenant.objects.visible_to(current.actor).select_related("plan").locked().find(row_id)
    current.tenant = row
    current.concerns("tenant", row, row.pk)
    return row


def access_request(current: Step, row_id: object) -> AccessRequest:
    rows = AccessRequest.objects.visible_to(current.actor)
    row: AccessRequest = rows.select_related("tenant", "service", "ticket", "requested_by").locked().find(row_id)
    current.correlation_id = row.pk
    parties = {Party.REQUESTER: frozenset({row.requester_human}), Party.DECIDER: row.deciders}
    current.concerns("access_request", row, row.tenant_id, service_id=row.service_id, parties=parties)
    return row


def ticket(current: Step, row_id: object) -> Ticket:
    rows = Ticket.objects.visible_to(current.actor).select_related("assignee", "opened_by", "on_behalf_of")
    row: Ticket = rows.locked().find(row_id)
    current.concerns("ticket", row, row.tenant_id, service_id=row.service_id)
    return row


def webhook(current: Step, row_id: object) -> Webhook:
    row: Webhook = Webhook.objects.visible_to(current.actor).present().locked().find(row_id)
    current.concerns("webhook", row, row.tenant_id or PROVIDER_LOG)
    return row


def signal_stream(current: Step, row_id: object) -> SignalStream:
    """Return the stream with its receiver's row, locked. A client finds only its own streams."""
    found: SignalStream = SignalStream.objects.of_caller(current.actor).present().find(row_id)
    webhook = Webhook.objects.receivers().locked().find(found.pk)
    row: SignalStream = SignalStream.objects.select_related("client__account", "tenant").locked().get(pk=found.pk)
    row.webhook = webhook
    current.concerns("signal_stream", row, row.tenant_id or PROVIDER_LOG)
    return row


def client(current: Step, row_id: object) -> Client:
    rows = Client.objects.visible_to(current.actor).live().select_related("account", "tenant", "decides_for", "service")
    row: Client = rows.locked().find(row_id)
    current.concerns("client", row, row.tenant_id or PROVIDER_LOG)
    return row


def token(current: Step, row_id: object) -> Token:
    row: Token = Token.objects.visible_to(current.actor).revocable().find(row_id)
    current.concerns("token", row, log_for(current, row.account), holder=row.account_id)
    # Read again under the lock of the log, so that two people who revoke at the same time make only one entry.
    row.refresh_from_db()
    return row


def mail(current: Step, row_id: object) -> OutboxMessage:
    row: OutboxMessage = OutboxMessage.objects.visible_to(current.actor).locked().find(row_id)
    current.concerns("outbox_message", row, row.tenant_id or PROVIDER_LOG)
    return row


def identity(current: Step, identity_id: object) -> Identity:
    """Return the identity, after locking its person and then its tenant. The act's entry is about the person."""
    row: Identity = Identity.objects.visible_to(current.actor).find(identity_id)
    row.person = Person.objects.get_queryset().select_for_update(no_key=True).get(pk=row.person_id)
    if row.tenant_id is not None:
        Tenant.objects.locked().find(row.tenant_id)
    current.concerns("person", row.person, row.tenant_id or PROVIDER_LOG)
    return row


def imported(current: Step, import_id: object) -> Import:
    """Return the import, locked. So two processes never work on one import at the same time."""
    row: Import = Import.objects.visible_to(current.actor).locked().find(import_id)
    current.concerns("import", row, PROVIDER_LOG)
    return row


def message(current: Step, message_id: object) -> OutboxMessage:
    """Return the message with its webhook, both locked. The act's entry is about the webhook."""
    found = OutboxMessage.objects.visible_to(current.actor).filter(lane=WEBHOOK).find(message_id)
    webhook = Webhook.objects.visible_to(current.actor).present().locked().find(found.webhook_id)
    current.concerns("webhook", webhook, webhook.tenant_id or PROVIDER_LOG)
    row: OutboxMessage = OutboxMessage.objects.locked().find(found.pk)
    row.webhook = webhook
    return row


def passkey(current: Step, passkey_id: object) -> Passkey:
    row: Passkey = Passkey.objects.visible_to(current.actor).find(passkey_id)
    # Every other act that removes a second factor of this person waits here.
    Person.objects.get_queryset().select_for_update(no_key=True).get(pk=row.person_id)
    logs = logs_with(row)
    current.concerns("passkey", row, logs[0], holder=row.person_id)
    # All turns at the logs are taken before the row is locked. A decision uses the same order, so the two never wait
    # for each other in a circle.
    for log in logs[1:]:
        recorder.lock(log, is_holding=True)
    row = Passkey.objects.select_related("person").locked().get(pk=row.pk)
    return row


def proposal(current: Step, row_id: object) -> Proposal:
    """Return the proposal, locked. If it belongs to a tenant, the tenant is locked first.

    An act that confirms a tenant's proposal must call this after it has locked the rows that the change needs.
    """
    row: Proposal = Proposal.objects.visible_to(current.actor).find(row_id)
    if row.tenant_id is not None:
        current.tenant = Tenant.objects.locked().select_related("plan").get(pk=row.tenant_id)
    related = ("proposed_by", "confirmed_by", "proposed_through__client__created_by")
    row = Proposal.objects.locked().select_related(*related).get(pk=row.pk)
    current.concerns("proposal", row, row.tenant_id or PROVIDER_LOG, parties={Party.PROPOSER: row.humans})
    return row


def access_draft(current: Step, row_id: object) -> AccessDraft:
    found = AccessDraft.objects.visible_to(current.actor)
    row: AccessDraft = found.select_related("ticket", "tenant", "resource", "engineer").locked().find(row_id)
    current.concerns("ticket", row.ticket, row.tenant_id, service_id=row.service_id)
    return row


def account(current: Step, _row_id: object = None) -> Person:
    """Return the account of the person who acts, locked."""
    row = Person.objects.get_queryset().select_for_update(no_key=True).get(pk=current.actor.person)
    current.concerns("person", row, log_of(row), holder=row.pk)
    return row


def of_tenant(model: Any, *related: str) -> Callable[[Step, object], Any]:
    """Return a finder for a kind of row that belongs to a tenant.

    The finder locks the tenant first, and then the row. The log entry of the act names the tenant as its subject.
    """

    def find(current: Step, row_id: object) -> Any:
        found = model.objects.visible_to(current.actor).find(row_id)
        current.tenant = Tenant.objects.locked().get(pk=found.tenant_id)
        row = model.objects.select_related(*related).locked().filter(pk=found.pk).first()
        if row is None:
            raise NotFound
        current.concerns("tenant", current.tenant, found.tenant_id, holder=getattr(row, "approver_id", None))
        return row

    return find


def invitation(current: Step, row_id: object) -> Invitation:
    """Return the invitation, after locking its tenant. The entry about a tenant's invitation names the tenant.

    The proposal of a provider's invitation is locked too, because an act may end it.
    """
    found: Invitation = Invitation.objects.visible_to(current.actor).find(row_id)
    if found.tenant_id is not None:
        current.tenant = Tenant.objects.locked().get(pk=found.tenant_id)
    rows = Invitation.objects.select_related("invited_by", "invited_through", "link_copied_by").locked()
    row: Invitation = rows.get(pk=found.pk)
    row.tenant = current.tenant
    if row.proposal_id is not None:
        proposals = Proposal.objects.select_related("proposed_by", "confirmed_by").locked()
        row.proposal = proposals.get(pk=row.proposal_id)
    subject_type, subject = ("tenant", current.tenant) if current.tenant is not None else ("invitation", row)
    current.concerns(subject_type, subject, row.tenant_id or PROVIDER_LOG, holder=row.accepted_by_id)
    return row


def log_of(person: Person) -> UUID:
    """Return the log that records what a person does on their own account."""
    if person.kind == Person.Kind.CLIENT:
        return person.client.tenant_id or PROVIDER_LOG
    return logs_of(person)[0]


def log_for(current: Step, person: Person) -> UUID:
    """Return the log that records what somebody does to this person, or to something that belongs to this person.

    A person may belong to several tenants, and the actor to only some of them. The act is judged and recorded in a
    tenant in which the actor has one of the act's roles. If there is no such tenant, a tenant in which the actor has
    any role is used.
    """
    if person.kind == Person.Kind.CLIENT:
        return log_of(person)

    def distance(log: UUID) -> tuple[bool, bool]:
        held = current.actor.roles_on(tenant_id=log, service_id=None)
        return not held & current.act.roles, not held

    return min(logs_of(person), key=distance)


FINDERS: dict[Noun, Callable[[Step, Any], Any]] = {
    Noun.ACCESS_DRAFT: access_draft,
    Noun.ACCESS_REQUEST: access_request,
    Noun.ACCOUNT: account,
    Noun.CLIENT: client,
    Noun.DEPUTY: of_tenant(OutOfOffice, "deputy", "approver"),
    Noun.DOMAIN: of_tenant(Domain),
    Noun.IDENTITY: identity,
    Noun.IMPORT: imported,
    Noun.INVITATION: invitation,
    Noun.MAIL: mail,
    Noun.MESSAGE: message,
    Noun.MUTE: of_tenant(Mute, "engineer"),
    Noun.NOTIFICATION_ADDRESS: of_tenant(NotificationAddress),
    Noun.PASSKEY: passkey,
    Noun.PROPOSAL: proposal,
    Noun.SIGNAL_STREAM: signal_stream,
    Noun.TENANT: tenant,
    Noun.TICKET: ticket,
    Noun.TOKEN: token,
    Noun.WEBHOOK: webhook,
}

#: The reasons why acts about such a row find it themselves.
FOUND_BY_THE_ACT: dict[Noun, str] = {
    Noun.GRANT: "Reading content finds the grant with its access request, and has a rule of its own.",
    Noun.INSTALLATION: "There is one, and an act on it may make the row.",
    Noun.LOG: "A log is named by its tenant. Whose log an act finds, and whether its tenant is still there, differs.",
    Noun.PERSON: "Staff, the person's tenant and a directory find different people, and lock what each act ends.",
    Noun.PLAN: "One act makes the plan and changes it.",
    Noun.PROXY: "The entry is about its service.",
    Noun.RECOVERY_KEY: "The secret finds it. Nobody knows its id.",
    Noun.RESOURCE: "One act makes the resource and changes it.",
    Noun.SERVICE: "One act makes the service and changes it.",
    Noun.WITNESS: "No act is about a witness: it is an input of an act on its tenant.",
}
