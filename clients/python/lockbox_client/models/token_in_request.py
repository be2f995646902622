from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.days_enum import DaysEnum, check_days_enum
from ..models.scopes_enum import ScopesEnum, check_scopes_enum

T = TypeVar("T", bound="TokenInRequest")


@_attrs_define
class TokenInRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        name (str):
        scopes (list[ScopesEnum]):
        days (DaysEnum):
    """

    name: str
    scopes: list[ScopesEnum]
    days: DaysEnum

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        scopes = []
        for scopes_item_data in self.scopes:
            scopes_item: str = scopes_item_data
            scopes.append(scopes_item)

        days: int = self.days

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
                "scopes": scopes,
                "days": days,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        scopes = []
        _scopes = d.pop("scopes")
        for scopes_item_data in _scopes:
            scopes_item = check_scopes_enum(scopes_item_data)

            scopes.append(scopes_item)

        days = check_days_enum(d.pop("days"))

        token_in_request = cls(
            name=name,
            scopes=scopes,
            days=days,
        )

        return token_in_request
