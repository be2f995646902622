from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.type_enum import TypeEnum, check_type_enum
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.asserted_in_request import AssertedInRequest
    from ..models.assertion_in_request_client_extension_results import (
        AssertionInRequestClientExtensionResults,
    )


T = TypeVar("T", bound="AssertionInRequest")


@_attrs_define
class AssertionInRequest:
    """AuthenticationResponseJSON of WebAuthn, Level 3, section 5.1.

    Attributes:
        id (str):
        raw_id (str):
        type_ (TypeEnum): * `public-key` - public-key
        response (AssertedInRequest): In Base64url, as the browser gives them (AuthenticatorAssertionResponse).
        authenticator_attachment (None | str | Unset):
        client_extension_results (AssertionInRequestClientExtensionResults | Unset):
    """

    id: str
    raw_id: str
    type_: TypeEnum
    response: AssertedInRequest
    authenticator_attachment: None | str | Unset = UNSET
    client_extension_results: AssertionInRequestClientExtensionResults | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        raw_id = self.raw_id

        type_: str = self.type_

        response = self.response.to_dict()

        authenticator_attachment: None | str | Unset
        if isinstance(self.authenticator_attachment, Unset):
            authenticator_attachment = UNSET
        else:
            authenticator_attachment = self.authenticator_attachment

        client_extension_results: dict[str, Any] | Unset = UNSET
        if not isinstance(self.client_extension_results, Unset):
            client_extension_results = self.client_extension_results.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "id": id,
                "rawId": raw_id,
                "type": type_,
                "response": response,
            }
        )
        if authenticator_attachment is not UNSET:
            field_dict["authenticatorAttachment"] = authenticator_attachment
        if client_extension_results is not UNSET:
            field_dict["clientExtensionResults"] = client_extension_results

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.asserted_in_request import AssertedInRequest
        from ..models.assertion_in_request_client_extension_results import (
            AssertionInRequestClientExtensionResults,
        )

        d = dict(src_dict)
        id = d.pop("id")

        raw_id = d.pop("rawId")

        type_ = check_type_enum(d.pop("type"))

        response = AssertedInRequest.from_dict(d.pop("response"))

        def _parse_authenticator_attachment(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        authenticator_attachment = _parse_authenticator_attachment(d.pop("authenticatorAttachment", UNSET))

        _client_extension_results = d.pop("clientExtensionResults", UNSET)
        client_extension_results: AssertionInRequestClientExtensionResults | Unset
        if isinstance(_client_extension_results, Unset):
            client_extension_results = UNSET
        else:
            client_extension_results = AssertionInRequestClientExtensionResults.from_dict(_client_extension_results)

        assertion_in_request = cls(
            id=id,
            raw_id=raw_id,
            type_=type_,
            response=response,
            authenticator_attachment=authenticator_attachment,
            client_extension_results=client_extension_results,
        )

        return assertion_in_request
