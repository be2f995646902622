"""One append-only log per tenant. The rows have only strings and ids, so deleting a person never deletes evidence."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any, Self

from django.db import models
from django.db.models.base import ModelState


class ChainHead(models.Model):
    """The length of a tenant's log. Writers lock this row, so that each number is given to only one entry.

    `size` is the number of the next entry. Entries before `pruned_to` were removed, and only their hashes are stored.
    `first_seq` is the first number of the current shard, the one that is signed now.
    """

    tenant_id = models.UUIDField(primary_key=True)
    size = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField(null=True)
    shard = models.PositiveIntegerField(default=0)
    first_seq = models.PositiveBigIntegerField(default=0)
    pruned_to = models.PositiveBigIntegerField(default=0)
    # The first entry after a checkpoint sets this. With it, the signer finds the few logs that have new entries, and
    # people see how long these have waited.
    unsigned_since = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "chain head"
        indexes = [
            models.Index(
                fields=["unsigned_since"],
                name="chain_head_unsigned",
                condition=models.Q(unsigned_since__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.size}"


class AuditEntry(models.Model):
    """One entry. `canonical` is the evidence. All other columns are for searching, and are checked against it."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    seq = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    event = models.CharField(max_length=64)
    door = models.CharField(max_length=16)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=200)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    correlation_id = models.UUIDField(null=True)
    text = models.TextField(default="")
    canonical = models.BinaryField()
    leaf_hash = models.BinaryField(max_length=32)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering = ["tenant_id", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "seq"], name="audit_entry_dense"),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "event", "-seq"], name="audit_entry_by_event"),
            models.Index(fields=["tenant_id", "actor_id", "-seq"], name="audit_entry_by_actor"),
            models.Index(fields=["tenant_id", "correlation_id", "seq"], name="audit_entry_by_request"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id} #{self.seq} {self.event}"

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **_: Any) -> Self:
        """Make a row from the database's columns in a quarter of Django's time. An export reads a million of them."""
        row = cls.__new__(cls)
        row.__dict__.update(zip(field_names, values, strict=True))
        row._state = ModelState()
        row._state.adding, row._state.db = False, db
        return row


class ClosedShard(models.Model):
    """A shard that a tombstone closed, with its last signed checkpoint. The next shard begins at `end_seq`."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    shard = models.PositiveIntegerField()
    first_seq = models.PositiveBigIntegerField()
    # One more than the number of the last entry that ever existed, whether it was found or not. The tombstone has this
    # number.
    end_seq = models.PositiveBigIntegerField()
    found_size = models.PositiveBigIntegerField()
    checkpoint = models.TextField(default="")
    closed_at = models.DateTimeField()

    class Meta:
        verbose_name = "closed shard"
        ordering = ["tenant_id", "shard"]
        constraints = [models.UniqueConstraint(fields=["tenant_id", "shard"], name="closed_shard_once")]

    def __str__(self) -> str:
        return f"{self.tenant_id} shard {self.shard}"


class Tile(models.Model):
    """Up to 256 hashes of one level of a shard's tree (C2SP tlog-tiles).

    Only the last tile of a level changes: it grows until it is full.
    """

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    shard = models.PositiveIntegerField()
    level = models.PositiveSmallIntegerField()
    number = models.PositiveBigIntegerField()
    hashes = models.BinaryField()

    class Meta:
        verbose_name = "tile"
        constraints = [models.UniqueConstraint(fields=["tenant_id", "shard", "level", "number"], name="tile_once")]

    def __str__(self) -> str:
        return f"{self.tenant_id}/{self.shard} tile {self.level}/{self.number}"


class SignedHead(models.Model):
    """How much of a tenant's log is signed. A signer locks this row. heads.py decides what can be signed."""

    tenant_id = models.UUIDField(primary_key=True)
    shard = models.PositiveIntegerField(default=0)
    size = models.PositiveBigIntegerField(default=0)
    dated_at = models.DateTimeField(null=True)
    # The public key in the newest entry about a key. An entry must announce another key before that key signs.
    key = models.BinaryField(max_length=32, default=b"")
    # Where the signer's next comparison of old entries begins.
    checked_to = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = "signed head"
        indexes = [models.Index(fields=["dated_at"], name="signed_head_by_time")]

    def __str__(self) -> str:
        return f"{self.tenant_id}/{self.shard}: {self.size} signed"


class Checkpoint(models.Model):
    """A signed head of a shard (C2SP tlog-checkpoint).

    When it is dated again, its note changes. Its size and its root never change.
    """

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    shard = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField()
    root = models.BinaryField(max_length=32)
    signed_at = models.DateTimeField()
    dated_at = models.DateTimeField()
    note = models.TextField()

    class Meta:
        verbose_name = "checkpoint"
        ordering = ["tenant_id", "shard", "size"]
        constraints = [models.UniqueConstraint(fields=["tenant_id", "shard", "size"], name="checkpoint_once")]

    def __str__(self) -> str:
        return f"{self.tenant_id}/{self.shard}: {self.size}"


