from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.yes_rule_enum import YesRuleEnum, check_yes_rule_enum
from ..types import UNSET, Unset

T = TypeVar("T", bound="PatchedTenantChangeRequest")


@_attrs_define
class PatchedTenantChangeRequest:
    """One of the two.

    Attributes:
        longest_window_seconds (int | Unset):
        yes_rule (YesRuleEnum | Unset): * `any` - any
            * `signed` - signed
            * `device_bound` - device_bound
    """

    longest_window_seconds: int | Unset = UNSET
    yes_rule: YesRuleEnum | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        longest_window_seconds = self.longest_window_seconds

        yes_rule: str | Unset = UNSET
        if not isinstance(self.yes_rule, Unset):
            yes_rule = self.yes_rule

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if longest_window_seconds is not UNSET:
            field_dict["longest_window_seconds"] = longest_window_seconds
        if yes_rule is not UNSET:
            field_dict["yes_rule"] = yes_rule

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        longest_window_seconds = d.pop("longest_window_seconds", UNSET)

        _yes_rule = d.pop("yes_rule", UNSET)
        yes_rule: YesRuleEnum | Unset
        if isinstance(_yes_rule, Unset):
            yes_rule = UNSET
        else:
            yes_rule = check_yes_rule_enum(_yes_rule)

        patched_tenant_change_request = cls(
            longest_window_seconds=longest_window_seconds,
            yes_rule=yes_rule,
        )

        return patched_tenant_change_request
