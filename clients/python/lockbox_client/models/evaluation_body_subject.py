from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.evaluation_body_subject_properties import (
        EvaluationBodySubjectProperties,
    )


T = TypeVar("T", bound="EvaluationBodySubject")


@_attrs_define
class EvaluationBodySubject:
    """The engineer, by id or email; the type is engineer or user.

    Attributes:
        type_ (str):
        id (str):
        properties (EvaluationBodySubjectProperties | Unset): Taken, and of no weight here.
    """

    type_: str
    id: str
    properties: EvaluationBodySubjectProperties | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        id = self.id

        properties: dict[str, Any] | Unset = UNSET
        if not isinstance(self.properties, Unset):
            properties = self.properties.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "id": id,
            }
        )
        if properties is not UNSET:
            field_dict["properties"] = properties

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluation_body_subject_properties import (
            EvaluationBodySubjectProperties,
        )

        d = dict(src_dict)
        type_ = d.pop("type")

        id = d.pop("id")

        _properties = d.pop("properties", UNSET)
        properties: EvaluationBodySubjectProperties | Unset
        if isinstance(_properties, Unset):
            properties = UNSET
        else:
            properties = EvaluationBodySubjectProperties.from_dict(_properties)

        evaluation_body_subject = cls(
            type_=type_,
            id=id,
            properties=properties,
        )

        evaluation_body_subject.additional_properties = d
        return evaluation_body_subject

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
