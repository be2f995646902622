from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ServiceOutItem")


@_attrs_define
class ServiceOutItem:
    """One that is not covered behaves as if the tenant had no Lockbox.

    Attributes:
        id (UUID | Unset):
        key (str | Unset):
        name (str | Unset):
        is_covered (bool | Unset):
    """

    id: UUID | Unset = UNSET
    key: str | Unset = UNSET
    name: str | Unset = UNSET
    is_covered: bool | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        key = self.key

        name = self.name

        is_covered = self.is_covered

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if key is not UNSET:
            field_dict["key"] = key
        if name is not UNSET:
            field_dict["name"] = name
        if is_covered is not UNSET:
            field_dict["is_covered"] = is_covered

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _id = d.pop("id", UNSET)
        id: UUID | Unset
        if isinstance(_id, Unset):
            id = UNSET
        else:
            id = UUID(_id)

        key = d.pop("key", UNSET)

        name = d.pop("name", UNSET)

        is_covered = d.pop("is_covered", UNSET)

        service_out_item = cls(
            id=id,
            key=key,
            name=name,
            is_covered=is_covered,
        )

        service_out_item.additional_properties = d
        return service_out_item

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
