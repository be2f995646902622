"""The receipts in the mail about a closed window: the proofs of the approvals and of the end."""

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

#: The acts that have receipts in a closing mail, by the names in its template.
PROVIDER, CUSTOMER, CLOSING = "provider", "customer", "closing"
_ACTS: dict[str, str] = {
    **{str(edge.event): edge.stage for edge in TRANSITIONS.values() if edge.is_decision and edge.verdict == "approve"},
    **dict.fromkeys(log_proofs.CLOSINGS, CLOSING),
}
#: The file names, in the order of the acts. They are not translated.
_NAMES = {PROVIDER: "approved-by-provider", CUSTOMER: "approved-by-customer", CLOSING: "window-closed"}
#: A mail waits no longer than this for its receipt: the news that a window closed matters more.
WAIT = timedelta(minutes=2)
AGAIN = timedelta(seconds=15)
#: A longer backlog is left to the signer's own task: signing it here would delay other people's mail.
MOST_UNSIGNED = 5_000


class NotYet(Exception):
    """The mail is not complete yet; it is tried again `at`."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at


@dataclass(frozen=True)
class Receipt:
    """A file to attach: its name, its text, and its act."""

    name: str
    text: str
    act: str


def of(message: OutboxMessage, at: datetime) -> list[Receipt]:
    """Return the files to attach, in the order of the acts; none if the mail has none or none can be made.

    Raises NotYet while the entry that closed the window may still be signed in time. The decisions came before it, so
    nothing waits for their receipts. Only the customer's side gets receipts, and only of these entries.
    """
    reader = message.person
    if message.topic != Topic.WINDOW_CLOSED or (reader is not None and reader.side != Person.Side.CUSTOMER):
        return []
    row = AccessRequest.objects.select_related("tenant").get(pk=message.about)
    # The newest entry of an act is the one that counted.
    entries = {_ACTS[event]: seq for seq, event in log_proofs.receipts_of(row) if event in _ACTS}
    # First, because it may have the log signed.
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
    """Return a decision's proof, if there is one. The mail does not depend on it."""
    try:
        return str(log_proofs.proof(row.tenant, seq))
    except (NotFound, NotYetSigned, LogDamaged):
        return ""


def _sign(row: AccessRequest) -> None:
    """Sign the log now, if this machine can. A failure is the signer's problem, not the mail's."""
    try:
        if checkpoints.state(row.tenant_id).unsigned <= MOST_UNSIGNED:
            checkpoints.sign(row.tenant_id, at=clock.now())
    except (NoKey, Refusal):
        return  # Another machine has the key; or the alarm is written down, and shown.
    except Exception as error:
        logger.warning("receipt_not_signed", tenant=str(row.tenant_id), error=type(error).__name__)
