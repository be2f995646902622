from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.acted_for_out import ActedForOut


T = TypeVar("T", bound="ActedOut")


@_attrs_define
class ActedOut:
    """`kind` is `person`, `client` or `system`. `in_name_of` is the human for whom a client acted.

    Attributes:
        kind (str):
        id (None | str):
        name (str):
        side (str):
        email (str):
        in_name_of (ActedForOut | None):
    """

    kind: str
    id: None | str
    name: str
    side: str
    email: str
    in_name_of: ActedForOut | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.acted_for_out import ActedForOut

        kind = self.kind

        id: None | str
        id = self.id

        name = self.name

        side = self.side

        email = self.email

        in_name_of: dict[str, Any] | None
        if isinstance(self.in_name_of, ActedForOut):
            in_name_of = self.in_name_of.to_dict()
        else:
            in_name_of = self.in_name_of

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "kind": kind,
                "id": id,
                "name": name,
                "side": side,
                "email": email,
                "in_name_of": in_name_of,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.acted_for_out import ActedForOut

        d = dict(src_dict)
        kind = d.pop("kind")

        def _parse_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        id = _parse_id(d.pop("id"))

        name = d.pop("name")

        side = d.pop("side")

        email = d.pop("email")

        def _parse_in_name_of(data: object) -> ActedForOut | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                in_name_of_type_0 = ActedForOut.from_dict(data)

                return in_name_of_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ActedForOut | None, data)

        in_name_of = _parse_in_name_of(d.pop("in_name_of"))

        acted_out = cls(
            kind=kind,
            id=id,
            name=name,
            side=side,
            email=email,
            in_name_of=in_name_of,
        )

        acted_out.additional_properties = d
        return acted_out

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
