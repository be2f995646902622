"""Selects older checkpoints of a shard, with their cosignatures, so that every reader can follow the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.db.models import F, QuerySet, Window
from django.db.models.functions import Mod, RowNumber

from audit_app import log_events, notes
from audit_app.models import ChainHead, Checkpoint, ClosedShard, Cosignature
from audit_app.notes import Note

#: The most older checkpoints that are chosen. Half of them are the newest ones; the others are spread evenly over the
#: rest.
MOST = 1000
_BATCH = 50

#: A checkpoint, its note with the cosignatures, and the verifier keys of the witnesses that cosigned it.
Signed = tuple[Checkpoint, Note, list[str]]


def signed(checkpoints: Sequence[Checkpoint]) -> list[Signed]:
    lines: dict[int, list[tuple[str, str]]] = {checkpoint.pk: [] for checkpoint in checkpoints}
    rows = Cosignature.objects.filter(checkpoint__in=lines).order_by("pk")
    for checkpoint_id, vkey, line in rows.values_list("checkpoint_id", "vkey", "line"):
        lines[checkpoint_id].append((vkey, line))
    return [_signed(checkpoint, lines[checkpoint.pk]) for checkpoint in checkpoints]


def _signed(checkpoint: Checkpoint, lines: list[tuple[str, str]]) -> Signed:
    note = Note.parse(checkpoint.note)
    more = notes.signature_lines("".join(line for _vkey, line in lines)) if lines else ()
    return checkpoint, note.with_signatures(more), [vkey for vkey, _line in lines]


def is_known(tenant_id: UUID, size: int) -> bool:
    """Return whether a checkpoint of this size was ever signed in any shard of the log."""
    return Checkpoint.objects.filter(tenant_id=tenant_id, size=size).exists()


def older(checkpoint: Checkpoint, *, previous_size: int | None = None) -> Iterator[list[Signed]]:
    """Yield the checkpoints of the shard that are older than this one, at most MOST in total, the oldest first.

    They are read in batches. The checkpoint of `previous_size` is included if it exists. For each entry about a new
    key, the first checkpoint that covers the entry is included. The old key also signed that checkpoint, so a reader
    who has only the old key can continue from there.
    """
    chosen = _chosen(checkpoint, previous_size)
    for at in range(0, len(chosen), _BATCH):
        rows = Checkpoint.objects.filter(pk__in=chosen[at : at + _BATCH]).order_by("size")
        yield signed(list(rows))


def _chosen(checkpoint: Checkpoint, previous_size: int | None) -> list[int]:
    before = Checkpoint.objects.filter(tenant_id=checkpoint.tenant_id, shard=checkpoint.shard, size__lt=checkpoint.size)
    newest = list(before.order_by("-size").values_list("size", "pk")[: MOST // 2])
    if len(newest) < MOST // 2:
        # There are no others, so every checkpoint that a reader needs is among them.
        return [pk for _size, pk in reversed(newest)]
    rest = before.filter(size__lt=newest[-1][0])
    step = -(-rest.count() // (MOST - MOST // 2))
    spread = _every(rest, step) if step else []
    chosen = [*spread, *reversed(newest)]
    needed = set(_needed(before, checkpoint, previous_size))
    # A reader accepts at most MOST checkpoints, so the needed ones replace some of the oldest.
    others = [each for each in chosen if each not in needed]
    return [pk for _size, pk in sorted([*needed, *others[max(0, len(others) + len(needed) - MOST) :]])]


def _needed(before: QuerySet[Checkpoint], newest: Checkpoint, previous_size: int | None) -> Iterator[tuple[int, int]]:
    """Yield (size, id) of each checkpoint that some reader needs to follow the log."""
    rows = before.order_by("size").values_list("size", "pk")
    if previous_size is not None:
        yield from rows.filter(size=previous_size)
    shard = ClosedShard.objects.filter(tenant_id=newest.tenant_id, shard=newest.shard).first()
    first = (shard or ChainHead.objects.get(pk=newest.tenant_id)).first_seq
    rotations = log_events.retained(newest.tenant_id).filter(
        event=log_events.KEY_ROTATED, seq__gte=first, seq__lt=first + newest.size
    )
    for seq in rotations.order_by("-seq").values_list("seq", flat=True)[: MOST // 2]:
        yield from rows.filter(size__gt=seq - first)[:1]


def _every(rows: QuerySet[Checkpoint], step: int) -> list[tuple[int, int]]:
    """Return (size, id) of the first row by size, and of every `step`-th row after it.

    The database numbers the rows, because there may be a million of them.
    """
    numbered = rows.order_by().annotate(place=Window(RowNumber(), order_by=F("size").asc()))
    chosen = numbered.annotate(left=Mod("place", step)).filter(left=1 % step)
    return list(chosen.order_by("size").values_list("size", "pk"))
