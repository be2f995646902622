from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.passkey_in_request_response import PasskeyInRequestResponse


T = TypeVar("T", bound="PasskeyInRequest")


@_attrs_define
class PasskeyInRequest:
    """`response` is RegistrationResponseJSON (WebAuthn, section 5.1.8).

    Attributes:
        name (str):
        response (PasskeyInRequestResponse):
    """

    name: str
    response: PasskeyInRequestResponse

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        response = self.response.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
                "response": response,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.passkey_in_request_response import PasskeyInRequestResponse

        d = dict(src_dict)
        name = d.pop("name")

        response = PasskeyInRequestResponse.from_dict(d.pop("response"))

        passkey_in_request = cls(
            name=name,
            response=response,
        )

        return passkey_in_request
