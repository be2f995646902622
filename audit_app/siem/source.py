"""The log that is exported, the product that exports it, and the positions of its entries."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from audit_app.shard_positions import Shards

PRODUCT = "Customer Lockbox"
VERSION = "0.1.0"


@dataclass(frozen=True)
class Source:
    """The source of an export. `vendor` is the provider, because to its customers the provider makes the product."""

    shards: Shards
    vendor: str
    version: str = VERSION

    @property
    def tenant_id(self) -> UUID:
        return self.shards.tenant_id