class LogKey(models.Model):
    """A public key that has signed here.

    This row is no reason to trust the key. A reader must get the key from another source.
    """

    public = models.BinaryField(max_length=32, primary_key=True)
    first_used_at = models.DateTimeField()

    class Meta:
        verbose_name = "log key"
        ordering = ["first_used_at"]

    def __str__(self) -> str:
        return bytes(self.public).hex()


class LogOrigin(models.Model):
    """The name of this installation's logs in their checkpoints.

    There is one row, which is written once (log_name.py).
    """

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    origin = models.CharField(max_length=300)
    # Whether some logs were signed under other names before this row existed. Each of them keeps its name.
    is_mixed = models.BooleanField(default=False)
    kept_at = models.DateTimeField()

    class Meta:
        verbose_name = "log origin"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="log_origin_once")]

    def __str__(self) -> str:
        return self.origin


class LogAlarm(models.Model):
    """The reason why a tenant's log is not signed any more. The row is deleted when the log is signed again."""

    tenant_id = models.UUIDField(primary_key=True)
    since = models.DateTimeField()
    last_at = models.DateTimeField()
    code = models.CharField(max_length=32)
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name = "log alarm"
        ordering = ["since"]

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.code}"


class SignerLease(models.Model):
    """Which host signs now, or has signed last. It saves work, and protects nothing: heads.py decides who may sign."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    host = models.CharField(max_length=200)
    since = models.DateTimeField()
    until = models.DateTimeField()
    # Set when a round has ended well, so that another host that takes the next turn is nothing special.
    released_at = models.DateTimeField(null=True)
    # The host whose lease has ended without a release, because it was stopped or lost its connection.
    taken_from = models.CharField(max_length=200, default="", blank=True)
    taken_over_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "signer lease"

    def __str__(self) -> str:
        return self.host


class HeadsPlace(models.Model):
    """The identity of the place outside the database where the heads are. See heads_place.py."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    identity = models.CharField(max_length=64)

    class Meta:
        verbose_name = "place of the heads"

    def __str__(self) -> str:
        return self.identity


class Witness(models.Model):
    """A witness that cosigns a tenant's checkpoints (C2SP tlog-witness), and the result of the last call to it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant_id = models.UUIDField()
    vkey = models.CharField(max_length=300)
    url = models.CharField(max_length=300)
    added_at = models.DateTimeField()
    # When the next attempt is due (failures postpone it), the size that the witness has reported, and the last problem.
    due_at = models.DateTimeField()
    failures = models.PositiveIntegerField(default=0)
    held_size = models.PositiveBigIntegerField(default=0)
    cosigned_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        verbose_name = "witness"
        verbose_name_plural = "witnesses"
        ordering = ["tenant_id", "added_at"]
        constraints = [models.UniqueConstraint(fields=["tenant_id", "vkey"], name="witness_once")]
        indexes = [models.Index(fields=["due_at"], name="witness_by_due")]

    def __str__(self) -> str:
        return self.vkey.partition("+")[0]


class Cosignature(models.Model):
    """A witness's signature line under a checkpoint. The row stays when the witness is removed."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="cosignatures")
    vkey = models.CharField(max_length=300)
    line = models.TextField()
    at = models.DateTimeField()

    class Meta:
        verbose_name = "cosignature"
        ordering = ["tenant_id", "checkpoint_id", "at"]
        constraints = [models.UniqueConstraint(fields=["tenant_id", "checkpoint", "vkey"], name="cosignature_once")]

    def __str__(self) -> str:
        return self.vkey.partition("+")[0]


class LogCheck(models.Model):
    """A check of a log that somebody requested, with its progress and its result."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant_id = models.UUIDField()
    asked_by = models.UUIDField(null=True)
    asked_at = models.DateTimeField()
    size = models.PositiveBigIntegerField()
    done = models.PositiveBigIntegerField(default=0)
    # The frontier so far and the time of the last entry, so that another task can continue a long check.
    kept = models.JSONField(default=dict)
    worked_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    flaw_seq = models.PositiveBigIntegerField(null=True)
    flaw = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        verbose_name = "log check"
        ordering = ["tenant_id", "-asked_at"]
        indexes = [models.Index(fields=["tenant_id", "-asked_at"], name="log_check_by_tenant")]

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.done} of {self.size}"


class IndexedSegment(models.Model):
    """A segment of a log that the search index has. The index is derived from the entries; see search_index.py."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    segment = models.PositiveIntegerField()
    # Says how the index was made. A segment of another form is indexed again.
    form = models.CharField(max_length=40)

    class Meta:
        verbose_name = "indexed segment"
        constraints = [models.UniqueConstraint(fields=["tenant_id", "segment"], name="indexed_segment_once")]

    def __str__(self) -> str:
        return f"{self.tenant_id} segment {self.segment}"


class IndexPart(models.Model):
    """For some of the bits of the search index, which entries of a segment have them. Compressed."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    segment = models.PositiveIntegerField()
    part = models.PositiveSmallIntegerField()
    bits = models.BinaryField()

    class Meta:
        verbose_name = "part of the search index"
        verbose_name_plural = "parts of the search index"
        constraints = [models.UniqueConstraint(fields=["tenant_id", "segment", "part"], name="index_part_once")]

    def __str__(self) -> str:
        return f"{self.tenant_id} segment {self.segment} part {self.part}"
