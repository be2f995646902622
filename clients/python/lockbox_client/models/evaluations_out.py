from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.evaluation_context import EvaluationContext
    from ..models.evaluation_out import EvaluationOut


T = TypeVar("T", bound="EvaluationsOut")


@_attrs_define
class EvaluationsOut:
    """`evaluations` in the order of the questions. Without questions in the call it is the answer to a single one.

    Attributes:
        evaluations (list[EvaluationOut] | Unset):
        decision (bool | Unset):
        context (EvaluationContext | Unset): `reason` never changes its meaning. `grant` and `closes_at` come with a
            yes: it holds no longer than that.

            `ended` comes with a no, where a window for this resource was closed.
            `entry` is the number of the entry in the tenant's log, where access was asked for. `error` stands alone: this
            one
            question of several could not be read.
    """

    evaluations: list[EvaluationOut] | Unset = UNSET
    decision: bool | Unset = UNSET
    context: EvaluationContext | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        evaluations: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.evaluations, Unset):
            evaluations = []
            for evaluations_item_data in self.evaluations:
                evaluations_item = evaluations_item_data.to_dict()
                evaluations.append(evaluations_item)

        decision = self.decision

        context: dict[str, Any] | Unset = UNSET
        if not isinstance(self.context, Unset):
            context = self.context.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if evaluations is not UNSET:
            field_dict["evaluations"] = evaluations
        if decision is not UNSET:
            field_dict["decision"] = decision
        if context is not UNSET:
            field_dict["context"] = context

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluation_context import EvaluationContext
        from ..models.evaluation_out import EvaluationOut

        d = dict(src_dict)
        _evaluations = d.pop("evaluations", UNSET)
        evaluations: list[EvaluationOut] | Unset = UNSET
        if _evaluations is not UNSET:
            evaluations = []
            for evaluations_item_data in _evaluations:
                evaluations_item = EvaluationOut.from_dict(evaluations_item_data)

                evaluations.append(evaluations_item)

        decision = d.pop("decision", UNSET)

        _context = d.pop("context", UNSET)
        context: EvaluationContext | Unset
        if isinstance(_context, Unset):
            context = UNSET
        else:
            context = EvaluationContext.from_dict(_context)

        evaluations_out = cls(
            evaluations=evaluations,
            decision=decision,
            context=context,
        )

        evaluations_out.additional_properties = d
        return evaluations_out

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
