from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.yes_rule_enum import YesRuleEnum, check_yes_rule_enum

if TYPE_CHECKING:
    from ..models.plan_out import PlanOut


T = TypeVar("T", bound="TenantOut")


@_attrs_define
class TenantOut:
    """`longest_window_seconds` holds for windows that open from now on.

    `yes_rule` says what a yes takes: signed or not (`any`), `signed` with a passkey, or with a `device_bound` one.
    `cosigned_within_hours` is null where no window depends on a witness, `log_kept_days` where the log is kept for
    good.

        Attributes:
            id (UUID):
            name (str):
            short_name (str):
            plan (PlanOut):
            lockbox_on (bool):
            longest_window_seconds (int):
            yes_rule (YesRuleEnum): * `any` - any
                * `signed` - signed
                * `device_bound` - device_bound
            two_person_control (bool):
            time_zone (str):
            cosigned_within_hours (int | None):
            log_kept_days (int | None):
            created_at (datetime.datetime):
    """

    id: UUID
    name: str
    short_name: str
    plan: PlanOut
    lockbox_on: bool
    longest_window_seconds: int
    yes_rule: YesRuleEnum
    two_person_control: bool
    time_zone: str
    cosigned_within_hours: int | None
    log_kept_days: int | None
    created_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        name = self.name

        short_name = self.short_name

        plan = self.plan.to_dict()

        lockbox_on = self.lockbox_on

        longest_window_seconds = self.longest_window_seconds

        yes_rule: str = self.yes_rule

        two_person_control = self.two_person_control

        time_zone = self.time_zone

        cosigned_within_hours: int | None
        cosigned_within_hours = self.cosigned_within_hours

        log_kept_days: int | None
        log_kept_days = self.log_kept_days

        created_at = self.created_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "name": name,
                "short_name": short_name,
                "plan": plan,
                "lockbox_on": lockbox_on,
                "longest_window_seconds": longest_window_seconds,
                "yes_rule": yes_rule,
                "two_person_control": two_person_control,
                "time_zone": time_zone,
                "cosigned_within_hours": cosigned_within_hours,
                "log_kept_days": log_kept_days,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.plan_out import PlanOut

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        name = d.pop("name")

        short_name = d.pop("short_name")

        plan = PlanOut.from_dict(d.pop("plan"))

        lockbox_on = d.pop("lockbox_on")

        longest_window_seconds = d.pop("longest_window_seconds")

        yes_rule = check_yes_rule_enum(d.pop("yes_rule"))

        two_person_control = d.pop("two_person_control")

        time_zone = d.pop("time_zone")

        def _parse_cosigned_within_hours(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        cosigned_within_hours = _parse_cosigned_within_hours(d.pop("cosigned_within_hours"))

        def _parse_log_kept_days(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        log_kept_days = _parse_log_kept_days(d.pop("log_kept_days"))

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        tenant_out = cls(
            id=id,
            name=name,
            short_name=short_name,
            plan=plan,
            lockbox_on=lockbox_on,
            longest_window_seconds=longest_window_seconds,
            yes_rule=yes_rule,
            two_person_control=two_person_control,
            time_zone=time_zone,
            cosigned_within_hours=cosigned_within_hours,
            log_kept_days=log_kept_days,
            created_at=created_at,
        )

        tenant_out.additional_properties = d
        return tenant_out

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
