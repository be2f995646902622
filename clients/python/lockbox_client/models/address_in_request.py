from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="AddressInRequest")


@_attrs_define
class AddressInRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        email (str):
        label (str | Unset):  Default: ''.
    """

    email: str
    label: str | Unset = ""

    def to_dict(self) -> dict[str, Any]:
        email = self.email

        label = self.label

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "email": email,
            }
        )
        if label is not UNSET:
            field_dict["label"] = label

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        email = d.pop("email")

        label = d.pop("label", UNSET)

        address_in_request = cls(
            email=email,
            label=label,
        )

        return address_in_request
