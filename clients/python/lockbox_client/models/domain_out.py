from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="DomainOut")


@_attrs_define
class DomainOut:
    """`challenge` is the line that `proof_url` must show; `verified_at` is null until it was seen there.

    Attributes:
        id (UUID):
        name (str):
        challenge (str):
        proof_url (str):
        claimed_at (datetime.datetime):
        verified_at (datetime.datetime | None):
    """

    id: UUID
    name: str
    challenge: str
    proof_url: str
    claimed_at: datetime.datetime
    verified_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        name = self.name

        challenge = self.challenge

        proof_url = self.proof_url

        claimed_at = self.claimed_at.isoformat()

        verified_at: None | str
        if isinstance(self.verified_at, datetime.datetime):
            verified_at = self.verified_at.isoformat()
        else:
            verified_at = self.verified_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "name": name,
                "challenge": challenge,
                "proof_url": proof_url,
                "claimed_at": claimed_at,
                "verified_at": verified_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = UUID(d.pop("id"))

        name = d.pop("name")

        challenge = d.pop("challenge")

        proof_url = d.pop("proof_url")

        claimed_at = datetime.datetime.fromisoformat(d.pop("claimed_at"))

        def _parse_verified_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                verified_at_type_0 = datetime.datetime.fromisoformat(data)

                return verified_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        verified_at = _parse_verified_at(d.pop("verified_at"))

        domain_out = cls(
            id=id,
            name=name,
            challenge=challenge,
            proof_url=proof_url,
            claimed_at=claimed_at,
            verified_at=verified_at,
        )

        domain_out.additional_properties = d
        return domain_out

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
