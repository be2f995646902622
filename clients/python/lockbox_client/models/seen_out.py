from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SeenOut")


@_attrs_define
class SeenOut:
    """How much was looked at: distinct items that were shown (`opened`), downloaded, and attachments of messages that
    were downloaded; in how many resources; names that were listed.

    `allowed` is how often a service elsewhere was told yes; what came of it is not known here.

        Attributes:
            opened (int):
            downloaded (int):
            attachments (int):
            resources (int):
            listed (int):
            allowed (int):
    """

    opened: int
    downloaded: int
    attachments: int
    resources: int
    listed: int
    allowed: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        opened = self.opened

        downloaded = self.downloaded

        attachments = self.attachments

        resources = self.resources

        listed = self.listed

        allowed = self.allowed

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "opened": opened,
                "downloaded": downloaded,
                "attachments": attachments,
                "resources": resources,
                "listed": listed,
                "allowed": allowed,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        opened = d.pop("opened")

        downloaded = d.pop("downloaded")

        attachments = d.pop("attachments")

        resources = d.pop("resources")

        listed = d.pop("listed")

        allowed = d.pop("allowed")

        seen_out = cls(
            opened=opened,
            downloaded=downloaded,
            attachments=attachments,
            resources=resources,
            listed=listed,
            allowed=allowed,
        )

        seen_out.additional_properties = d
        return seen_out

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
