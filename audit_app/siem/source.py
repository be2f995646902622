"""Whose log is exported, by which product, and where its entries stand."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from audit_app.places import Places

PRODUCT = "Customer Lockbox"
VERSION = "0.1.0"


@dataclass(frozen=True)
class Source:
    """`vendor` is the provider: to its customers it is who makes the product."""

    places: Places
    vendor: str
    version: str = VERSION

    @property
    def tenant_id(self) -> UUID:
        return self.places.tenant_id
