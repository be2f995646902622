from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.azure_properties import AzureProperties


T = TypeVar("T", bound="AzureRequest")


@_attrs_define
class AzureRequest:
    """Azure's LockboxRequestResponse.

    Attributes:
        id (str):
        name (str):
        type_ (str):
        properties (AzureProperties): `duration` is a number of hours as text, `resourceIds` one text with commas
            between the ids.
    """

    id: str
    name: str
    type_: str
    properties: AzureProperties
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        name = self.name

        type_ = self.type_

        properties = self.properties.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "name": name,
                "type": type_,
                "properties": properties,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.azure_properties import AzureProperties

        d = dict(src_dict)
        id = d.pop("id")

        name = d.pop("name")

        type_ = d.pop("type")

        properties = AzureProperties.from_dict(d.pop("properties"))

        azure_request = cls(
            id=id,
            name=name,
            type_=type_,
            properties=properties,
        )

        azure_request.additional_properties = d
        return azure_request

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
