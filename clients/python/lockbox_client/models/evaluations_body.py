from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.evaluations_body_action import EvaluationsBodyAction
    from ..models.evaluations_body_context import EvaluationsBodyContext
    from ..models.evaluations_body_evaluations_item import EvaluationsBodyEvaluationsItem
    from ..models.evaluations_body_options import EvaluationsBodyOptions
    from ..models.evaluations_body_resource import EvaluationsBodyResource
    from ..models.evaluations_body_subject import EvaluationsBodySubject


T = TypeVar("T", bound="EvaluationsBody")


@_attrs_define
class EvaluationsBody:
    """
    Attributes:
        subject (EvaluationsBodySubject | Unset): The engineer, by id or email; the type is engineer or user.
        action (EvaluationsBodyAction | Unset): `list`, `read` (show) or `download` (give as a file).
        resource (EvaluationsBodyResource | Unset): The type is the key of the service; the id is the resource's id, or
            its locator or name in the tenant.
        context (EvaluationsBodyContext | Unset): Whatever else is in it is of no weight here.
        evaluations (list[EvaluationsBodyEvaluationsItem] | Unset): Questions; the members beside it are defaults. One
            that can't be read is a no of its own.
        options (EvaluationsBodyOptions | Unset):
    """

    subject: EvaluationsBodySubject | Unset = UNSET
    action: EvaluationsBodyAction | Unset = UNSET
    resource: EvaluationsBodyResource | Unset = UNSET
    context: EvaluationsBodyContext | Unset = UNSET
    evaluations: list[EvaluationsBodyEvaluationsItem] | Unset = UNSET
    options: EvaluationsBodyOptions | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        subject: dict[str, Any] | Unset = UNSET
        if not isinstance(self.subject, Unset):
            subject = self.subject.to_dict()

        action: dict[str, Any] | Unset = UNSET
        if not isinstance(self.action, Unset):
            action = self.action.to_dict()

        resource: dict[str, Any] | Unset = UNSET
        if not isinstance(self.resource, Unset):
            resource = self.resource.to_dict()

        context: dict[str, Any] | Unset = UNSET
        if not isinstance(self.context, Unset):
            context = self.context.to_dict()

        evaluations: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.evaluations, Unset):
            evaluations = []
            for evaluations_item_data in self.evaluations:
                evaluations_item = evaluations_item_data.to_dict()
                evaluations.append(evaluations_item)

        options: dict[str, Any] | Unset = UNSET
        if not isinstance(self.options, Unset):
            options = self.options.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if subject is not UNSET:
            field_dict["subject"] = subject
        if action is not UNSET:
            field_dict["action"] = action
        if resource is not UNSET:
            field_dict["resource"] = resource
        if context is not UNSET:
            field_dict["context"] = context
        if evaluations is not UNSET:
            field_dict["evaluations"] = evaluations
        if options is not UNSET:
            field_dict["options"] = options

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluations_body_action import EvaluationsBodyAction
        from ..models.evaluations_body_context import EvaluationsBodyContext
        from ..models.evaluations_body_evaluations_item import (
            EvaluationsBodyEvaluationsItem,
        )
        from ..models.evaluations_body_options import EvaluationsBodyOptions
        from ..models.evaluations_body_resource import EvaluationsBodyResource
        from ..models.evaluations_body_subject import EvaluationsBodySubject

        d = dict(src_dict)
        _subject = d.pop("subject", UNSET)
        subject: EvaluationsBodySubject | Unset
        if isinstance(_subject, Unset):
            subject = UNSET
        else:
            subject = EvaluationsBodySubject.from_dict(_subject)

        _action = d.pop("action", UNSET)
        action: EvaluationsBodyAction | Unset
        if isinstance(_action, Unset):
            action = UNSET
        else:
            action = EvaluationsBodyAction.from_dict(_action)

        _resource = d.pop("resource", UNSET)
        resource: EvaluationsBodyResource | Unset
        if isinstance(_resource, Unset):
            resource = UNSET
        else:
            resource = EvaluationsBodyResource.from_dict(_resource)

        _context = d.pop("context", UNSET)
        context: EvaluationsBodyContext | Unset
        if isinstance(_context, Unset):
            context = UNSET
        else:
            context = EvaluationsBodyContext.from_dict(_context)

        _evaluations = d.pop("evaluations", UNSET)
        evaluations: list[EvaluationsBodyEvaluationsItem] | Unset = UNSET
        if _evaluations is not UNSET:
            evaluations = []
            for evaluations_item_data in _evaluations:
                evaluations_item = EvaluationsBodyEvaluationsItem.from_dict(evaluations_item_data)

                evaluations.append(evaluations_item)

        _options = d.pop("options", UNSET)
        options: EvaluationsBodyOptions | Unset
        if isinstance(_options, Unset):
            options = UNSET
        else:
            options = EvaluationsBodyOptions.from_dict(_options)

        evaluations_body = cls(
            subject=subject,
            action=action,
            resource=resource,
            context=context,
            evaluations=evaluations,
            options=options,
        )

        evaluations_body.additional_properties = d
        return evaluations_body

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
