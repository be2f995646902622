from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="LogOut")


@_attrs_define
class LogOut:
    """`size` is the number that the next entry gets; what stands before `pruned_to` was removed by the tenant's rule.

    `signed_size` counts the entries of the tree `origin`, which begins at `first_seq`. `keys` are verifier keys
    (C2SP signed-note) that have signed; whoever trusts one has compared it elsewhere. `alarm` says why the log is not
    signed any more; null where nothing is wrong.

        Attributes:
            size (int):
            pruned_to (int):
            origin (str):
            shard (int):
            first_seq (int):
            signed_size (int):
            signed_at (datetime.datetime | None):
            alarm (None | str):
            keys (list[str]):
    """

    size: int
    pruned_to: int
    origin: str
    shard: int
    first_seq: int
    signed_size: int
    signed_at: datetime.datetime | None
    alarm: None | str
    keys: list[str]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        size = self.size

        pruned_to = self.pruned_to

        origin = self.origin

        shard = self.shard

        first_seq = self.first_seq

        signed_size = self.signed_size

        signed_at: None | str
        if isinstance(self.signed_at, datetime.datetime):
            signed_at = self.signed_at.isoformat()
        else:
            signed_at = self.signed_at

        alarm: None | str
        alarm = self.alarm

        keys = self.keys

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "size": size,
                "pruned_to": pruned_to,
                "origin": origin,
                "shard": shard,
                "first_seq": first_seq,
                "signed_size": signed_size,
                "signed_at": signed_at,
                "alarm": alarm,
                "keys": keys,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        size = d.pop("size")

        pruned_to = d.pop("pruned_to")

        origin = d.pop("origin")

        shard = d.pop("shard")

        first_seq = d.pop("first_seq")

        signed_size = d.pop("signed_size")

        def _parse_signed_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                signed_at_type_0 = datetime.datetime.fromisoformat(data)

                return signed_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        signed_at = _parse_signed_at(d.pop("signed_at"))

        def _parse_alarm(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        alarm = _parse_alarm(d.pop("alarm"))

        keys = cast(list[str], d.pop("keys"))

        log_out = cls(
            size=size,
            pruned_to=pruned_to,
            origin=origin,
            shard=shard,
            first_seq=first_seq,
            signed_size=signed_size,
            signed_at=signed_at,
            alarm=alarm,
            keys=keys,
        )

        log_out.additional_properties = d
        return log_out

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
