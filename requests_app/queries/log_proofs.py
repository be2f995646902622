"""What of a log can be taken along one by one: an entry’s proof, a checkpoint, an access request’s receipts."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from django.utils.translation import gettext as _

from audit_app import checkpoints, notes, proofs
from audit_app.models import AuditEntry, Checkpoint, ClosedShard
from audit_app.notes import BadNote, Head, Note, Proof
from audit_app.proofs import NotProven
from audit_app.said import parse
from requests_app.domain.acts import marked
from requests_app.domain.acts.declaration import Mark
from requests_app.domain.errors import LogDamaged, NeverSigned, NotFound, NotSignedNow, NotYetSigned
from requests_app.models import AccessRequest, Tenant
from requests_app.queries.log import Log

logger = structlog.get_logger(__name__)

#: What a receipt is given for: each decision, and the end of a window.
RECEIPTS = marked(Mark.APPROVED, Mark.DENIED, Mark.CLOSED)
CLOSINGS = marked(Mark.CLOSED)


def proof(tenant: Tenant | Log, seq: int) -> Proof:
    """The proof of one entry; as text it is a `.tlog-proof`.

    Raises NotFound, or one of the refusals that say why there is none (yet).
    """
    try:
        return proofs.receipt(tenant.pk, seq)
    except NotProven as why:
        if why.code == "unsigned":
            raise _unsigned(tenant, seq) from why
        if why.code == "absent":
            raise NotFound from why
        damage = why.code
    except BadNote:
        damage = "checkpoint"
    logger.error("log_proof_damaged", tenant=str(tenant.pk), seq=seq, what=damage)
    raise LogDamaged


def proof_name(tenant: Tenant, seq: int, about: str = "") -> str:
    """The file's name; `about` tells people which of several it is."""
    return f"{tenant.slug}-{seq}{about and f'-{about}'}.tlog-proof"


def _unsigned(tenant: Tenant | Log, seq: int) -> NotYetSigned | NeverSigned | NotSignedNow:
    state = checkpoints.state(tenant.pk)
    if seq < state.first_seq:
        return NeverSigned()
    return NotSignedNow() if state.alarm else NotYetSigned()


@dataclass(frozen=True)
class Signed:
    """A checkpoint as it leaves the house."""

    shard: int
    size: int
    text: str


def checkpoint(tenant: Tenant | Log, shard: int | None = None) -> Signed:
    """The newest checkpoint with its cosignatures: of the shard in use, or of one that was closed.

    Raises NotFound, and LogDamaged where what is stored is no checkpoint.
    """
    if shard is None:
        shard = checkpoints.state(tenant.pk).shard
    row = checkpoints.newest(tenant.pk, shard)
    closed = ClosedShard.objects.filter(tenant_id=tenant.pk, shard=shard).first()
    try:
        # A database that was set back may have lost what the signer kept outside, and gave to the tombstone.
        last = Head.parse(Note.parse(closed.checkpoint).text).size if closed and closed.checkpoint else 0
        if closed is not None and last > (row.size if row else 0):
            return Signed(shard, last, closed.checkpoint)
        if row is None:
            raise NotFound
        return Signed(shard, row.size, str(proofs.cosigned(row)))
    except BadNote as why:
        logger.error("log_checkpoint_damaged", tenant=str(tenant.pk), shard=shard)
        raise LogDamaged(_("There is no checkpoint to download, because no valid checkpoint is stored.")) from why


@dataclass(frozen=True)
class Growth:
    """That a checkpoint continues any tree of `old` entries; as text in the form in which a witness is asked (C2SP
    tlog-witness, add-checkpoint)."""

    old: int
    path: tuple[bytes, ...]
    checkpoint: Note

    def __str__(self) -> str:
        return f"old {self.old}\n{notes.hash_lines(self.path)}\n{self.checkpoint}"


def consistency(tenant: Tenant | Log, old: int, new: int, shard: int | None = None) -> Growth:
    """The proof that the checkpoint of `new` entries continues any tree of `old`.

    Raises NotFound, and LogDamaged where there is none any more.
    """
    if shard is None:
        shard = checkpoints.state(tenant.pk).shard
    row = Checkpoint.objects.filter(tenant_id=tenant.pk, shard=shard, size=new).first()
    if row is None or old > new:
        raise NotFound
    try:
        return Growth(old, tuple(proofs.consistency_to(row, old)), proofs.cosigned(row))
    except (NotProven, BadNote) as why:
        logger.error("log_consistency_damaged", tenant=str(tenant.pk), shard=shard, old=old, new=new)
        raise LogDamaged(_("There is no such proof, because what is stored does not match what was signed.")) from why


def require_receipt(row: AccessRequest, seq: int) -> None:
    """Raise NotFound unless this entry is a decision on this very access request, or the end of its window."""
    if seq not in {number for number, _event in receipts_of(row)}:
        raise NotFound


def receipts_of(row: AccessRequest) -> list[tuple[int, str]]:
    """The entries that this access request has receipts of, oldest first: number and event.

    Asked of the bytes that would be given away, and not of the columns beside them.
    """
    entries = AuditEntry.objects.filter(tenant_id=row.tenant_id, correlation_id=row.pk, event__in=RECEIPTS)
    found = []
    for seq, raw in entries.order_by("seq").values_list("seq", "canonical"):
        try:
            said = parse(bytes(raw))
            if (said["seq"], said["access_request"]) == (seq, str(row.pk)) and said["event"] in RECEIPTS:
                found.append((seq, said["event"]))
        except (ValueError, TypeError, KeyError):
            continue
    return found
