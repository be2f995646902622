from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="UnderWayOut")


@_attrs_define
class UnderWayOut:
    """Access requests that wait with the provider, those of them that will need the customer's yes as it is now, those
    that wait with the customer, and windows that are open.

        Attributes:
            with_provider (int):
            bound_for_customer (int):
            with_customer (int):
            open_ (int):
    """

    with_provider: int
    bound_for_customer: int
    with_customer: int
    open_: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        with_provider = self.with_provider

        bound_for_customer = self.bound_for_customer

        with_customer = self.with_customer

        open_ = self.open_

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "with_provider": with_provider,
                "bound_for_customer": bound_for_customer,
                "with_customer": with_customer,
                "open": open_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        with_provider = d.pop("with_provider")

        bound_for_customer = d.pop("bound_for_customer")

        with_customer = d.pop("with_customer")

        open_ = d.pop("open")

        under_way_out = cls(
            with_provider=with_provider,
            bound_for_customer=bound_for_customer,
            with_customer=with_customer,
            open_=open_,
        )

        under_way_out.additional_properties = d
        return under_way_out

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
