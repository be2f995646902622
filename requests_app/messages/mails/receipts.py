"""Makes the receipts in the mail about a closed window: the proofs of the approvals, and of the window's end."""

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

#: The acts with receipts in a closing mail, by their names in the template.
PROVIDER, CUSTOMER, CLOSING = "provider", "customer", "closing"
_ACTS: dict[str, str] = {
    **{
        str(edge.event): edge.stage
        for edge in TRANSITIONS.values()
        if edge.moves.is_decision and edge.verdict == "approve"
    },
    **dict.fromkeys(log_proofs.CLOSINGS, CLOSING),
}
#: The names of the files, in the order of the acts. They are not translated.
_NAMES = {PROVIDER: "approved-by-provider", CUSTOMER: "approved-by-customer", CLOSING: "window-closed"}
#: The longest time for which a mail waits for its receipt. It is short, because people must learn that a window closed.
WAIT = timedelta(minutes=2)
AGAIN = timedelta(seconds=15)
#: With more unsigned entries than this, the log is not signed here: that would delay other mails. The signer's own task
#: signs it.
MOST_UNSIGNED = 5_000


class NotYet(Exception):
    """The mail can't be sent yet. The next attempt must be made at the time `at`."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at


@dataclass(frozen=True)
class Receipt:
    """A file to attach: its name, its text, and the act that it proves."""

    name: str
    text: str
    act: str


def of(message: OutboxMessage, at: datetime) -> list[Receipt]:
    """Return the receipts to attach to a mail, in the order of the acts.

    Only the mail about a closed window has receipts, and only for the customer's side. For other mails the list is
    empty, and it can be empty if no proof can be made. Raise NotYet while the entry about the window's end may still be
    signed in time. The mail does not wait for the receipts of the decisions, because their entries are older and so
    normally signed.
    """
    reader = message.person
    if message.topic != Topic.WINDOW_CLOSED or (reader is not None and reader.side != Person.Side.CUSTOMER):
        return []
    row = AccessRequest.objects.select_related("tenant").get(pk=message.about)
    # If an act has several entries, the newest one is the valid one.
    entries = {_ACTS[event]: seq for seq, event in log_proofs.receipts_of(row) if event in _ACTS}
    # This comes first, because it may sign the log.
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
    """Return the proof of a decision. If it can't be made, return "", and the mail is sent without this proof."""
    try:
        return str(log_proofs.proof(row.tenant, seq))
    except (NotFound, NotYetSigned, LogDamaged):
        return ""


def _sign(row: AccessRequest) -> None:
    """Sign the log now, if this machine can. If that fails, the mail is sent without the receipt."""
    try:
        if checkpoints.state(row.tenant_id).unsigned <= MOST_UNSIGNED:
            checkpoints.sign(row.tenant_id, at=clock.now())
    except (NoKey, Refusal):
        return  # Another machine has the key, or the alarm is already recorded and shown.
    except Exception as error:
        logger.warning("receipt_not_signed", tenant=str(row.tenant_id), error=type(error).__name__)
