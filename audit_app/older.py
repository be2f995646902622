"""Checkpoints of a shard with all that was signed under them: the newest one, and a choice of the older ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.db.models import F, QuerySet, Window
from django.db.models.functions import Mod, RowNumber

from audit_app import notes, own
from audit_app.models import ChainHead, Checkpoint, ClosedShard, Cosignature
from audit_app.notes import Note

#: So many older checkpoints are chosen: the newest half one by one, the others spread evenly over all that is before.
MOST = 1000
_BATCH = 50

#: A checkpoint as a note with its cosignatures, and the verifier keys of those that cosigned.
Signed = tuple[Checkpoint, Note, list[str]]


def signed(checkpoints: Sequence[Checkpoint]) -> list[Signed]:
    lines: dict[int, list[tuple[str, str]]] = {checkpoint.pk: [] for checkpoint in checkpoints}
    rows = Cosignature.objects.filter(checkpoint__in=lines).order_by("pk")
    for checkpoint_id, vkey, line in rows.values_list("checkpoint_id", "vkey", "line"):
        lines[checkpoint_id].append((vkey, line))
    return [_signed(checkpoint, lines[checkpoint.pk]) for checkpoint in checkpoints]


def _signed(checkpoint: Checkpoint, lines: list[tuple[str, str]]) -> Signed:
    own = Note.parse(checkpoint.note)
    more = notes.signature_lines("".join(line for _vkey, line in lines)) if lines else ()
    return checkpoint, own.with_signatures(more), [vkey for vkey, _line in lines]


def is_known(tenant_id: UUID, size: int) -> bool:
    """Whether a checkpoint of this size was ever signed, in any shard of the log."""
    return Checkpoint.objects.filter(tenant_id=tenant_id, size=size).exists()


def older(checkpoint: Checkpoint, *, kept: int | None = None) -> Iterator[list[Signed]]:
    """At most MOST of the shard's checkpoints before this one, the oldest first, a batch at a time.

    That of the size `kept` is among them, if there is one, and those that first cover an entry about a new key: the old
    key signed them, too, and who has that alone follows from there.
    """
    chosen = _chosen(checkpoint, kept)
    for at in range(0, len(chosen), _BATCH):
        rows = Checkpoint.objects.filter(pk__in=chosen[at : at + _BATCH]).order_by("size")
        yield signed(list(rows))


def _chosen(checkpoint: Checkpoint, kept: int | None) -> list[int]:
    before = Checkpoint.objects.filter(tenant_id=checkpoint.tenant_id, shard=checkpoint.shard, size__lt=checkpoint.size)
    newest = list(before.order_by("-size").values_list("size", "pk")[: MOST // 2])
    if not newest:
        return []
    rest = before.filter(size__lt=newest[-1][0])
    step = -(-rest.count() // (MOST - MOST // 2))
    spread = _every(rest, step) if step else []
    chosen = [*spread, *reversed(newest)]
    wanted = set(_needed(before, checkpoint, kept))
    # A reader takes no more than MOST, so some of the oldest make room.
    others = [each for each in chosen if each not in wanted]
    return [pk for _size, pk in sorted([*wanted, *others[max(0, len(others) + len(wanted) - MOST) :]])]


def _needed(before: QuerySet[Checkpoint], newest: Checkpoint, kept: int | None) -> Iterator[tuple[int, int]]:
    """Those of them without which somebody could not follow, whatever else is chosen."""
    rows = before.order_by("size").values_list("size", "pk")
    if kept is not None:
        yield from rows.filter(size=kept)
    shard = ClosedShard.objects.filter(tenant_id=newest.tenant_id, shard=newest.shard).first()
    first = (shard or ChainHead.objects.get(pk=newest.tenant_id)).first_seq
    told = own.kept(newest.tenant_id).filter(event=own.KEY_ROTATED, seq__gte=first, seq__lt=first + newest.size)
    for seq in told.order_by("-seq").values_list("seq", flat=True)[: MOST // 2]:
        yield from rows.filter(size__gt=seq - first)[:1]


def _every(rows: QuerySet[Checkpoint], step: int) -> list[tuple[int, int]]:
    """The first row by size, and every step-th after it; counted by the database, which may hold a million of them."""
    numbered = rows.order_by().annotate(place=Window(RowNumber(), order_by=F("size").asc()))
    chosen = numbered.annotate(left=Mod("place", step)).filter(left=1 % step)
    return list(chosen.order_by("size").values_list("size", "pk"))
