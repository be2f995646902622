"""Makes the proofs that people download from a log: of an entry, of a checkpoint, and for an access request."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from django.utils.translation import gettext as _

from audit_app import checkpoints, notes, proofs
from audit_app.exported_entries import parse
from audit_app.models import AuditEntry, Checkpoint, ClosedShard
from audit_app.notes import BadNote, Head, Note, Proof
from audit_app.proofs import NotProven
from requests_app.domain.acts import marked
from requests_app.domain.acts.declaration import Mark
from requests_app.domain.errors import LogDamaged, NeverSigned, NotFound, NotSignedNow, NotYetSigned
from requests_app.models import AccessRequest, Tenant
from requests_app.queries.log import Log

logger = structlog.get_logger(__name__)

#: The events that have receipts: each decision, and the end of a window.
RECEIPTS = marked(Mark.APPROVED, Mark.DENIED, Mark.CLOSED)
CLOSINGS = marked(Mark.CLOSED)


def proof(tenant: Tenant | Log, seq: int) -> Proof:
    """Return the proof that one entry is in the log. As text, the proof is a `.tlog-proof` file.

    Raise NotFound if there is no such entry. Raise another error if the entry is not signed yet, or if its proof is
    lost.
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
    """Return the name of a proof's file. `about` is a word that tells people what is proven."""
    return f"{tenant.slug}-{seq}{about and f'-{about}'}.tlog-proof"


def _unsigned(tenant: Tenant | Log, seq: int) -> NotYetSigned | NeverSigned | NotSignedNow:
    state = checkpoints.state(tenant.pk)
    if seq < state.first_seq:
        return NeverSigned()
    return NotSignedNow() if state.alarm else NotYetSigned()


@dataclass(frozen=True)
class Signed:
    """A checkpoint that can be downloaded."""

    shard: int
    size: int
    text: str


def checkpoint(tenant: Tenant | Log, shard: int | None = None) -> Signed:
    """Return the newest checkpoint of a shard, with its cosignatures. Without `shard`, use the current shard.

    Raise NotFound if there is no checkpoint. Raise LogDamaged if the stored text is not a checkpoint.
    """
    if shard is None:
        shard = checkpoints.state(tenant.pk).shard
    row = checkpoints.newest(tenant.pk, shard)
    closed = ClosedShard.objects.filter(tenant_id=tenant.pk, shard=shard).first()
    try:
        # The database may be a restored one that lost the last checkpoint. The signer stored it outside, and wrote it
        # into the tombstone.
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
    """The proof that `checkpoint` contains the first `old` entries of its log unchanged.

    As text, it is a request to a witness (C2SP tlog-witness, add-checkpoint).
    """

    old: int
    path: tuple[bytes, ...]
    checkpoint: Note

    def __str__(self) -> str:
        return f"old {self.old}\n{notes.hash_lines(self.path)}\n{self.checkpoint}"


def consistency(tenant: Tenant | Log, old: int, new: int, shard: int | None = None) -> Growth:
    """Return the proof that the checkpoint of `new` entries contains the first `old` entries unchanged.

    Raise NotFound if there is no such checkpoint. Raise LogDamaged if the proof is lost.
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
        raise LogDamaged(_("There is no such proof, because the stored log does not match the signed log.")) from why


def require_receipt(row: AccessRequest, seq: int) -> None:
    """Raise NotFound unless this entry records a decision on this access request, or the end of its window."""
    if seq not in {number for number, _event in receipts_of(row)}:
        raise NotFound


def receipts_of(row: AccessRequest) -> list[tuple[int, str]]:
    """Return the number and the event of each entry that has a receipt for this access request, oldest first.

    Both are read from the canonical bytes of the entry and not from the columns, because the receipt contains these
    bytes.
    """
    entries = AuditEntry.objects.filter(tenant_id=row.tenant_id, correlation_id=row.pk, event__in=RECEIPTS)
    found = []
    for seq, raw in entries.order_by("seq").values_list("seq", "canonical"):
        try:
            record = parse(bytes(raw))
            if (record["seq"], record["access_request"]) == (seq, str(row.pk)) and record["event"] in RECEIPTS:
                found.append((seq, record["event"]))
        except (ValueError, TypeError, KeyError):
            continue
    return found
