"""Records exports of the log and downloads of evidence.

Sends a mail again, or gives up a mail that can't be delivered.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from audit_app import canonical
from audit_app.models import ChainHead
from requests_app.domain import limits, policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.log import EXPORT_LOG, LOG_EVIDENCE_TAKEN, LOG_EXPORTED, TAKE_EVIDENCE
from requests_app.domain.acts.mail import MAIL_PARKED, MAIL_RESENT, PARK_MAIL, RESEND_MAIL
from requests_app.domain.errors import WrongState
from requests_app.messages import together
from requests_app.models import AccessRequest, OutboxMessage, Tenant
from requests_app.models.outbox import MAIL
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._perform import perform

LOG_READERS = policy.LOG_READERS


def export_log(log_id: object, *, actor: Actor, kind: str, filters: dict[str, str]) -> UUID:
    """Record that a log is exported. Return the log's id.

    Staff can also export the provider's log. The caller streams the log after this has returned.
    """
    with perform(EXPORT_LOG, log_id, actor=actor, find=_log) as current:
        current.witness(LOG_EXPORTED, detail={"format": kind, "filters": filters})
    pk: UUID = current.row.pk
    return pk


def _log(current: Step, log_id: object) -> Any:
    """Return the tenant to which this log belongs, or the head of the provider's log."""
    if str(log_id) == str(PROVIDER_LOG):
        head = ChainHead(pk=PROVIDER_LOG)
        current.concerns("log", head, PROVIDER_LOG)
        return head
    tenant = Tenant.objects.visible_to(current.actor).find(log_id)
    current.concerns("tenant", tenant, tenant.pk)
    return tenant


def take_evidence(
    tenant_id: object,
    *,
    actor: Actor,
    access_request_id: object = None,
    since: datetime | None = None,
    until: datetime | None = None,
    is_ready: bool = True,
) -> Tenant:
    """Record that evidence is downloaded: about one access request, about a period, or about the whole log.

    The day `until` is not part of the period. The caller streams the evidence after this has returned.
    `is_ready` is False if the caller prepared no evidence, because the person was not allowed to have it. If
    the person has got the role since then, raise WrongState. Otherwise an entry would record a download that
    did not happen.
    """
    row: AccessRequest | None = None

    def find(current: Step, row_id: object) -> Tenant:
        nonlocal row
        tenant: Tenant = Tenant.objects.visible_to(current.actor).find(row_id)
        if access_request_id is not None:
            row = AccessRequest.objects.visible_to(current.actor).filter(tenant=tenant).find(access_request_id)
        current.concerns("tenant", tenant, tenant.pk)
        return tenant

    def state(_current: Step) -> None:
        if not is_ready:
            raise WrongState(_("Your role has just changed. Open the page again."))

    with perform(TAKE_EVIDENCE, tenant_id, actor=actor, find=find, state=state) as current:
        tenant: Tenant = current.row
        if row is not None:
            of = {"kind": "access_request", "access_request": str(row.pk), "reference": row.reference}
        else:
            bounds = {"since": since, "until": until}
            of = {name: canonical.instant(at) for name, at in bounds.items() if at is not None}
            of["kind"] = "period" if of else "log"
        current.witness(LOG_EVIDENCE_TAKEN, detail=of)
    return tenant


def resend_mail(message_id: object, *, actor: Actor) -> OutboxMessage:
    """Send a mail again. It has the same Message-ID, so a mailbox that already has the mail shows it only once.

    A mail about several access requests names all of them again. Until this mail is sent, staff can't send a
    separate mail about one of these access requests.
    """

    def state(current: Step) -> None:
        message = current.row
        if message.lane != MAIL:
            raise WrongState(_("This message can’t be sent again, because it is not a mail to one recipient."))
        if message.state == OutboxMessage.State.WAITING:
            raise WrongState(_("This mail is waiting to be sent."))
        if together.waits_in_another(message):
            raise WrongState(_("This message is waiting to be sent in one mail with other messages."))
        is_old = message.created_at < current.at - limits.MAIL_STORED_FOR
        if is_old and message.state == OutboxMessage.State.DELIVERED and message.rendered is None:
            # It would be another mail: made of the present facts, and with another Message-ID.
            raise WrongState(_("The text of this mail was deleted, because it was sent long ago."))

    with perform(RESEND_MAIL, message_id, actor=actor, state=state) as current:
        message: OutboxMessage = current.row
        message.state = OutboxMessage.State.WAITING
        message.attempts, message.next_attempt_at, message.claimed_until = 0, current.at, None
        message.save(update_fields=["state", "attempts", "next_attempt_at", "claimed_until"])
        together.tell_again(message, current.at)
        current.witness(MAIL_RESENT, detail=_of(message))
    return message


def park_mail(message_id: object, *, actor: Actor, error: str) -> OutboxMessage:
    """Stop trying to send a mail, and record in the tenant's log that the recipient did not get it."""

    def state(current: Step) -> None:
        if current.row.state != OutboxMessage.State.WAITING:
            raise WrongState(_("This mail is no longer waiting to be sent."))

    with perform(PARK_MAIL, message_id, actor=actor, state=state) as current:
        message: OutboxMessage = current.row
        message.state = OutboxMessage.State.PARKED
        message.last_error, message.claimed_until = error[:500], None
        message.save(update_fields=["state", "last_error", "claimed_until", "attempts"])
        together.end(message, OutboxMessage.State.PARKED, error)
        current.witness(MAIL_PARKED, detail=_of(message))
    return message


def _of(message: OutboxMessage) -> dict[str, Any]:
    """Return what an entry says about a mail. For a combined mail, it names all its access requests."""
    detail = {"topic": message.topic, "to": message.recipient}
    bundled = OutboxMessage.objects.filter(pk__in=message.tells).order_by("pk").values_list("about", flat=True)
    return {**detail, "access_requests": [str(about) for about in bundled]} if message.tells else detail
