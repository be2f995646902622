from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.side_enum import SideEnum, check_side_enum
from ..models.verdict_enum import VerdictEnum, check_verdict_enum

if TYPE_CHECKING:
    from ..models.key_out import KeyOut
    from ..models.person_ref import PersonRef


T = TypeVar("T", bound="DecisionOut")


@_attrs_define
class DecisionOut:
    """`through` names the client that decided for `decider`; null where the human did. `deputy_for` names the
    approvers who were away, where the decider was their deputy; else it is empty.

    `signed_digest` is SHA-256 of what was signed with a passkey, in hexadecimal, and `signed_by` which passkey that
    was; both are null where nothing was signed.

        Attributes:
            stage (SideEnum): * `provider` - provider
                * `customer` - customer
            verdict (VerdictEnum): * `approve` - approve
                * `deny` - deny
            decider (PersonRef):
            through (None | str):
            deputy_for (list[str]):
            comment (str):
            signed (bool):
            signed_digest (None | str):
            signed_by (KeyOut | None):
            at (datetime.datetime):
    """

    stage: SideEnum
    verdict: VerdictEnum
    decider: PersonRef
    through: None | str
    deputy_for: list[str]
    comment: str
    signed: bool
    signed_digest: None | str
    signed_by: KeyOut | None
    at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.key_out import KeyOut

        stage: str = self.stage

        verdict: str = self.verdict

        decider = self.decider.to_dict()

        through: None | str
        through = self.through

        deputy_for = self.deputy_for

        comment = self.comment

        signed = self.signed

        signed_digest: None | str
        signed_digest = self.signed_digest

        signed_by: dict[str, Any] | None
        if isinstance(self.signed_by, KeyOut):
            signed_by = self.signed_by.to_dict()
        else:
            signed_by = self.signed_by

        at = self.at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "stage": stage,
                "verdict": verdict,
                "decider": decider,
                "through": through,
                "deputy_for": deputy_for,
                "comment": comment,
                "signed": signed,
                "signed_digest": signed_digest,
                "signed_by": signed_by,
                "at": at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.key_out import KeyOut
        from ..models.person_ref import PersonRef

        d = dict(src_dict)
        stage = check_side_enum(d.pop("stage"))

        verdict = check_verdict_enum(d.pop("verdict"))

        decider = PersonRef.from_dict(d.pop("decider"))

        def _parse_through(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        through = _parse_through(d.pop("through"))

        deputy_for = cast(list[str], d.pop("deputy_for"))

        comment = d.pop("comment")

        signed = d.pop("signed")

        def _parse_signed_digest(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        signed_digest = _parse_signed_digest(d.pop("signed_digest"))

        def _parse_signed_by(data: object) -> KeyOut | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                signed_by_type_0 = KeyOut.from_dict(data)

                return signed_by_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(KeyOut | None, data)

        signed_by = _parse_signed_by(d.pop("signed_by"))

        at = datetime.datetime.fromisoformat(d.pop("at"))

        decision_out = cls(
            stage=stage,
            verdict=verdict,
            decider=decider,
            through=through,
            deputy_for=deputy_for,
            comment=comment,
            signed=signed,
            signed_digest=signed_digest,
            signed_by=signed_by,
            at=at,
        )

        decision_out.additional_properties = d
        return decision_out

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
