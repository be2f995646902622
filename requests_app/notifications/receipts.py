"""The receipt that goes with the mail about a closed window: the entry that closed it, with its proof."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from audit_app import checkpoints
from audit_app.checkpoints import Refusal
from audit_app.keys import NoKey
from requests_app import clock
from requests_app.errors import LogDamaged, NotFound, NotYetSigned
from requests_app.models import AccessRequest, OutboxMessage, Person
from requests_app.outbox.topics import Topic
from requests_app.queries import proofs

logger = structlog.get_logger(__name__)

#: A mail waits no longer than this for its receipt: that a window closed is worth more than the proof of it.
WAIT = timedelta(minutes=2)
AGAIN = timedelta(seconds=15)
#: A longer backlog is left to the signer's own task: signing it here would hold up other people's mail.
MOST_UNSIGNED = 5_000


class NotYet(Exception):
    """The mail is not complete yet; it is tried again `at`."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at


def of(message: OutboxMessage, at: datetime) -> dict[str, str] | None:
    """The file to attach, as name and text; None where none belongs to this mail, or none can be had.

    Raises NotYet while the log may still be signed in time. Only the customer's side gets it, and only of this entry.
    """
    reader = message.person
    if message.topic != Topic.WINDOW_CLOSED or (reader is not None and reader.side != Person.Side.CUSTOMER):
        return None
    row = AccessRequest.objects.select_related("tenant").get(pk=message.about)
    seq = proofs.closing_seq(row)
    if seq is None:
        return None
    try:
        try:
            text = proofs.proof(row.tenant, seq)
        except NotYetSigned as why:
            if type(why) is not NotYetSigned:  # one that waiting does not mend
                return None
            _sign(row)
            text = proofs.proof(row.tenant, seq)
    except NotYetSigned as why:
        if type(why) is NotYetSigned and at < message.created_at + WAIT:
            raise NotYet(at + AGAIN) from None
        return None
    except (NotFound, LogDamaged):
        return None
    return {"name": proofs.proof_name(row.tenant, seq), "text": text}


def _sign(row: AccessRequest) -> None:
    """Have the log signed now, where this machine can; whatever goes wrong is the signer's trouble, not the mail's."""
    try:
        if checkpoints.state(row.tenant_id).unsigned <= MOST_UNSIGNED:
            checkpoints.sign(row.tenant_id, at=clock.now())
    except (NoKey, Refusal):
        return  # Another machine has the key; or the alarm is written down, and shown.
    except Exception as error:
        logger.warning("receipt_not_signed", tenant=str(row.tenant_id), error=type(error).__name__)
