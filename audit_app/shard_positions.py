"""Finds the position of an entry: its shard in the tenant's log, and its index in that shard's tree."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings

from audit_app import log_name
from audit_app.models import ChainHead, ClosedShard


@dataclass(frozen=True)
class ShardPosition:
    """The shard of an entry, and the entry's index in the shard's tree.

    An inclusion proof needs the index. The number of an entry counts over all shards instead.
    """

    origin: str
    shard: int
    index: int


@dataclass(frozen=True)
class Shards:
    """The shards of one tenant's log, as they are now. It does not know shards that are opened later."""

    tenant_id: UUID
    first_seqs: tuple[int, ...] = (0,)
    #: Read once, because each exported line needs a position.
    name: str = field(default_factory=lambda: settings.LOG_ORIGIN)

    @classmethod
    def of(cls, tenant_id: UUID) -> Shards:
        found = dict(ClosedShard.objects.filter(tenant_id=tenant_id).values_list("shard", "first_seq"))
        head = ChainHead.objects.filter(pk=tenant_id).first()
        if head is not None:
            found[head.shard] = head.first_seq
        return cls.known(tenant_id, found)

    @classmethod
    def known(cls, tenant_id: UUID, first_seqs: Mapping[int, int]) -> Shards:
        """Return the shards from the numbers of their first entries, which the caller has read."""
        found = tuple(first_seqs[shard] for shard in sorted(first_seqs)) or (0,)
        return cls(tenant_id, found, log_name.of_log(tenant_id))

    def position(self, seq: int) -> ShardPosition:
        shard = max(bisect_right(self.first_seqs, seq) - 1, 0)
        return ShardPosition(log_name.origin(self.name, self.tenant_id, shard), shard, seq - self.first_seqs[shard])
