from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.azure_info import AzureInfo


T = TypeVar("T", bound="AzureAdditionalInfo")


@_attrs_define
class AzureAdditionalInfo:
    """
    Attributes:
        type_ (str):
        info (AzureInfo):
    """

    type_: str
    info: AzureInfo
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        info = self.info.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "info": info,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.azure_info import AzureInfo

        d = dict(src_dict)
        type_ = d.pop("type")

        info = AzureInfo.from_dict(d.pop("info"))

        azure_additional_info = cls(
            type_=type_,
            info=info,
        )

        azure_additional_info.additional_properties = d
        return azure_additional_info

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
