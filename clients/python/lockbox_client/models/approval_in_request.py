from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.azure_verdict_enum import AzureVerdictEnum, check_azure_verdict_enum
from ..types import UNSET, Unset

T = TypeVar("T", bound="ApprovalInRequest")


@_attrs_define
class ApprovalInRequest:
    """Older callers send `decision` in place of `status`.

    Attributes:
        status (AzureVerdictEnum | Unset): * `Approve` - Approve
            * `Deny` - Deny
        decision (AzureVerdictEnum | Unset): * `Approve` - Approve
            * `Deny` - Deny
        reason (str | Unset):  Default: ''.
    """

    status: AzureVerdictEnum | Unset = UNSET
    decision: AzureVerdictEnum | Unset = UNSET
    reason: str | Unset = ""

    def to_dict(self) -> dict[str, Any]:
        status: str | Unset = UNSET
        if not isinstance(self.status, Unset):
            status = self.status

        decision: str | Unset = UNSET
        if not isinstance(self.decision, Unset):
            decision = self.decision

        reason = self.reason

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if status is not UNSET:
            field_dict["status"] = status
        if decision is not UNSET:
            field_dict["decision"] = decision
        if reason is not UNSET:
            field_dict["reason"] = reason

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _status = d.pop("status", UNSET)
        status: AzureVerdictEnum | Unset
        if isinstance(_status, Unset):
            status = UNSET
        else:
            status = check_azure_verdict_enum(_status)

        _decision = d.pop("decision", UNSET)
        decision: AzureVerdictEnum | Unset
        if isinstance(_decision, Unset):
            decision = UNSET
        else:
            decision = check_azure_verdict_enum(_decision)

        reason = d.pop("reason", UNSET)

        approval_in_request = cls(
            status=status,
            decision=decision,
            reason=reason,
        )

        return approval_in_request
