from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.evaluations_body_context_purpose import (
    EvaluationsBodyContextPurpose,
    check_evaluations_body_context_purpose,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="EvaluationsBodyContext")


@_attrs_define
class EvaluationsBodyContext:
    """Whatever else is in it is of no weight here.

    Attributes:
        purpose (EvaluationsBodyContextPurpose | Unset): `access` writes the entry into the customer's log before the
            yes: ask so before you open. It is for clients alone; a person's token gets 403 `service_client_only`. Default:
            'advice'.
        tenant (str | Unset): The tenant's id or short name; needed where a resource is not named by its id.
        item (str | Unset): What is opened, in your words; for the log.
    """

    purpose: EvaluationsBodyContextPurpose | Unset = "advice"
    tenant: str | Unset = UNSET
    item: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        purpose: str | Unset = UNSET
        if not isinstance(self.purpose, Unset):
            purpose = self.purpose

        tenant = self.tenant

        item = self.item

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if purpose is not UNSET:
            field_dict["purpose"] = purpose
        if tenant is not UNSET:
            field_dict["tenant"] = tenant
        if item is not UNSET:
            field_dict["item"] = item

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _purpose = d.pop("purpose", UNSET)
        purpose: EvaluationsBodyContextPurpose | Unset
        if isinstance(_purpose, Unset):
            purpose = UNSET
        else:
            purpose = check_evaluations_body_context_purpose(_purpose)

        tenant = d.pop("tenant", UNSET)

        item = d.pop("item", UNSET)

        evaluations_body_context = cls(
            purpose=purpose,
            tenant=tenant,
            item=item,
        )

        evaluations_body_context.additional_properties = d
        return evaluations_body_context

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
