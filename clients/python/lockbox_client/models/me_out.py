from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.kind_enum import KindEnum, check_kind_enum
from ..models.side_enum import SideEnum, check_side_enum

T = TypeVar("T", bound="MeOut")


@_attrs_define
class MeOut:
    """`kind` is person or client. `roles` holds every role that is held anywhere.

    Attributes:
        id (UUID):
        kind (KindEnum): * `person` - person
            * `client` - client
        name (str):
        email (str):
        side (SideEnum): * `provider` - provider
            * `customer` - customer
        tenants (list[UUID]):
        roles (list[str]):
        scopes (list[str]):
        expires_at (datetime.datetime):
    """

    id: UUID
    kind: KindEnum
    name: str
    email: str
    side: SideEnum
    tenants: list[UUID]
    roles: list[str]
    scopes: list[str]
    expires_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        kind: str = self.kind

        name = self.name

        email = self.email

        side: str = self.side

        tenants = []
        for tenants_item_data in self.tenants:
            tenants_item = str(tenants_item_data)
            tenants.append(tenants_item)

        roles = self.roles

        scopes = self.scopes

        expires_at = self.expires_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "kind": kind,
                "name": name,
                "email": email,
                "side": side,
                "tenants": tenants,
                "roles": roles,
                "scopes": scopes,
                "expires_at": expires_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = UUID(d.pop("id"))

        kind = check_kind_enum(d.pop("kind"))

        name = d.pop("name")

        email = d.pop("email")

        side = check_side_enum(d.pop("side"))

        tenants = []
        _tenants = d.pop("tenants")
        for tenants_item_data in _tenants:
            tenants_item = UUID(tenants_item_data)

            tenants.append(tenants_item)

        roles = cast(list[str], d.pop("roles"))

        scopes = cast(list[str], d.pop("scopes"))

        expires_at = datetime.datetime.fromisoformat(d.pop("expires_at"))

        me_out = cls(
            id=id,
            kind=kind,
            name=name,
            email=email,
            side=side,
            tenants=tenants,
            roles=roles,
            scopes=scopes,
            expires_at=expires_at,
        )

        me_out.additional_properties = d
        return me_out

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
