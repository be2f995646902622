from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.azure_status_enum import AzureStatusEnum, check_azure_status_enum

T = TypeVar("T", bound="AzureInfo")


@_attrs_define
class AzureInfo:
    """
    Attributes:
        current_status (AzureStatusEnum): * `Initializing` - Initializing
            * `Pending` - Pending
            * `Approving` - Approving
            * `Denying` - Denying
            * `Approved` - Approved
            * `Denied` - Denied
            * `Expired` - Expired
            * `Revoking` - Revoking
            * `Revoked` - Revoked
            * `Error` - Error
            * `Unknown` - Unknown
            * `Completed` - Completed
            * `Completing` - Completing
    """

    current_status: AzureStatusEnum
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        current_status: str = self.current_status

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "currentStatus": current_status,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        current_status = check_azure_status_enum(d.pop("currentStatus"))

        azure_info = cls(
            current_status=current_status,
        )

        azure_info.additional_properties = d
        return azure_info

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
