from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.events_enum import EventsEnum, check_events_enum
from ..types import UNSET, Unset

T = TypeVar("T", bound="WebhookInRequest")


@_attrs_define
class WebhookInRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        url (str):
        events (list[EventsEnum]):
        label (str | Unset):
    """

    url: str
    events: list[EventsEnum]
    label: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        url = self.url

        events = []
        for events_item_data in self.events:
            events_item: str = events_item_data
            events.append(events_item)

        label = self.label

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "url": url,
                "events": events,
            }
        )
        if label is not UNSET:
            field_dict["label"] = label

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        url = d.pop("url")

        events = []
        _events = d.pop("events")
        for events_item_data in _events:
            events_item = check_events_enum(events_item_data)

            events.append(events_item)

        label = d.pop("label", UNSET)

        webhook_in_request = cls(
            url=url,
            events=events,
            label=label,
        )

        return webhook_in_request
