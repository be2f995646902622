"""Makes proofs from the database: that an entry is in a signed tree, and that one tree continues another."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from audit_app import checkpoints, notes, tree
from audit_app.models import AuditEntry, ChainHead, Checkpoint, ClosedShard, Cosignature
from audit_app.notes import Note, Proof
from audit_app.tiles import MissingTile, Tiles
from audit_app.tree import BadProof


class NotProven(Exception):
    """There is no proof yet, or no longer. `code` is `unsigned`, `absent` or `damaged`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class TreePosition:
    """The shard that has an entry, and the entry's index in that shard's tree."""

    shard: int
    first_seq: int
    index: int


def tree_position(tenant_id: UUID, seq: int) -> TreePosition:
    """Return the shard of an entry and its index in the shard's tree. Raise NotProven if the entry is unknown."""
    head = ChainHead.objects.filter(pk=tenant_id).first()
    if head is None or not 0 <= seq < head.size:
        raise NotProven("absent")
    if seq >= head.first_seq:
        return TreePosition(head.shard, head.first_seq, seq - head.first_seq)
    shards = ClosedShard.objects.filter(tenant_id=tenant_id, first_seq__lte=seq, end_seq__gt=seq)
    shard = shards.order_by("shard").last()
    if shard is None:
        raise NotProven("absent")
    return TreePosition(shard.shard, shard.first_seq, seq - shard.first_seq)


def cosigned(checkpoint: Checkpoint) -> Note:
    """Return the checkpoint as a note, with the cosignatures of the witnesses added."""
    lines = Cosignature.objects.filter(checkpoint=checkpoint).order_by("pk").values_list("line", flat=True)
    return Note.parse(checkpoint.note).with_signatures(notes.signature_lines("".join(lines)) if lines else ())


def covering(tenant_id: UUID, shard: int, index: int) -> Checkpoint:
    """Return the newest checkpoint of the shard. Raise NotProven if it does not cover this index."""
    newest = checkpoints.newest(tenant_id, shard)
    if newest is None or newest.size <= index:
        raise NotProven("unsigned")
    return newest


def receipt(tenant_id: UUID, seq: int) -> Proof:
    """Return the proof of one entry under the newest checkpoint, after checking the proof.

    Raise NotProven if there is no valid proof.
    """
    place = tree_position(tenant_id, seq)
    checkpoint = covering(tenant_id, place.shard, place.index)
    entry = AuditEntry.objects.filter(tenant_id=tenant_id, seq=seq).first()
    if entry is None:
        raise NotProven("absent")
    path = inclusion(checkpoint, place.index, bytes(entry.canonical))
    return Proof(place.index, tuple(path), cosigned(checkpoint), extra=bytes(entry.canonical))


def inclusion(checkpoint: Checkpoint, index: int, entry: bytes) -> list[bytes]:
    """Return the path from an entry's bytes to the checkpoint's root.

    Raise NotProven if the tree does not contain them.
    """
    try:
        path = Tiles(checkpoint.tenant_id, checkpoint.shard).inclusion(index, checkpoint.size)
        tree.check_inclusion(index, checkpoint.size, tree.leaf(entry), path, bytes(checkpoint.root))
    except (BadProof, MissingTile) as error:
        raise NotProven("damaged") from error
    return path


def consistency(old: Checkpoint, new: Checkpoint) -> list[bytes]:
    """Return the proof that a newer checkpoint of the shard continues an older one.

    Raise NotProven if there is no valid proof.
    """
    try:
        path = Tiles(new.tenant_id, new.shard).consistency(old.size, new.size)
        tree.check_consistency(old.size, new.size, bytes(old.root), bytes(new.root), path)
    except (BadProof, MissingTile, ValueError) as error:
        raise NotProven("damaged") from error
    return path


def consistency_to(checkpoint: Checkpoint, old_size: int) -> list[bytes]:
    """Return the proof that the checkpoint continues a tree of the size `old_size`.

    The proof is not checked here. The reader checks it, because only the reader knows the root of the old tree.
    """
    try:
        return Tiles(checkpoint.tenant_id, checkpoint.shard).consistency(old_size, checkpoint.size)
    except (MissingTile, ValueError) as error:
        raise NotProven("damaged") from error
