from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define

from ..models.scopes_enum import ScopesEnum, check_scopes_enum
from ..types import UNSET, Unset

T = TypeVar("T", bound="PatchedClientChangeRequest")


@_attrs_define
class PatchedClientChangeRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        scopes (list[ScopesEnum] | Unset):
        decides_for (None | Unset | UUID):
    """

    scopes: list[ScopesEnum] | Unset = UNSET
    decides_for: None | Unset | UUID = UNSET

    def to_dict(self) -> dict[str, Any]:
        scopes: list[str] | Unset = UNSET
        if not isinstance(self.scopes, Unset):
            scopes = []
            for scopes_item_data in self.scopes:
                scopes_item: str = scopes_item_data
                scopes.append(scopes_item)

        decides_for: None | str | Unset
        if isinstance(self.decides_for, Unset):
            decides_for = UNSET
        elif isinstance(self.decides_for, UUID):
            decides_for = str(self.decides_for)
        else:
            decides_for = self.decides_for

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if scopes is not UNSET:
            field_dict["scopes"] = scopes
        if decides_for is not UNSET:
            field_dict["decides_for"] = decides_for

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _scopes = d.pop("scopes", UNSET)
        scopes: list[ScopesEnum] | Unset = UNSET
        if _scopes is not UNSET:
            scopes = []
            for scopes_item_data in _scopes:
                scopes_item = check_scopes_enum(scopes_item_data)

                scopes.append(scopes_item)

        def _parse_decides_for(data: object) -> None | Unset | UUID:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                decides_for_type_0 = UUID(data)

                return decides_for_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UUID, data)

        decides_for = _parse_decides_for(d.pop("decides_for", UNSET))

        patched_client_change_request = cls(
            scopes=scopes,
            decides_for=decides_for,
        )

        return patched_client_change_request
