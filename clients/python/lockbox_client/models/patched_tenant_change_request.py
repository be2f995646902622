from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="PatchedTenantChangeRequest")


@_attrs_define
class PatchedTenantChangeRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        longest_window_seconds (int | Unset):
    """

    longest_window_seconds: int | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        longest_window_seconds = self.longest_window_seconds

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if longest_window_seconds is not UNSET:
            field_dict["longest_window_seconds"] = longest_window_seconds

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        longest_window_seconds = d.pop("longest_window_seconds", UNSET)

        patched_tenant_change_request = cls(
            longest_window_seconds=longest_window_seconds,
        )

        return patched_tenant_change_request
