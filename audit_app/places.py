"""Where an entry stands: in which shard of its tenant's log, and at which index of that shard's tree."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings

from audit_app import log_name
from audit_app.models import ChainHead, ClosedShard


@dataclass(frozen=True)
class Place:
    """The index is what an inclusion proof is about; the sequence number goes on over all shards."""

    origin: str
    shard: int
    index: int


@dataclass(frozen=True)
class Places:
    """The shards of one tenant's log as they are now; a later tombstone opens one that this does not know."""

    tenant_id: UUID
    first_seqs: tuple[int, ...] = (0,)
    #: Read once: a place is asked for with each line that is written.
    name: str = field(default_factory=lambda: settings.LOG_ORIGIN)

    @classmethod
    def of(cls, tenant_id: UUID) -> Places:
        found = dict(ClosedShard.objects.filter(tenant_id=tenant_id).values_list("shard", "first_seq"))
        head = ChainHead.objects.filter(pk=tenant_id).first()
        if head is not None:
            found[head.shard] = head.first_seq
        first_seqs = tuple(found[shard] for shard in sorted(found)) or (0,)
        return cls(tenant_id, first_seqs, log_name.of_log(tenant_id))

    def place(self, seq: int) -> Place:
        shard = max(bisect_right(self.first_seqs, seq) - 1, 0)
        return Place(log_name.origin(self.name, self.tenant_id, shard), shard, seq - self.first_seqs[shard])
