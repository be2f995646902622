from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="KeyOut")


@_attrs_define
class KeyOut:
    """`name` is what its holder calls it, and empty for the provider's people; `rp_id` the site that it belongs to.

    `device_bound`: by its own word it can't leave its device.

        Attributes:
            passkey (UUID):
            name (str):
            rp_id (str):
            device_bound (bool):
    """

    passkey: UUID
    name: str
    rp_id: str
    device_bound: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        passkey = str(self.passkey)

        name = self.name

        rp_id = self.rp_id

        device_bound = self.device_bound

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "passkey": passkey,
                "name": name,
                "rp_id": rp_id,
                "device_bound": device_bound,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        passkey = UUID(d.pop("passkey"))

        name = d.pop("name")

        rp_id = d.pop("rp_id")

        device_bound = d.pop("device_bound")

        key_out = cls(
            passkey=passkey,
            name=name,
            rp_id=rp_id,
            device_bound=device_bound,
        )

        key_out.additional_properties = d
        return key_out

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
