from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef
    from ..models.tenant_ref import TenantRef


T = TypeVar("T", bound="ClientOutItem")


@_attrs_define
class ClientOutItem:
    """`tenant` is null for a client of the provider's. `decides_for` is the approver whose yes and no it gives.

    `id` is what it proves who it is by; `actor` is the id by which the log, events and other answers name it.

        Attributes:
            id (UUID | Unset):
            actor (UUID | Unset):
            name (str | Unset):
            tenant (None | TenantRef | Unset):
            scopes (list[str] | Unset):
            decides_for (None | PersonRef | Unset):
            created_by (PersonRef | Unset):
            created_at (datetime.datetime | Unset):
            secret_at (datetime.datetime | Unset):
            last_used_at (datetime.datetime | None | Unset):
    """

    id: UUID | Unset = UNSET
    actor: UUID | Unset = UNSET
    name: str | Unset = UNSET
    tenant: None | TenantRef | Unset = UNSET
    scopes: list[str] | Unset = UNSET
    decides_for: None | PersonRef | Unset = UNSET
    created_by: PersonRef | Unset = UNSET
    created_at: datetime.datetime | Unset = UNSET
    secret_at: datetime.datetime | Unset = UNSET
    last_used_at: datetime.datetime | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef
        from ..models.tenant_ref import TenantRef

        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        actor: str | Unset = UNSET
        if not isinstance(self.actor, Unset):
            actor = str(self.actor)

        name = self.name

        tenant: dict[str, Any] | None | Unset
        if isinstance(self.tenant, Unset):
            tenant = UNSET
        elif isinstance(self.tenant, TenantRef):
            tenant = self.tenant.to_dict()
        else:
            tenant = self.tenant

        scopes: list[str] | Unset = UNSET
        if not isinstance(self.scopes, Unset):
            scopes = self.scopes

        decides_for: dict[str, Any] | None | Unset
        if isinstance(self.decides_for, Unset):
            decides_for = UNSET
        elif isinstance(self.decides_for, PersonRef):
            decides_for = self.decides_for.to_dict()
        else:
            decides_for = self.decides_for

        created_by: dict[str, Any] | Unset = UNSET
        if not isinstance(self.created_by, Unset):
            created_by = self.created_by.to_dict()

        created_at: str | Unset = UNSET
        if not isinstance(self.created_at, Unset):
            created_at = self.created_at.isoformat()

        secret_at: str | Unset = UNSET
        if not isinstance(self.secret_at, Unset):
            secret_at = self.secret_at.isoformat()

        last_used_at: None | str | Unset
        if isinstance(self.last_used_at, Unset):
            last_used_at = UNSET
        elif isinstance(self.last_used_at, datetime.datetime):
            last_used_at = self.last_used_at.isoformat()
        else:
            last_used_at = self.last_used_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if actor is not UNSET:
            field_dict["actor"] = actor
        if name is not UNSET:
            field_dict["name"] = name
        if tenant is not UNSET:
            field_dict["tenant"] = tenant
        if scopes is not UNSET:
            field_dict["scopes"] = scopes
        if decides_for is not UNSET:
            field_dict["decides_for"] = decides_for
        if created_by is not UNSET:
            field_dict["created_by"] = created_by
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if secret_at is not UNSET:
            field_dict["secret_at"] = secret_at
        if last_used_at is not UNSET:
            field_dict["last_used_at"] = last_used_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef
        from ..models.tenant_ref import TenantRef

        d = dict(src_dict)
        _id = d.pop("id", UNSET)
        id: UUID | Unset
        if isinstance(_id, Unset):
            id = UNSET
        else:
            id = UUID(_id)

        _actor = d.pop("actor", UNSET)
        actor: UUID | Unset
        if isinstance(_actor, Unset):
            actor = UNSET
        else:
            actor = UUID(_actor)

        name = d.pop("name", UNSET)

        def _parse_tenant(data: object) -> None | TenantRef | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tenant_type_0 = TenantRef.from_dict(data)

                return tenant_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | TenantRef | Unset, data)

        tenant = _parse_tenant(d.pop("tenant", UNSET))

        scopes = cast(list[str], d.pop("scopes", UNSET))

        def _parse_decides_for(data: object) -> None | PersonRef | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                decides_for_type_0 = PersonRef.from_dict(data)

                return decides_for_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef | Unset, data)

        decides_for = _parse_decides_for(d.pop("decides_for", UNSET))

        _created_by = d.pop("created_by", UNSET)
        created_by: PersonRef | Unset
        if isinstance(_created_by, Unset):
            created_by = UNSET
        else:
            created_by = PersonRef.from_dict(_created_by)

        _created_at = d.pop("created_at", UNSET)
        created_at: datetime.datetime | Unset
        if isinstance(_created_at, Unset):
            created_at = UNSET
        else:
            created_at = datetime.datetime.fromisoformat(_created_at)

        _secret_at = d.pop("secret_at", UNSET)
        secret_at: datetime.datetime | Unset
        if isinstance(_secret_at, Unset):
            secret_at = UNSET
        else:
            secret_at = datetime.datetime.fromisoformat(_secret_at)

        def _parse_last_used_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_used_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_used_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        last_used_at = _parse_last_used_at(d.pop("last_used_at", UNSET))

        client_out_item = cls(
            id=id,
            actor=actor,
            name=name,
            tenant=tenant,
            scopes=scopes,
            decides_for=decides_for,
            created_by=created_by,
            created_at=created_at,
            secret_at=secret_at,
            last_used_at=last_used_at,
        )

        client_out_item.additional_properties = d
        return client_out_item

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
