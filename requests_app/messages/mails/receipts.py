"""The receipts that go with the mail about a closed window: who said yes, and the end, each entry with its proof."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from audit_app import checkpoints
from audit_app.checkpoints import Refusal
from audit_app.keys import NoKey
from requests_app.domain import clock
from requests_app.domain.errors import LogDamaged, NotFound, NotYetSigned
from requests_app.domain.lifecycle import TRANSITIONS
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, OutboxMessage, Person
from requests_app.queries import log_proofs

logger = structlog.get_logger(__name__)

#: The acts that a closing mail has receipts of, as its template knows them.
PROVIDER, CUSTOMER, CLOSING = "provider", "customer", "closing"
_ACTS: dict[str, str] = {
    **{str(edge.event): edge.stage for edge in TRANSITIONS.values() if edge.is_decision and edge.verdict == "approve"},
    **dict.fromkeys(log_proofs.CLOSINGS, CLOSING),
}
#: How people tell the files apart, in the order of the acts. No translation changes a file's name.
_NAMES = {PROVIDER: "approved-by-provider", CUSTOMER: "approved-by-customer", CLOSING: "window-closed"}
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


@dataclass(frozen=True)
class Receipt:
    """A file to attach: its name, its text, and which act's it is."""

    name: str
    text: str
    act: str


def of(message: OutboxMessage, at: datetime) -> list[Receipt]:
    """The files to attach, in the order of the acts; none where none belongs to this mail, or none can be had.

    Raises NotYet while the entry that closed the window may still be signed in time. The decisions came before it, so
    nothing waits for theirs. Only the customer's side gets them, and only of these entries.
    """
    reader = message.person
    if message.topic != Topic.WINDOW_CLOSED or (reader is not None and reader.side != Person.Side.CUSTOMER):
        return []
    row = AccessRequest.objects.select_related("tenant").get(pk=message.about)
    # The newest of an act is the one that counted.
    entries = {_ACTS[event]: seq for seq, event in log_proofs.receipts_of(row) if event in _ACTS}
    # First, since it may have the log signed.
    closing = _closing(row, entries[CLOSING], message, at) if CLOSING in entries else ""
    texts = {act: closing if act == CLOSING else _decision(row, seq) for act, seq in entries.items()}
    return [
        Receipt(log_proofs.proof_name(row.tenant, entries[act], name), texts[act], act)
        for act, name in _NAMES.items()
        if texts.get(act)
    ]


def _closing(row: AccessRequest, seq: int, message: OutboxMessage, at: datetime) -> str:
    try:
        try:
            return str(log_proofs.proof(row.tenant, seq))
        except NotYetSigned as why:
            if type(why) is not NotYetSigned:  # one that waiting does not mend
                return ""
            _sign(row)
            return str(log_proofs.proof(row.tenant, seq))
    except NotYetSigned as why:
        if type(why) is NotYetSigned and at < message.created_at + WAIT:
            raise NotYet(at + AGAIN) from None
        return ""
    except (NotFound, LogDamaged):
        return ""


def _decision(row: AccessRequest, seq: int) -> str:
    """A decision's proof, as far as there is one: that the window has closed is told with or without it."""
    try:
        return str(log_proofs.proof(row.tenant, seq))
    except (NotFound, NotYetSigned, LogDamaged):
        return ""


def _sign(row: AccessRequest) -> None:
    """Have the log signed now, where this machine can; whatever goes wrong is the signer's trouble, not the mail's."""
    try:
        if checkpoints.state(row.tenant_id).unsigned <= MOST_UNSIGNED:
            checkpoints.sign(row.tenant_id, at=clock.now())
    except (NoKey, Refusal):
        return  # Another machine has the key; or the alarm is written down, and shown.
    except Exception as error:
        logger.warning("receipt_not_signed", tenant=str(row.tenant_id), error=type(error).__name__)
