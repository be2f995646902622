from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.cosigned_out import CosignedOut


T = TypeVar("T", bound="CheckpointLineItem")


@_attrs_define
class CheckpointLineItem:
    """`note` is the signed note (C2SP tlog-checkpoint), with the lines of those who cosigned; `root` is Base64.

    `dated_at` is when it was signed last: a log on which nothing happens is dated anew each hour.

        Attributes:
            shard (int | Unset):
            size (int | Unset):
            root (str | Unset):
            signed_at (datetime.datetime | Unset):
            dated_at (datetime.datetime | Unset):
            cosigned (list[CosignedOut] | Unset):
            note (str | Unset):
    """

    shard: int | Unset = UNSET
    size: int | Unset = UNSET
    root: str | Unset = UNSET
    signed_at: datetime.datetime | Unset = UNSET
    dated_at: datetime.datetime | Unset = UNSET
    cosigned: list[CosignedOut] | Unset = UNSET
    note: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        shard = self.shard

        size = self.size

        root = self.root

        signed_at: str | Unset = UNSET
        if not isinstance(self.signed_at, Unset):
            signed_at = self.signed_at.isoformat()

        dated_at: str | Unset = UNSET
        if not isinstance(self.dated_at, Unset):
            dated_at = self.dated_at.isoformat()

        cosigned: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.cosigned, Unset):
            cosigned = []
            for cosigned_item_data in self.cosigned:
                cosigned_item = cosigned_item_data.to_dict()
                cosigned.append(cosigned_item)

        note = self.note

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if shard is not UNSET:
            field_dict["shard"] = shard
        if size is not UNSET:
            field_dict["size"] = size
        if root is not UNSET:
            field_dict["root"] = root
        if signed_at is not UNSET:
            field_dict["signed_at"] = signed_at
        if dated_at is not UNSET:
            field_dict["dated_at"] = dated_at
        if cosigned is not UNSET:
            field_dict["cosigned"] = cosigned
        if note is not UNSET:
            field_dict["note"] = note

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.cosigned_out import CosignedOut

        d = dict(src_dict)
        shard = d.pop("shard", UNSET)

        size = d.pop("size", UNSET)

        root = d.pop("root", UNSET)

        _signed_at = d.pop("signed_at", UNSET)
        signed_at: datetime.datetime | Unset
        if isinstance(_signed_at, Unset):
            signed_at = UNSET
        else:
            signed_at = datetime.datetime.fromisoformat(_signed_at)

        _dated_at = d.pop("dated_at", UNSET)
        dated_at: datetime.datetime | Unset
        if isinstance(_dated_at, Unset):
            dated_at = UNSET
        else:
            dated_at = datetime.datetime.fromisoformat(_dated_at)

        _cosigned = d.pop("cosigned", UNSET)
        cosigned: list[CosignedOut] | Unset = UNSET
        if _cosigned is not UNSET:
            cosigned = []
            for cosigned_item_data in _cosigned:
                cosigned_item = CosignedOut.from_dict(cosigned_item_data)

                cosigned.append(cosigned_item)

        note = d.pop("note", UNSET)

        checkpoint_line_item = cls(
            shard=shard,
            size=size,
            root=root,
            signed_at=signed_at,
            dated_at=dated_at,
            cosigned=cosigned,
            note=note,
        )

        checkpoint_line_item.additional_properties = d
        return checkpoint_line_item

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
