from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.manifest_out_request import ManifestOutRequest


T = TypeVar("T", bound="ManifestOut")


@_attrs_define
class ManifestOut:
    """`manifest` is the text to sign, `digest` SHA-256 of it as it is signed (docs/evidence.md), which people compare.

    `asked` is all that was asked for, the reason included, in canonical JSON: SHA-256 of it, in hexadecimal, is
    `access_request.digest` in the manifest. `request` is what the browser is asked for
    (PublicKeyCredentialRequestOptionsJSON), by a page of this site.

        Attributes:
            manifest (str):
            asked (str):
            digest (str):
            not_after (datetime.datetime):
            request (ManifestOutRequest):
    """

    manifest: str
    asked: str
    digest: str
    not_after: datetime.datetime
    request: ManifestOutRequest
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        manifest = self.manifest

        asked = self.asked

        digest = self.digest

        not_after = self.not_after.isoformat()

        request = self.request.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "manifest": manifest,
                "asked": asked,
                "digest": digest,
                "not_after": not_after,
                "request": request,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.manifest_out_request import ManifestOutRequest

        d = dict(src_dict)
        manifest = d.pop("manifest")

        asked = d.pop("asked")

        digest = d.pop("digest")

        not_after = datetime.datetime.fromisoformat(d.pop("not_after"))

        request = ManifestOutRequest.from_dict(d.pop("request"))

        manifest_out = cls(
            manifest=manifest,
            asked=asked,
            digest=digest,
            not_after=not_after,
            request=request,
        )

        manifest_out.additional_properties = d
        return manifest_out

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
