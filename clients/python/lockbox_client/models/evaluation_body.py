from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.evaluation_body_action import EvaluationBodyAction
    from ..models.evaluation_body_context import EvaluationBodyContext
    from ..models.evaluation_body_resource import EvaluationBodyResource
    from ..models.evaluation_body_subject import EvaluationBodySubject


T = TypeVar("T", bound="EvaluationBody")


@_attrs_define
class EvaluationBody:
    """
    Attributes:
        subject (EvaluationBodySubject): The engineer, by id or email; the type is engineer or user.
        action (EvaluationBodyAction): `list`, `read` (show) or `download` (give as a file).
        resource (EvaluationBodyResource): The type is the key of the service; the id is the resource's id, or its
            locator or name in the tenant.
        context (EvaluationBodyContext | Unset): Whatever else is in it is of no weight here.
    """

    subject: EvaluationBodySubject
    action: EvaluationBodyAction
    resource: EvaluationBodyResource
    context: EvaluationBodyContext | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        subject = self.subject.to_dict()

        action = self.action.to_dict()

        resource = self.resource.to_dict()

        context: dict[str, Any] | Unset = UNSET
        if not isinstance(self.context, Unset):
            context = self.context.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "subject": subject,
                "action": action,
                "resource": resource,
            }
        )
        if context is not UNSET:
            field_dict["context"] = context

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluation_body_action import EvaluationBodyAction
        from ..models.evaluation_body_context import EvaluationBodyContext
        from ..models.evaluation_body_resource import EvaluationBodyResource
        from ..models.evaluation_body_subject import EvaluationBodySubject

        d = dict(src_dict)
        subject = EvaluationBodySubject.from_dict(d.pop("subject"))

        action = EvaluationBodyAction.from_dict(d.pop("action"))

        resource = EvaluationBodyResource.from_dict(d.pop("resource"))

        _context = d.pop("context", UNSET)
        context: EvaluationBodyContext | Unset
        if isinstance(_context, Unset):
            context = UNSET
        else:
            context = EvaluationBodyContext.from_dict(_context)

        evaluation_body = cls(
            subject=subject,
            action=action,
            resource=resource,
            context=context,
        )

        evaluation_body.additional_properties = d
        return evaluation_body

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
