from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.signature_in_request import SignatureInRequest


T = TypeVar("T", bound="DecisionInRequest")


@_attrs_define
class DecisionInRequest:
    """With a `signature` nothing else is asked for; a personal token without one needs a step-up to approve.

    Attributes:
        comment (str | Unset):  Default: ''.
        signature (SignatureInRequest | Unset): `manifest` is the text as it was given out, letter for letter;
            `assertion` is what the passkey answered.
    """

    comment: str | Unset = ""
    signature: SignatureInRequest | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        comment = self.comment

        signature: dict[str, Any] | Unset = UNSET
        if not isinstance(self.signature, Unset):
            signature = self.signature.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if comment is not UNSET:
            field_dict["comment"] = comment
        if signature is not UNSET:
            field_dict["signature"] = signature

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.signature_in_request import SignatureInRequest

        d = dict(src_dict)
        comment = d.pop("comment", UNSET)

        _signature = d.pop("signature", UNSET)
        signature: SignatureInRequest | Unset
        if isinstance(_signature, Unset):
            signature = UNSET
        else:
            signature = SignatureInRequest.from_dict(_signature)

        decision_in_request = cls(
            comment=comment,
            signature=signature,
        )

        return decision_in_request
