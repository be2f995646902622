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

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef
    from ..models.resource_ref import ResourceRef
    from ..models.service_ref import ServiceRef
    from ..models.tenant_ref import TenantRef
    from ..models.ticket_ref import TicketRef
    from ..models.window_out import WindowOut


T = TypeVar("T", bound="AccessRequestLine")


@_attrs_define
class AccessRequestLine:
    """`state` is what holds at this moment, also where no sweep has written it down yet.

    Attributes:
        id (UUID):
        reference (str):
        tenant (TenantRef):
        service (ServiceRef):
        ticket (None | TicketRef):
        engineer (PersonRef):
        reason (ReasonEnum): * `customer_ticket` - customer_ticket
            * `provider_initiated` - provider_initiated
            * `legal_demand` - legal_demand
        level (LevelEnum): * `names` - names
            * `read` - read
        window_seconds (int):
        resources (list[ResourceRef]):
        state (StateEnum): * `PENDING_PROVIDER` - PENDING_PROVIDER
            * `PENDING_CUSTOMER` - PENDING_CUSTOMER
            * `OPEN` - OPEN
            * `DENIED` - DENIED
            * `WITHDRAWN` - WITHDRAWN
            * `EXPIRED` - EXPIRED
            * `CLOSED` - CLOSED
        submitted_at (datetime.datetime):
        changed_at (datetime.datetime):
        decide_by (datetime.datetime):
        grant (None | WindowOut):
    """

    id: UUID
    reference: str
    tenant: TenantRef
    service: ServiceRef
    ticket: None | TicketRef
    engineer: PersonRef
    reason: ReasonEnum
    level: LevelEnum
    window_seconds: int
    resources: list[ResourceRef]
    state: StateEnum
    submitted_at: datetime.datetime
    changed_at: datetime.datetime
    decide_by: datetime.datetime
    grant: None | WindowOut
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.ticket_ref import TicketRef
        from ..models.window_out import WindowOut

        id = str(self.id)

        reference = self.reference

        tenant = self.tenant.to_dict()

        service = self.service.to_dict()

        ticket: dict[str, Any] | None
        if isinstance(self.ticket, TicketRef):
            ticket = self.ticket.to_dict()
        else:
            ticket = self.ticket

        engineer = self.engineer.to_dict()

        reason: str = self.reason

        level: str = self.level

        window_seconds = self.window_seconds

        resources = []
        for resources_item_data in self.resources:
            resources_item = resources_item_data.to_dict()
            resources.append(resources_item)

        state: str = self.state

        submitted_at = self.submitted_at.isoformat()

        changed_at = self.changed_at.isoformat()

        decide_by = self.decide_by.isoformat()

        grant: dict[str, Any] | None
        if isinstance(self.grant, WindowOut):
            grant = self.grant.to_dict()
        else:
            grant = self.grant

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "reference": reference,
                "tenant": tenant,
                "service": service,
                "ticket": ticket,
                "engineer": engineer,
                "reason": reason,
                "level": level,
                "window_seconds": window_seconds,
                "resources": resources,
                "state": state,
                "submitted_at": submitted_at,
                "changed_at": changed_at,
                "decide_by": decide_by,
                "grant": grant,
            }
        )

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
        id = UUID(d.pop("id"))

        reference = d.pop("reference")

        tenant = TenantRef.from_dict(d.pop("tenant"))

        service = ServiceRef.from_dict(d.pop("service"))

        def _parse_ticket(data: object) -> None | TicketRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                ticket_type_0 = TicketRef.from_dict(data)

                return ticket_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | TicketRef, data)

        ticket = _parse_ticket(d.pop("ticket"))

        engineer = PersonRef.from_dict(d.pop("engineer"))

        reason = check_reason_enum(d.pop("reason"))

        level = check_level_enum(d.pop("level"))

        window_seconds = d.pop("window_seconds")

        resources = []
        _resources = d.pop("resources")
        for resources_item_data in _resources:
            resources_item = ResourceRef.from_dict(resources_item_data)

            resources.append(resources_item)

        state = check_state_enum(d.pop("state"))

        submitted_at = datetime.datetime.fromisoformat(d.pop("submitted_at"))

        changed_at = datetime.datetime.fromisoformat(d.pop("changed_at"))

        decide_by = datetime.datetime.fromisoformat(d.pop("decide_by"))

        def _parse_grant(data: object) -> None | WindowOut:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                grant_type_0 = WindowOut.from_dict(data)

                return grant_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | WindowOut, data)

        grant = _parse_grant(d.pop("grant"))

        access_request_line = cls(
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

        access_request_line.additional_properties = d
        return access_request_line

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
