from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.evaluations_body_action_properties import (
        EvaluationsBodyActionProperties,
    )


T = TypeVar("T", bound="EvaluationsBodyAction")


@_attrs_define
class EvaluationsBodyAction:
    """`list`, `read` (show) or `download` (give as a file).

    Attributes:
        name (str | Unset):
        properties (EvaluationsBodyActionProperties | Unset): Taken, and of no weight here.
    """

    name: str | Unset = UNSET
    properties: EvaluationsBodyActionProperties | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        properties: dict[str, Any] | Unset = UNSET
        if not isinstance(self.properties, Unset):
            properties = self.properties.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if name is not UNSET:
            field_dict["name"] = name
        if properties is not UNSET:
            field_dict["properties"] = properties

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluations_body_action_properties import (
            EvaluationsBodyActionProperties,
        )

        d = dict(src_dict)
        name = d.pop("name", UNSET)

        _properties = d.pop("properties", UNSET)
        properties: EvaluationsBodyActionProperties | Unset
        if isinstance(_properties, Unset):
            properties = UNSET
        else:
            properties = EvaluationsBodyActionProperties.from_dict(_properties)

        evaluations_body_action = cls(
            name=name,
            properties=properties,
        )

        evaluations_body_action.additional_properties = d
        return evaluations_body_action

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
