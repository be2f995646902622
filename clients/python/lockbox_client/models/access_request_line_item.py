from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.level_enum import LevelEnum, check_level_enum
from ..models.reason_enum import ReasonEnum, check_reason_enum
from ..models.state_enum import StateEnum, check_state_enum
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef
    from ..models.resource_ref import ResourceRef
    from ..models.service_ref import ServiceRef
    from ..models.tenant_ref import TenantRef
    from ..models.ticket_ref import TicketRef
    from ..models.window_out import WindowOut


T = TypeVar("T", bound="AccessRequestLineItem")


@_attrs_define
class AccessRequestLineItem:
    """`state` is what holds at this moment, also where no sweep has written it down yet.

    Attributes:
        id (UUID | Unset):
        reference (str | Unset):
        tenant (TenantRef | Unset):
        service (ServiceRef | Unset):
        ticket (None | TicketRef | Unset):
        engineer (PersonRef | Unset):
        reason (ReasonEnum | Unset): * `customer_ticket` - customer_ticket
            * `provider_initiated` - provider_initiated
            * `legal_demand` - legal_demand
        level (LevelEnum | Unset): * `names` - names
            * `read` - read
        window_seconds (int | Unset):
        resources (list[ResourceRef] | Unset):
        state (StateEnum | Unset): * `PENDING_PROVIDER` - PENDING_PROVIDER
            * `PENDING_CUSTOMER` - PENDING_CUSTOMER
            * `OPEN` - OPEN
            * `DENIED` - DENIED
            * `WITHDRAWN` - WITHDRAWN
            * `EXPIRED` - EXPIRED
            * `CLOSED` - CLOSED
        submitted_at (datetime.datetime | Unset):
        changed_at (datetime.datetime | Unset):
        decide_by (datetime.datetime | Unset):
        grant (None | Unset | WindowOut):
    """

    id: UUID | Unset = UNSET
    reference: str | Unset = UNSET
    tenant: TenantRef | Unset = UNSET
    service: ServiceRef | Unset = UNSET
    ticket: None | TicketRef | Unset = UNSET
    engineer: PersonRef | Unset = UNSET
    reason: ReasonEnum | Unset = UNSET
    level: LevelEnum | Unset = UNSET
    window_seconds: int | Unset = UNSET
    resources: list[ResourceRef] | Unset = UNSET
    state: StateEnum | Unset = UNSET
    submitted_at: datetime.datetime | Unset = UNSET
    changed_at: datetime.datetime | Unset = UNSET
    decide_by: datetime.datetime | Unset = UNSET
    grant: None | Unset | WindowOut = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.ticket_ref import TicketRef
        from ..models.window_out import WindowOut

        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        reference = self.reference

        tenant: dict[str, Any] | Unset = UNSET
        if not isinstance(self.tenant, Unset):
            tenant = self.tenant.to_dict()

        service: dict[str, Any] | Unset = UNSET
        if not isinstance(self.service, Unset):
            service = self.service.to_dict()

        ticket: dict[str, Any] | None | Unset
        if isinstance(self.ticket, Unset):
            ticket = UNSET
        elif isinstance(self.ticket, TicketRef):
            ticket = self.ticket.to_dict()
        else:
            ticket = self.ticket

        engineer: dict[str, Any] | Unset = UNSET
        if not isinstance(self.engineer, Unset):
            engineer = self.engineer.to_dict()

        reason: str | Unset = UNSET
        if not isinstance(self.reason, Unset):
            reason = self.reason

        level: str | Unset = UNSET
        if not isinstance(self.level, Unset):
            level = self.level

        window_seconds = self.window_seconds

        resources: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.resources, Unset):
            resources = []
            for resources_item_data in self.resources:
                resources_item = resources_item_data.to_dict()
                resources.append(resources_item)

        state: str | Unset = UNSET
        if not isinstance(self.state, Unset):
            state = self.state

        submitted_at: str | Unset = UNSET
        if not isinstance(self.submitted_at, Unset):
            submitted_at = self.submitted_at.isoformat()

        changed_at: str | Unset = UNSET
        if not isinstance(self.changed_at, Unset):
            changed_at = self.changed_at.isoformat()

        decide_by: str | Unset = UNSET
        if not isinstance(self.decide_by, Unset):
            decide_by = self.decide_by.isoformat()

        grant: dict[str, Any] | None | Unset
        if isinstance(self.grant, Unset):
            grant = UNSET
        elif isinstance(self.grant, WindowOut):
            grant = self.grant.to_dict()
        else:
            grant = self.grant

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if reference is not UNSET:
            field_dict["reference"] = reference
        if tenant is not UNSET:
            field_dict["tenant"] = tenant
        if service is not UNSET:
            field_dict["service"] = service
        if ticket is not UNSET:
            field_dict["ticket"] = ticket
        if engineer is not UNSET:
            field_dict["engineer"] = engineer
        if reason is not UNSET:
            field_dict["reason"] = reason
        if level is not UNSET:
            field_dict["level"] = level
        if window_seconds is not UNSET:
            field_dict["window_seconds"] = window_seconds
        if resources is not UNSET:
            field_dict["resources"] = resources
        if state is not UNSET:
            field_dict["state"] = state
        if submitted_at is not UNSET:
            field_dict["submitted_at"] = submitted_at
        if changed_at is not UNSET:
            field_dict["changed_at"] = changed_at
        if decide_by is not UNSET:
            field_dict["decide_by"] = decide_by
        if grant is not UNSET:
            field_dict["grant"] = grant

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef
        from ..models.resource_ref import ResourceRef
        from ..models.service_ref import ServiceRef
        from ..models.tenant_ref import TenantRef
        from ..models.ticket_ref import TicketRef
        from ..models.window_out import WindowOut

        d = dict(src_dict)
        _id = d.pop("id", UNSET)
        id: UUID | Unset
        if isinstance(_id, Unset):
            id = UNSET
        else:
            id = UUID(_id)

        reference = d.pop("reference", UNSET)

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

        def _parse_ticket(data: object) -> None | TicketRef | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                ticket_type_0 = TicketRef.from_dict(data)

                return ticket_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | TicketRef | Unset, data)

        ticket = _parse_ticket(d.pop("ticket", UNSET))

        _engineer = d.pop("engineer", UNSET)
        engineer: PersonRef | Unset
        if isinstance(_engineer, Unset):
            engineer = UNSET
        else:
            engineer = PersonRef.from_dict(_engineer)

        _reason = d.pop("reason", UNSET)
        reason: ReasonEnum | Unset
        if isinstance(_reason, Unset):
            reason = UNSET
        else:
            reason = check_reason_enum(_reason)

        _level = d.pop("level", UNSET)
        level: LevelEnum | Unset
        if isinstance(_level, Unset):
            level = UNSET
        else:
            level = check_level_enum(_level)

        window_seconds = d.pop("window_seconds", UNSET)

        _resources = d.pop("resources", UNSET)
        resources: list[ResourceRef] | Unset = UNSET
        if _resources is not UNSET:
            resources = []
            for resources_item_data in _resources:
                resources_item = ResourceRef.from_dict(resources_item_data)

                resources.append(resources_item)

        _state = d.pop("state", UNSET)
        state: StateEnum | Unset
        if isinstance(_state, Unset):
            state = UNSET
        else:
            state = check_state_enum(_state)

        _submitted_at = d.pop("submitted_at", UNSET)
        submitted_at: datetime.datetime | Unset
        if isinstance(_submitted_at, Unset):
            submitted_at = UNSET
        else:
            submitted_at = datetime.datetime.fromisoformat(_submitted_at)

        _changed_at = d.pop("changed_at", UNSET)
        changed_at: datetime.datetime | Unset
        if isinstance(_changed_at, Unset):
            changed_at = UNSET
        else:
            changed_at = datetime.datetime.fromisoformat(_changed_at)

        _decide_by = d.pop("decide_by", UNSET)
        decide_by: datetime.datetime | Unset
        if isinstance(_decide_by, Unset):
            decide_by = UNSET
        else:
            decide_by = datetime.datetime.fromisoformat(_decide_by)

        def _parse_grant(data: object) -> None | Unset | WindowOut:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                grant_type_0 = WindowOut.from_dict(data)

                return grant_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | WindowOut, data)

        grant = _parse_grant(d.pop("grant", UNSET))

        access_request_line_item = cls(
            id=id,
            reference=reference,
            tenant=tenant,
            service=service,
            ticket=ticket,
            engineer=engineer,
            reason=reason,
            level=level,
            window_seconds=window_seconds,
            resources=resources,
            state=state,
            submitted_at=submitted_at,
            changed_at=changed_at,
            decide_by=decide_by,
            grant=grant,
        )

        access_request_line_item.additional_properties = d
        return access_request_line_item

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
