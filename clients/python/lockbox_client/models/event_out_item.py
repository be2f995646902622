from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.event_out_item_data import EventOutItemData


T = TypeVar("T", bound="EventOutItem")


@_attrs_define
class EventOutItem:
    """`id`, `type`, `timestamp` and `data` are those of the webhook about the same event. `cursor` is the place behind
    it: `after` this one come all that are newer.

        Attributes:
            cursor (str | Unset):
            id (str | Unset):
            type_ (str | Unset):
            timestamp (datetime.datetime | Unset):
            data (EventOutItemData | Unset):
    """

    cursor: str | Unset = UNSET
    id: str | Unset = UNSET
    type_: str | Unset = UNSET
    timestamp: datetime.datetime | Unset = UNSET
    data: EventOutItemData | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        cursor = self.cursor

        id = self.id

        type_ = self.type_

        timestamp: str | Unset = UNSET
        if not isinstance(self.timestamp, Unset):
            timestamp = self.timestamp.isoformat()

        data: dict[str, Any] | Unset = UNSET
        if not isinstance(self.data, Unset):
            data = self.data.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if cursor is not UNSET:
            field_dict["cursor"] = cursor
        if id is not UNSET:
            field_dict["id"] = id
        if type_ is not UNSET:
            field_dict["type"] = type_
        if timestamp is not UNSET:
            field_dict["timestamp"] = timestamp
        if data is not UNSET:
            field_dict["data"] = data

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.event_out_item_data import EventOutItemData

        d = dict(src_dict)
        cursor = d.pop("cursor", UNSET)

        id = d.pop("id", UNSET)

        type_ = d.pop("type", UNSET)

        _timestamp = d.pop("timestamp", UNSET)
        timestamp: datetime.datetime | Unset
        if isinstance(_timestamp, Unset):
            timestamp = UNSET
        else:
            timestamp = datetime.datetime.fromisoformat(_timestamp)

        _data = d.pop("data", UNSET)
        data: EventOutItemData | Unset
        if isinstance(_data, Unset):
            data = UNSET
        else:
            data = EventOutItemData.from_dict(_data)

        event_out_item = cls(
            cursor=cursor,
            id=id,
            type_=type_,
            timestamp=timestamp,
            data=data,
        )

        event_out_item.additional_properties = d
        return event_out_item

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
