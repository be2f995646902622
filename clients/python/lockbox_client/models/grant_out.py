from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.close_reason_enum import CloseReasonEnum, check_close_reason_enum
from ..models.grant_out_allowed_actions_enum import (
    GrantOutAllowedActionsEnum,
    check_grant_out_allowed_actions_enum,
)
from ..models.grant_state_enum import GrantStateEnum, check_grant_state_enum
from ..models.level_enum import LevelEnum, check_level_enum

if TYPE_CHECKING:
    from ..models.access_request_ref import AccessRequestRef
    from ..models.person_ref import PersonRef
    from ..models.resource_ref import ResourceRef
    from ..models.seen_out import SeenOut
    from ..models.service_ref import ServiceRef
    from ..models.tenant_ref import TenantRef


T = TypeVar("T", bound="GrantOut")


@_attrs_define
class GrantOut:
    """`allowed_actions` are the acts on the access request that this caller may do now.

    Attributes:
        id (UUID):
        opens_at (datetime.datetime):
        closes_at (datetime.datetime):
        closed_at (datetime.datetime | None):
        close_reason (CloseReasonEnum | None):
        state (GrantStateEnum): * `open` - open
            * `closed` - closed
        access_request (AccessRequestRef):
        tenant (TenantRef):
        service (ServiceRef):
        engineer (PersonRef):
        level (LevelEnum): * `names` - names
            * `read` - read
        resources (list[ResourceRef]):
        closed_by (None | PersonRef):
        seen (SeenOut): How much was looked at: distinct items that were shown (`opened`), downloaded, and attachments
            of messages that
            were downloaded; in how many resources; names that were listed.

            `allowed` is how often a service elsewhere was told yes; what came of it is not known here.
        allowed_actions (list[GrantOutAllowedActionsEnum]):
    """

    id: UUID
    opens_at: datetime.datetime
    closes_at: datetime.datetime
    closed_at: datetime.datetime | None
    close_reason: CloseReasonEnum | None
    state: GrantStateEnum
    access_request: AccessRequestRef
    tenant: TenantRef
    service: ServiceRef
    engineer: PersonRef
    level: LevelEnum
    resources: list[ResourceRef]
    closed_by: None | PersonRef
    seen: SeenOut
    allowed_actions: list[GrantOutAllowedActionsEnum]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef

        id = str(self.id)

        opens_at = self.opens_at.isoformat()

        closes_at = self.closes_at.isoformat()

        closed_at: None | str
        if isinstance(self.closed_at, datetime.datetime):
            closed_at = self.closed_at.isoformat()
        else:
            closed_at = self.closed_at

        close_reason: None | str
        if isinstance(self.close_reason, str):
            close_reason = self.close_reason
        else:
            close_reason = self.close_reason

        state: str = self.state

        access_request = self.access_request.to_dict()

        tenant = self.tenant.to_dict()

        service = self.service.to_dict()

        engineer = self.engineer.to_dict()

        level: str = self.level

        resources = []
        for resources_item_data in self.resources:
            resources_item = resources_item_data.to_dict()
            resources.append(resources_item)

        closed_by: dict[str, Any] | None
        if isinstance(self.closed_by, PersonRef):
            closed_by = self.closed_by.to_dict()
        else:
            closed_by = self.closed_by

        seen = self.seen.to_dict()

        allowed_actions = []
        for allowed_actions_item_data in self.allowed_actions:
            allowed_actions_item: str = allowed_actions_item_data
            allowed_actions.append(allowed_actions_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "opens_at": opens_at,
                "closes_at": closes_at,
                "closed_at": closed_at,
                "close_reason": close_reason,
                "state": state,
                "access_request": access_request,
                "tenant": tenant,
                "service": service,
                "engineer": engineer,
                "level": level,
                "resources": resources,
                "closed_by": closed_by,
                "seen": seen,
                "allowed_actions": allowed_actions,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.access_request_ref import AccessRequestRef
        from ..models.person_ref import PersonRef
        from ..models.resource_ref import ResourceRef
        from ..models.seen_out import SeenOut
        from ..models.service_ref import ServiceRef
        from ..models.tenant_ref import TenantRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        opens_at = datetime.datetime.fromisoformat(d.pop("opens_at"))

        closes_at = datetime.datetime.fromisoformat(d.pop("closes_at"))

        def _parse_closed_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                closed_at_type_0 = datetime.datetime.fromisoformat(data)

                return closed_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        closed_at = _parse_closed_at(d.pop("closed_at"))

        def _parse_close_reason(data: object) -> CloseReasonEnum | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                close_reason_type_0 = check_close_reason_enum(data)

                return close_reason_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(CloseReasonEnum | None, data)

        close_reason = _parse_close_reason(d.pop("close_reason"))

        state = check_grant_state_enum(d.pop("state"))

        access_request = AccessRequestRef.from_dict(d.pop("access_request"))

        tenant = TenantRef.from_dict(d.pop("tenant"))

        service = ServiceRef.from_dict(d.pop("service"))

        engineer = PersonRef.from_dict(d.pop("engineer"))

        level = check_level_enum(d.pop("level"))

        resources = []
        _resources = d.pop("resources")
        for resources_item_data in _resources:
            resources_item = ResourceRef.from_dict(resources_item_data)

            resources.append(resources_item)

        def _parse_closed_by(data: object) -> None | PersonRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                closed_by_type_0 = PersonRef.from_dict(data)

                return closed_by_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef, data)

        closed_by = _parse_closed_by(d.pop("closed_by"))

        seen = SeenOut.from_dict(d.pop("seen"))

        allowed_actions = []
        _allowed_actions = d.pop("allowed_actions")
        for allowed_actions_item_data in _allowed_actions:
            allowed_actions_item = check_grant_out_allowed_actions_enum(allowed_actions_item_data)

            allowed_actions.append(allowed_actions_item)

        grant_out = cls(
            id=id,
            opens_at=opens_at,
            closes_at=closes_at,
            closed_at=closed_at,
            close_reason=close_reason,
            state=state,
            access_request=access_request,
            tenant=tenant,
            service=service,
            engineer=engineer,
            level=level,
            resources=resources,
            closed_by=closed_by,
            seen=seen,
            allowed_actions=allowed_actions,
        )

        grant_out.additional_properties = d
        return grant_out

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
