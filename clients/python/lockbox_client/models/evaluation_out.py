from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.evaluation_context import EvaluationContext


T = TypeVar("T", bound="EvaluationOut")


@_attrs_define
class EvaluationOut:
    """
    Attributes:
        decision (bool):
        context (EvaluationContext): `reason` never changes its meaning. `grant` and `closes_at` come with a yes: it
            holds no longer than that.

            `ended` comes with a no, where a window for this resource was closed.
            `entry` is the number of the entry in the tenant's log, where access was asked for. `error` stands alone: this
            one
            question of several could not be read.
    """

    decision: bool
    context: EvaluationContext
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        decision = self.decision

        context = self.context.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "decision": decision,
                "context": context,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluation_context import EvaluationContext

        d = dict(src_dict)
        decision = d.pop("decision")

        context = EvaluationContext.from_dict(d.pop("context"))

        evaluation_out = cls(
            decision=decision,
            context=context,
        )

        evaluation_out.additional_properties = d
        return evaluation_out

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
