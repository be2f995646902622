from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.evaluations_body_resource_properties import (
        EvaluationsBodyResourceProperties,
    )


T = TypeVar("T", bound="EvaluationsBodyResource")


@_attrs_define
class EvaluationsBodyResource:
    """The type is the key of the service; the id is the resource's id, or its locator or name in the tenant.

    Attributes:
        type_ (str | Unset):
        id (str | Unset):
        properties (EvaluationsBodyResourceProperties | Unset): Taken, and of no weight here.
    """

    type_: str | Unset = UNSET
    id: str | Unset = UNSET
    properties: EvaluationsBodyResourceProperties | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        id = self.id

        properties: dict[str, Any] | Unset = UNSET
        if not isinstance(self.properties, Unset):
            properties = self.properties.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if type_ is not UNSET:
            field_dict["type"] = type_
        if id is not UNSET:
            field_dict["id"] = id
        if properties is not UNSET:
            field_dict["properties"] = properties

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluations_body_resource_properties import (
            EvaluationsBodyResourceProperties,
        )

        d = dict(src_dict)
        type_ = d.pop("type", UNSET)

        id = d.pop("id", UNSET)

        _properties = d.pop("properties", UNSET)
        properties: EvaluationsBodyResourceProperties | Unset
        if isinstance(_properties, Unset):
            properties = UNSET
        else:
            properties = EvaluationsBodyResourceProperties.from_dict(_properties)

        evaluations_body_resource = cls(
            type_=type_,
            id=id,
            properties=properties,
        )

        evaluations_body_resource.additional_properties = d
        return evaluations_body_resource

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
