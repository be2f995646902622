from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.cosigned_out import CosignedOut


T = TypeVar("T", bound="CheckpointLine")


@_attrs_define
class CheckpointLine:
    """`note` is the signed note (C2SP tlog-checkpoint), with the lines of those who cosigned; `root` is Base64.

    `dated_at` is when it was signed last: a log on which nothing happens is dated anew each hour.

        Attributes:
            shard (int):
            size (int):
            root (str):
            signed_at (datetime.datetime):
            dated_at (datetime.datetime):
            cosigned (list[CosignedOut]):
            note (str):
    """

    shard: int
    size: int
    root: str
    signed_at: datetime.datetime
    dated_at: datetime.datetime
    cosigned: list[CosignedOut]
    note: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        shard = self.shard

        size = self.size

        root = self.root

        signed_at = self.signed_at.isoformat()

        dated_at = self.dated_at.isoformat()

        cosigned = []
        for cosigned_item_data in self.cosigned:
            cosigned_item = cosigned_item_data.to_dict()
            cosigned.append(cosigned_item)

        note = self.note

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "shard": shard,
                "size": size,
                "root": root,
                "signed_at": signed_at,
                "dated_at": dated_at,
                "cosigned": cosigned,
                "note": note,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.cosigned_out import CosignedOut

        d = dict(src_dict)
        shard = d.pop("shard")

        size = d.pop("size")

        root = d.pop("root")

        signed_at = datetime.datetime.fromisoformat(d.pop("signed_at"))

        dated_at = datetime.datetime.fromisoformat(d.pop("dated_at"))

        cosigned = []
        _cosigned = d.pop("cosigned")
        for cosigned_item_data in _cosigned:
            cosigned_item = CosignedOut.from_dict(cosigned_item_data)

            cosigned.append(cosigned_item)

        note = d.pop("note")

        checkpoint_line = cls(
            shard=shard,
            size=size,
            root=root,
            signed_at=signed_at,
            dated_at=dated_at,
            cosigned=cosigned,
            note=note,
        )

        checkpoint_line.additional_properties = d
        return checkpoint_line

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
