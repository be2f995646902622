from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.origin_enum import OriginEnum, check_origin_enum
from ..models.priority_enum import PriorityEnum, check_priority_enum
from ..models.ticket_state_enum import TicketStateEnum, check_ticket_state_enum

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef
    from ..models.service_ref import ServiceRef
    from ..models.tenant_ref import TenantRef


T = TypeVar("T", bound="TicketLine")


@_attrs_define
class TicketLine:
    """`external_reference` and `external_url` are what another system calls it, and where; empty where none does.

    `on_behalf_of` is whom it was recorded for, null for who opened it on their own.

        Attributes:
            id (UUID):
            reference (str):
            tenant (TenantRef):
            service (ServiceRef):
            title (str):
            origin (OriginEnum): * `customer` - customer
                * `recorded` - recorded
                * `provider` - provider
            priority (PriorityEnum): * `low` - low
                * `normal` - normal
                * `high` - high
            state (TicketStateEnum): * `NEW` - NEW
                * `ASSIGNED` - ASSIGNED
                * `WAITING_FOR_CUSTOMER` - WAITING_FOR_CUSTOMER
                * `RESOLVED` - RESOLVED
                * `CLOSED` - CLOSED
            opened_by (PersonRef):
            on_behalf_of (None | PersonRef):
            assignee (None | PersonRef):
            external_reference (str):
            external_url (str):
            opened_at (datetime.datetime):
            changed_at (datetime.datetime):
            resolved_at (datetime.datetime | None):
            closed_at (datetime.datetime | None):
    """

    id: UUID
    reference: str
    tenant: TenantRef
    service: ServiceRef
    title: str
    origin: OriginEnum
    priority: PriorityEnum
    state: TicketStateEnum
    opened_by: PersonRef
    on_behalf_of: None | PersonRef
    assignee: None | PersonRef
    external_reference: str
    external_url: str
    opened_at: datetime.datetime
    changed_at: datetime.datetime
    resolved_at: datetime.datetime | None
    closed_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef

        id = str(self.id)

        reference = self.reference

        tenant = self.tenant.to_dict()

        service = self.service.to_dict()

        title = self.title

        origin: str = self.origin

        priority: str = self.priority

        state: str = self.state

        opened_by = self.opened_by.to_dict()

        on_behalf_of: dict[str, Any] | None
        if isinstance(self.on_behalf_of, PersonRef):
            on_behalf_of = self.on_behalf_of.to_dict()
        else:
            on_behalf_of = self.on_behalf_of

        assignee: dict[str, Any] | None
        if isinstance(self.assignee, PersonRef):
            assignee = self.assignee.to_dict()
        else:
            assignee = self.assignee

        external_reference = self.external_reference

        external_url = self.external_url

        opened_at = self.opened_at.isoformat()

        changed_at = self.changed_at.isoformat()

        resolved_at: None | str
        if isinstance(self.resolved_at, datetime.datetime):
            resolved_at = self.resolved_at.isoformat()
        else:
            resolved_at = self.resolved_at

        closed_at: None | str
        if isinstance(self.closed_at, datetime.datetime):
            closed_at = self.closed_at.isoformat()
        else:
            closed_at = self.closed_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "reference": reference,
                "tenant": tenant,
                "service": service,
                "title": title,
                "origin": origin,
                "priority": priority,
                "state": state,
                "opened_by": opened_by,
                "on_behalf_of": on_behalf_of,
                "assignee": assignee,
                "external_reference": external_reference,
                "external_url": external_url,
                "opened_at": opened_at,
                "changed_at": changed_at,
                "resolved_at": resolved_at,
                "closed_at": closed_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef
        from ..models.service_ref import ServiceRef
        from ..models.tenant_ref import TenantRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        reference = d.pop("reference")

        tenant = TenantRef.from_dict(d.pop("tenant"))

        service = ServiceRef.from_dict(d.pop("service"))

        title = d.pop("title")

        origin = check_origin_enum(d.pop("origin"))

        priority = check_priority_enum(d.pop("priority"))

        state = check_ticket_state_enum(d.pop("state"))

        opened_by = PersonRef.from_dict(d.pop("opened_by"))

        def _parse_on_behalf_of(data: object) -> None | PersonRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                on_behalf_of_type_0 = PersonRef.from_dict(data)

                return on_behalf_of_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef, data)

        on_behalf_of = _parse_on_behalf_of(d.pop("on_behalf_of"))

        def _parse_assignee(data: object) -> None | PersonRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                assignee_type_0 = PersonRef.from_dict(data)

                return assignee_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef, data)

        assignee = _parse_assignee(d.pop("assignee"))

        external_reference = d.pop("external_reference")

        external_url = d.pop("external_url")

        opened_at = datetime.datetime.fromisoformat(d.pop("opened_at"))

        changed_at = datetime.datetime.fromisoformat(d.pop("changed_at"))

        def _parse_resolved_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                resolved_at_type_0 = datetime.datetime.fromisoformat(data)

                return resolved_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        resolved_at = _parse_resolved_at(d.pop("resolved_at"))

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

        ticket_line = cls(
            id=id,
            reference=reference,
            tenant=tenant,
            service=service,
            title=title,
            origin=origin,
            priority=priority,
            state=state,
            opened_by=opened_by,
            on_behalf_of=on_behalf_of,
            assignee=assignee,
            external_reference=external_reference,
            external_url=external_url,
            opened_at=opened_at,
            changed_at=changed_at,
            resolved_at=resolved_at,
            closed_at=closed_at,
        )

        ticket_line.additional_properties = d
        return ticket_line

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
