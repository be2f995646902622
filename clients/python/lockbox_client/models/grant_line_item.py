from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.close_reason_enum import CloseReasonEnum, check_close_reason_enum
from ..models.grant_state_enum import GrantStateEnum, check_grant_state_enum
from ..models.level_enum import LevelEnum, check_level_enum
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.access_request_ref import AccessRequestRef
    from ..models.person_ref import PersonRef
    from ..models.resource_ref import ResourceRef
    from ..models.service_ref import ServiceRef
    from ..models.tenant_ref import TenantRef


T = TypeVar("T", bound="GrantLineItem")


@_attrs_define
class GrantLineItem:
    """`state` is what holds at this moment. Who gives a window back or closes it does so at its access request.

    Attributes:
        id (UUID | Unset):
        opens_at (datetime.datetime | Unset):
        closes_at (datetime.datetime | Unset):
        closed_at (datetime.datetime | None | Unset):
        close_reason (CloseReasonEnum | None | Unset):
        state (GrantStateEnum | Unset): * `open` - open
            * `closed` - closed
        access_request (AccessRequestRef | Unset):
        tenant (TenantRef | Unset):
        service (ServiceRef | Unset):
        engineer (PersonRef | Unset):
        level (LevelEnum | Unset): * `names` - names
            * `read` - read
        resources (list[ResourceRef] | Unset):
        closed_by (None | PersonRef | Unset):
    """

    id: UUID | Unset = UNSET
    opens_at: datetime.datetime | Unset = UNSET
    closes_at: datetime.datetime | Unset = UNSET
    closed_at: datetime.datetime | None | Unset = UNSET
    close_reason: CloseReasonEnum | None | Unset = UNSET
    state: GrantStateEnum | Unset = UNSET
    access_request: AccessRequestRef | Unset = UNSET
    tenant: TenantRef | Unset = UNSET
    service: ServiceRef | Unset = UNSET
    engineer: PersonRef | Unset = UNSET
    level: LevelEnum | Unset = UNSET
    resources: list[ResourceRef] | Unset = UNSET
    closed_by: None | PersonRef | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef

        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        opens_at: str | Unset = UNSET
        if not isinstance(self.opens_at, Unset):
            opens_at = self.opens_at.isoformat()

        closes_at: str | Unset = UNSET
        if not isinstance(self.closes_at, Unset):
            closes_at = self.closes_at.isoformat()

        closed_at: None | str | Unset
        if isinstance(self.closed_at, Unset):
            closed_at = UNSET
        elif isinstance(self.closed_at, datetime.datetime):
            closed_at = self.closed_at.isoformat()
        else:
            closed_at = self.closed_at

        close_reason: None | str | Unset
        if isinstance(self.close_reason, Unset):
            close_reason = UNSET
        elif isinstance(self.close_reason, str):
            close_reason = self.close_reason
        else:
            close_reason = self.close_reason

        state: str | Unset = UNSET
        if not isinstance(self.state, Unset):
            state = self.state

        access_request: dict[str, Any] | Unset = UNSET
        if not isinstance(self.access_request, Unset):
            access_request = self.access_request.to_dict()

        tenant: dict[str, Any] | Unset = UNSET
        if not isinstance(self.tenant, Unset):
            tenant = self.tenant.to_dict()

        service: dict[str, Any] | Unset = UNSET
        if not isinstance(self.service, Unset):
            service = self.service.to_dict()

        engineer: dict[str, Any] | Unset = UNSET
        if not isinstance(self.engineer, Unset):
            engineer = self.engineer.to_dict()

        level: str | Unset = UNSET
        if not isinstance(self.level, Unset):
            level = self.level

        resources: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.resources, Unset):
            resources = []
            for resources_item_data in self.resources:
                resources_item = resources_item_data.to_dict()
                resources.append(resources_item)

        closed_by: dict[str, Any] | None | Unset
        if isinstance(self.closed_by, Unset):
            closed_by = UNSET
        elif isinstance(self.closed_by, PersonRef):
            closed_by = self.closed_by.to_dict()
        else:
            closed_by = self.closed_by

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if opens_at is not UNSET:
            field_dict["opens_at"] = opens_at
        if closes_at is not UNSET:
            field_dict["closes_at"] = closes_at
        if closed_at is not UNSET:
            field_dict["closed_at"] = closed_at
        if close_reason is not UNSET:
            field_dict["close_reason"] = close_reason
        if state is not UNSET:
            field_dict["state"] = state
        if access_request is not UNSET:
            field_dict["access_request"] = access_request
        if tenant is not UNSET:
            field_dict["tenant"] = tenant
        if service is not UNSET:
            field_dict["service"] = service
        if engineer is not UNSET:
            field_dict["engineer"] = engineer
        if level is not UNSET:
            field_dict["level"] = level
        if resources is not UNSET:
            field_dict["resources"] = resources
        if closed_by is not UNSET:
            field_dict["closed_by"] = closed_by

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.access_request_ref import AccessRequestRef
        from ..models.person_ref import PersonRef
        from ..models.resource_ref import ResourceRef
        from ..models.service_ref import ServiceRef
        from ..models.tenant_ref import TenantRef

        d = dict(src_dict)
        _id = d.pop("id", UNSET)
        id: UUID | Unset
        if isinstance(_id, Unset):
            id = UNSET
        else:
            id = UUID(_id)

        _opens_at = d.pop("opens_at", UNSET)
        opens_at: datetime.datetime | Unset
        if isinstance(_opens_at, Unset):
            opens_at = UNSET
        else:
            opens_at = datetime.datetime.fromisoformat(_opens_at)

        _closes_at = d.pop("closes_at", UNSET)
        closes_at: datetime.datetime | Unset
        if isinstance(_closes_at, Unset):
            closes_at = UNSET
        else:
            closes_at = datetime.datetime.fromisoformat(_closes_at)

        def _parse_closed_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                closed_at_type_0 = datetime.datetime.fromisoformat(data)

                return closed_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        closed_at = _parse_closed_at(d.pop("closed_at", UNSET))

        def _parse_close_reason(data: object) -> CloseReasonEnum | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                close_reason_type_0 = check_close_reason_enum(data)

                return close_reason_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(CloseReasonEnum | None | Unset, data)

        close_reason = _parse_close_reason(d.pop("close_reason", UNSET))

        _state = d.pop("state", UNSET)
        state: GrantStateEnum | Unset
        if isinstance(_state, Unset):
            state = UNSET
        else:
            state = check_grant_state_enum(_state)

        _access_request = d.pop("access_request", UNSET)
        access_request: AccessRequestRef | Unset
        if isinstance(_access_request, Unset):
            access_request = UNSET
        else:
            access_request = AccessRequestRef.from_dict(_access_request)

        _tenant = d.pop("tenant", UNSET)
        tenant: TenantRef | Unset
        if isinstance(_tenant, Unset):
            tenant = UNSET
        else:
            tenant = TenantRef.from_dict(_tenant)

        _service = d.pop("service", UNSET)
        service: ServiceRef | Unset
        if isinstance(_service, Unset):
            service = UNSET
        else:
            service = ServiceRef.from_dict(_service)

        _engineer = d.pop("engineer", UNSET)
        engineer: PersonRef | Unset
        if isinstance(_engineer, Unset):
            engineer = UNSET
        else:
            engineer = PersonRef.from_dict(_engineer)

        _level = d.pop("level", UNSET)
        level: LevelEnum | Unset
        if isinstance(_level, Unset):
            level = UNSET
        else:
            level = check_level_enum(_level)

        _resources = d.pop("resources", UNSET)
        resources: list[ResourceRef] | Unset = UNSET
        if _resources is not UNSET:
            resources = []
            for resources_item_data in _resources:
                resources_item = ResourceRef.from_dict(resources_item_data)

                resources.append(resources_item)

        def _parse_closed_by(data: object) -> None | PersonRef | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                closed_by_type_0 = PersonRef.from_dict(data)

                return closed_by_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef | Unset, data)

        closed_by = _parse_closed_by(d.pop("closed_by", UNSET))

        grant_line_item = cls(
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
        )

        grant_line_item.additional_properties = d
        return grant_line_item

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
