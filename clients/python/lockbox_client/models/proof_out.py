from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ProofOut")


@_attrs_define
class ProofOut:
    """`path` leads from the leaf at `index` to the root of `checkpoint` (RFC 9162, section 2.1.3.2); hashes are
    Base64. `record` is the text of the entry, as it is hashed.

        Attributes:
            index (int):
            path (list[str]):
            record (str):
            checkpoint (str):
    """

    index: int
    path: list[str]
    record: str
    checkpoint: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        index = self.index

        path = self.path

        record = self.record

        checkpoint = self.checkpoint

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "index": index,
                "path": path,
                "record": record,
                "checkpoint": checkpoint,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        index = d.pop("index")

        path = cast(list[str], d.pop("path"))

        record = d.pop("record")

        checkpoint = d.pop("checkpoint")

        proof_out = cls(
            index=index,
            path=path,
            record=record,
            checkpoint=checkpoint,
        )

        proof_out.additional_properties = d
        return proof_out

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
