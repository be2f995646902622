from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="SaidInRequest")


@_attrs_define
class SaidInRequest:
    """`is_internal` is for the provider's side alone.

    Attributes:
        body (str):
        is_internal (bool | Unset):  Default: False.
    """

    body: str
    is_internal: bool | Unset = False

    def to_dict(self) -> dict[str, Any]:
        body = self.body

        is_internal = self.is_internal

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "body": body,
            }
        )
        if is_internal is not UNSET:
            field_dict["is_internal"] = is_internal

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        body = d.pop("body")

        is_internal = d.pop("is_internal", UNSET)

        said_in_request = cls(
            body=body,
            is_internal=is_internal,
        )

        return said_in_request
