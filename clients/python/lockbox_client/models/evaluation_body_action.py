from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.evaluation_body_action_properties import EvaluationBodyActionProperties


T = TypeVar("T", bound="EvaluationBodyAction")


@_attrs_define
class EvaluationBodyAction:
    """`list`, `read` (show) or `download` (give as a file).

    Attributes:
        name (str):
        properties (EvaluationBodyActionProperties | Unset): Taken, and of no weight here.
    """

    name: str
    properties: EvaluationBodyActionProperties | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        properties: dict[str, Any] | Unset = UNSET
        if not isinstance(self.properties, Unset):
            properties = self.properties.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
            }
        )
        if properties is not UNSET:
            field_dict["properties"] = properties

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluation_body_action_properties import (
            EvaluationBodyActionProperties,
        )

        d = dict(src_dict)
        name = d.pop("name")

        _properties = d.pop("properties", UNSET)
        properties: EvaluationBodyActionProperties | Unset
        if isinstance(_properties, Unset):
            properties = UNSET
        else:
            properties = EvaluationBodyActionProperties.from_dict(_properties)

        evaluation_body_action = cls(
            name=name,
            properties=properties,
        )

        evaluation_body_action.additional_properties = d
        return evaluation_body_action

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
