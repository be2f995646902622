from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="AssignInRequest")


@_attrs_define
class AssignInRequest:
    """Without `assignee` the caller takes it.

    Attributes:
        assignee (UUID | Unset):
    """

    assignee: UUID | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        assignee: str | Unset = UNSET
        if not isinstance(self.assignee, Unset):
            assignee = str(self.assignee)

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if assignee is not UNSET:
            field_dict["assignee"] = assignee

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _assignee = d.pop("assignee", UNSET)
        assignee: UUID | Unset
        if isinstance(_assignee, Unset):
            assignee = UNSET
        else:
            assignee = UUID(_assignee)

        assign_in_request = cls(
            assignee=assignee,
        )

        return assign_in_request
