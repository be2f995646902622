from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef
    from ..models.sign_on_out_role_map import SignOnOutRoleMap


T = TypeVar("T", bound="SignOnOut")


@_attrs_define
class SignOnOut:
    """`redirect_uri` is what the identity provider is told. The client's secret is shown to nobody.

    Attributes:
        issuer (str):
        client_id (str):
        scopes (str):
        key_claim (str):
        groups_claim (str):
        role_map (SignOnOutRoleMap):
        is_on (bool):
        is_only (bool):
        break_glass (None | PersonRef):
        changed_at (datetime.datetime):
        redirect_uri (str):
    """

    issuer: str
    client_id: str
    scopes: str
    key_claim: str
    groups_claim: str
    role_map: SignOnOutRoleMap
    is_on: bool
    is_only: bool
    break_glass: None | PersonRef
    changed_at: datetime.datetime
    redirect_uri: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef

        issuer = self.issuer

        client_id = self.client_id

        scopes = self.scopes

        key_claim = self.key_claim

        groups_claim = self.groups_claim

        role_map = self.role_map.to_dict()

        is_on = self.is_on

        is_only = self.is_only

        break_glass: dict[str, Any] | None
        if isinstance(self.break_glass, PersonRef):
            break_glass = self.break_glass.to_dict()
        else:
            break_glass = self.break_glass

        changed_at = self.changed_at.isoformat()

        redirect_uri = self.redirect_uri

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "issuer": issuer,
                "client_id": client_id,
                "scopes": scopes,
                "key_claim": key_claim,
                "groups_claim": groups_claim,
                "role_map": role_map,
                "is_on": is_on,
                "is_only": is_only,
                "break_glass": break_glass,
                "changed_at": changed_at,
                "redirect_uri": redirect_uri,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef
        from ..models.sign_on_out_role_map import SignOnOutRoleMap

        d = dict(src_dict)
        issuer = d.pop("issuer")

        client_id = d.pop("client_id")

        scopes = d.pop("scopes")

        key_claim = d.pop("key_claim")

        groups_claim = d.pop("groups_claim")

        role_map = SignOnOutRoleMap.from_dict(d.pop("role_map"))

        is_on = d.pop("is_on")

        is_only = d.pop("is_only")

        def _parse_break_glass(data: object) -> None | PersonRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                break_glass_type_0 = PersonRef.from_dict(data)

                return break_glass_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef, data)

        break_glass = _parse_break_glass(d.pop("break_glass"))

        changed_at = datetime.datetime.fromisoformat(d.pop("changed_at"))

        redirect_uri = d.pop("redirect_uri")

        sign_on_out = cls(
            issuer=issuer,
            client_id=client_id,
            scopes=scopes,
            key_claim=key_claim,
            groups_claim=groups_claim,
            role_map=role_map,
            is_on=is_on,
            is_only=is_only,
            break_glass=break_glass,
            changed_at=changed_at,
            redirect_uri=redirect_uri,
        )

        sign_on_out.additional_properties = d
        return sign_on_out

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
