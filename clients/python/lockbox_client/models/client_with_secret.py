from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef
    from ..models.tenant_ref import TenantRef


T = TypeVar("T", bound="ClientWithSecret")


@_attrs_define
class ClientWithSecret:
    """`secret` is shown this once.

    Attributes:
        id (UUID):
        actor (UUID):
        name (str):
        tenant (None | TenantRef):
        scopes (list[str]):
        decides_for (None | PersonRef):
        created_by (PersonRef):
        created_at (datetime.datetime):
        secret_at (datetime.datetime):
        last_used_at (datetime.datetime | None):
        secret (str):
    """

    id: UUID
    actor: UUID
    name: str
    tenant: None | TenantRef
    scopes: list[str]
    decides_for: None | PersonRef
    created_by: PersonRef
    created_at: datetime.datetime
    secret_at: datetime.datetime
    last_used_at: datetime.datetime | None
    secret: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef
        from ..models.tenant_ref import TenantRef

        id = str(self.id)

        actor = str(self.actor)

        name = self.name

        tenant: dict[str, Any] | None
        if isinstance(self.tenant, TenantRef):
            tenant = self.tenant.to_dict()
        else:
            tenant = self.tenant

        scopes = self.scopes

        decides_for: dict[str, Any] | None
        if isinstance(self.decides_for, PersonRef):
            decides_for = self.decides_for.to_dict()
        else:
            decides_for = self.decides_for

        created_by = self.created_by.to_dict()

        created_at = self.created_at.isoformat()

        secret_at = self.secret_at.isoformat()

        last_used_at: None | str
        if isinstance(self.last_used_at, datetime.datetime):
            last_used_at = self.last_used_at.isoformat()
        else:
            last_used_at = self.last_used_at

        secret = self.secret

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "actor": actor,
                "name": name,
                "tenant": tenant,
                "scopes": scopes,
                "decides_for": decides_for,
                "created_by": created_by,
                "created_at": created_at,
                "secret_at": secret_at,
                "last_used_at": last_used_at,
                "secret": secret,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef
        from ..models.tenant_ref import TenantRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        actor = UUID(d.pop("actor"))

        name = d.pop("name")

        def _parse_tenant(data: object) -> None | TenantRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tenant_type_0 = TenantRef.from_dict(data)

                return tenant_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | TenantRef, data)

        tenant = _parse_tenant(d.pop("tenant"))

        scopes = cast(list[str], d.pop("scopes"))

        def _parse_decides_for(data: object) -> None | PersonRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                decides_for_type_0 = PersonRef.from_dict(data)

                return decides_for_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef, data)

        decides_for = _parse_decides_for(d.pop("decides_for"))

        created_by = PersonRef.from_dict(d.pop("created_by"))

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        secret_at = datetime.datetime.fromisoformat(d.pop("secret_at"))

        def _parse_last_used_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_used_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_used_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        last_used_at = _parse_last_used_at(d.pop("last_used_at"))

        secret = d.pop("secret")

        client_with_secret = cls(
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
            secret=secret,
        )

        client_with_secret.additional_properties = d
        return client_with_secret

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
