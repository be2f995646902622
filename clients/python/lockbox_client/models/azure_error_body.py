from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.azure_additional_info import AzureAdditionalInfo


T = TypeVar("T", bound="AzureErrorBody")


@_attrs_define
class AzureErrorBody:
    """
    Attributes:
        code (str):
        message (str):
        target (str):
        additional_info (list[AzureAdditionalInfo]):
    """

    code: str
    message: str
    target: str
    additional_info: list[AzureAdditionalInfo]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        code = self.code

        message = self.message

        target = self.target

        additional_info = []
        for additional_info_item_data in self.additional_info:
            additional_info_item = additional_info_item_data.to_dict()
            additional_info.append(additional_info_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "code": code,
                "message": message,
                "target": target,
                "additionalInfo": additional_info,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.azure_additional_info import AzureAdditionalInfo

        d = dict(src_dict)
        code = d.pop("code")

        message = d.pop("message")

        target = d.pop("target")

        additional_info = []
        _additional_info = d.pop("additionalInfo")
        for additional_info_item_data in _additional_info:
            additional_info_item = AzureAdditionalInfo.from_dict(additional_info_item_data)

            additional_info.append(additional_info_item)

        azure_error_body = cls(
            code=code,
            message=message,
            target=target,
            additional_info=additional_info,
        )

        azure_error_body.additional_properties = d
        return azure_error_body

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
