"""What an export says about its source: the log, the product that exports it, and the positions of the entries."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from audit_app.shard_positions import Shards

PRODUCT = "Customer Lockbox"


@dataclass(frozen=True)
class Source:
    """The source of an export.

    `vendor` is the provider's name, because to customers the product belongs to the provider.
    """

    shards: Shards
    vendor: str

    @property
    def version(self) -> str:
        return str(settings.VERSION)

    @property
    def tenant_id(self) -> UUID:
        return self.shards.tenant_id
