from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="LinkInRequest")


@_attrs_define
class LinkInRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        external_reference (str):
        external_url (str | Unset):  Default: ''.
    """

    external_reference: str
    external_url: str | Unset = ""

    def to_dict(self) -> dict[str, Any]:
        external_reference = self.external_reference

        external_url = self.external_url

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "external_reference": external_reference,
            }
        )
        if external_url is not UNSET:
            field_dict["external_url"] = external_url

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        external_reference = d.pop("external_reference")

        external_url = d.pop("external_url", UNSET)

        link_in_request = cls(
            external_reference=external_reference,
            external_url=external_url,
        )

        return link_in_request
