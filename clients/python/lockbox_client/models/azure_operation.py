from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.azure_display import AzureDisplay


T = TypeVar("T", bound="AzureOperation")


@_attrs_define
class AzureOperation:
    """
    Attributes:
        name (str):
        is_data_action (str):
        display (AzureDisplay):
    """

    name: str
    is_data_action: str
    display: AzureDisplay
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        is_data_action = self.is_data_action

        display = self.display.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "isDataAction": is_data_action,
                "display": display,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.azure_display import AzureDisplay

        d = dict(src_dict)
        name = d.pop("name")

        is_data_action = d.pop("isDataAction")

        display = AzureDisplay.from_dict(d.pop("display"))

        azure_operation = cls(
            name=name,
            is_data_action=is_data_action,
            display=display,
        )

        azure_operation.additional_properties = d
        return azure_operation

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
