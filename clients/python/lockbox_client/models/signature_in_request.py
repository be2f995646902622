from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.assertion_in_request import AssertionInRequest


T = TypeVar("T", bound="SignatureInRequest")


@_attrs_define
class SignatureInRequest:
    """`manifest` is the text as it was given out, letter for letter; `assertion` is what the passkey answered.

    Attributes:
        manifest (str):
        assertion (AssertionInRequest): AuthenticationResponseJSON of WebAuthn, Level 3, section 5.1.
    """

    manifest: str
    assertion: AssertionInRequest

    def to_dict(self) -> dict[str, Any]:
        manifest = self.manifest

        assertion = self.assertion.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "manifest": manifest,
                "assertion": assertion,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.assertion_in_request import AssertionInRequest

        d = dict(src_dict)
        manifest = d.pop("manifest")

        assertion = AssertionInRequest.from_dict(d.pop("assertion"))

        signature_in_request = cls(
            manifest=manifest,
            assertion=assertion,
        )

        return signature_in_request
