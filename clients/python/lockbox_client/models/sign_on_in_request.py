from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.sign_on_in_request_role_map import SignOnInRequestRoleMap


T = TypeVar("T", bound="SignOnInRequest")


@_attrs_define
class SignOnInRequest:
    """All of it: what is left out is empty or off, but for the secret, which stays where none is given.

    `role_map` says which role a group of `groups_claim` gives; `break_glass` is the administrator who gets in where it
    is the only way for all others.

        Attributes:
            issuer (str):
            client_id (str):
            client_secret (str | Unset):  Default: ''.
            scopes (str | Unset):  Default: 'openid profile email'.
            key_claim (str | Unset):  Default: 'sub'.
            groups_claim (str | Unset):  Default: ''.
            role_map (SignOnInRequestRoleMap | Unset):
            is_on (bool | Unset):  Default: False.
            is_only (bool | Unset):  Default: False.
            break_glass (None | Unset | UUID):
    """

    issuer: str
    client_id: str
    client_secret: str | Unset = ""
    scopes: str | Unset = "openid profile email"
    key_claim: str | Unset = "sub"
    groups_claim: str | Unset = ""
    role_map: SignOnInRequestRoleMap | Unset = UNSET
    is_on: bool | Unset = False
    is_only: bool | Unset = False
    break_glass: None | Unset | UUID = UNSET

    def to_dict(self) -> dict[str, Any]:
        issuer = self.issuer

        client_id = self.client_id

        client_secret = self.client_secret

        scopes = self.scopes

        key_claim = self.key_claim

        groups_claim = self.groups_claim

        role_map: dict[str, Any] | Unset = UNSET
        if not isinstance(self.role_map, Unset):
            role_map = self.role_map.to_dict()

        is_on = self.is_on

        is_only = self.is_only

        break_glass: None | str | Unset
        if isinstance(self.break_glass, Unset):
            break_glass = UNSET
        elif isinstance(self.break_glass, UUID):
            break_glass = str(self.break_glass)
        else:
            break_glass = self.break_glass

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "issuer": issuer,
                "client_id": client_id,
            }
        )
        if client_secret is not UNSET:
            field_dict["client_secret"] = client_secret
        if scopes is not UNSET:
            field_dict["scopes"] = scopes
        if key_claim is not UNSET:
            field_dict["key_claim"] = key_claim
        if groups_claim is not UNSET:
            field_dict["groups_claim"] = groups_claim
        if role_map is not UNSET:
            field_dict["role_map"] = role_map
        if is_on is not UNSET:
            field_dict["is_on"] = is_on
        if is_only is not UNSET:
            field_dict["is_only"] = is_only
        if break_glass is not UNSET:
            field_dict["break_glass"] = break_glass

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.sign_on_in_request_role_map import SignOnInRequestRoleMap

        d = dict(src_dict)
        issuer = d.pop("issuer")

        client_id = d.pop("client_id")

        client_secret = d.pop("client_secret", UNSET)

        scopes = d.pop("scopes", UNSET)

        key_claim = d.pop("key_claim", UNSET)

        groups_claim = d.pop("groups_claim", UNSET)

        _role_map = d.pop("role_map", UNSET)
        role_map: SignOnInRequestRoleMap | Unset
        if isinstance(_role_map, Unset):
            role_map = UNSET
        else:
            role_map = SignOnInRequestRoleMap.from_dict(_role_map)

        is_on = d.pop("is_on", UNSET)

        is_only = d.pop("is_only", UNSET)

        def _parse_break_glass(data: object) -> None | Unset | UUID:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                break_glass_type_0 = UUID(data)

                return break_glass_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UUID, data)

        break_glass = _parse_break_glass(d.pop("break_glass", UNSET))

        sign_on_in_request = cls(
            issuer=issuer,
            client_id=client_id,
            client_secret=client_secret,
            scopes=scopes,
            key_claim=key_claim,
            groups_claim=groups_claim,
            role_map=role_map,
            is_on=is_on,
            is_only=is_only,
            break_glass=break_glass,
        )

        return sign_on_in_request
