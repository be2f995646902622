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
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef
    from ..models.service_ref import ServiceRef
    from ..models.tenant_ref import TenantRef


T = TypeVar("T", bound="TicketLineItem")


@_attrs_define
class TicketLineItem:
    """`external_reference` and `external_url` are what another system calls it, and where; empty where none does.

    `on_behalf_of` is whom it was recorded for, null for who opened it on their own.

        Attributes:
            id (UUID | Unset):
            reference (str | Unset):
            tenant (TenantRef | Unset):
            service (ServiceRef | Unset):
            title (str | Unset):
            origin (OriginEnum | Unset): * `customer` - customer
                * `recorded` - recorded
                * `provider` - provider
            priority (PriorityEnum | Unset): * `low` - low
                * `normal` - normal
                * `high` - high
            state (TicketStateEnum | Unset): * `NEW` - NEW
                * `ASSIGNED` - ASSIGNED
                * `WAITING_FOR_CUSTOMER` - WAITING_FOR_CUSTOMER
                * `RESOLVED` - RESOLVED
                * `CLOSED` - CLOSED
            opened_by (PersonRef | Unset):
            on_behalf_of (None | PersonRef | Unset):
            assignee (None | PersonRef | Unset):
            external_reference (str | Unset):
            external_url (str | Unset):
            opened_at (datetime.datetime | Unset):
            changed_at (datetime.datetime | Unset):
            resolved_at (datetime.datetime | None | Unset):
            closed_at (datetime.datetime | None | Unset):
    """

    id: UUID | Unset = UNSET
    reference: str | Unset = UNSET
    tenant: TenantRef | Unset = UNSET
    service: ServiceRef | Unset = UNSET
    title: str | Unset = UNSET
    origin: OriginEnum | Unset = UNSET
    priority: PriorityEnum | Unset = UNSET
    state: TicketStateEnum | Unset = UNSET
    opened_by: PersonRef | Unset = UNSET
    on_behalf_of: None | PersonRef | Unset = UNSET
    assignee: None | PersonRef | Unset = UNSET
    external_reference: str | Unset = UNSET
    external_url: str | Unset = UNSET
    opened_at: datetime.datetime | Unset = UNSET
    changed_at: datetime.datetime | Unset = UNSET
    resolved_at: datetime.datetime | None | Unset = UNSET
    closed_at: datetime.datetime | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef

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

        title = self.title

        origin: str | Unset = UNSET
        if not isinstance(self.origin, Unset):
            origin = self.origin

        priority: str | Unset = UNSET
        if not isinstance(self.priority, Unset):
            priority = self.priority

        state: str | Unset = UNSET
        if not isinstance(self.state, Unset):
            state = self.state

        opened_by: dict[str, Any] | Unset = UNSET
        if not isinstance(self.opened_by, Unset):
            opened_by = self.opened_by.to_dict()

        on_behalf_of: dict[str, Any] | None | Unset
        if isinstance(self.on_behalf_of, Unset):
            on_behalf_of = UNSET
        elif isinstance(self.on_behalf_of, PersonRef):
            on_behalf_of = self.on_behalf_of.to_dict()
        else:
            on_behalf_of = self.on_behalf_of

        assignee: dict[str, Any] | None | Unset
        if isinstance(self.assignee, Unset):
            assignee = UNSET
        elif isinstance(self.assignee, PersonRef):
            assignee = self.assignee.to_dict()
        else:
            assignee = self.assignee

        external_reference = self.external_reference

        external_url = self.external_url

        opened_at: str | Unset = UNSET
        if not isinstance(self.opened_at, Unset):
            opened_at = self.opened_at.isoformat()

        changed_at: str | Unset = UNSET
        if not isinstance(self.changed_at, Unset):
            changed_at = self.changed_at.isoformat()

        resolved_at: None | str | Unset
        if isinstance(self.resolved_at, Unset):
            resolved_at = UNSET
        elif isinstance(self.resolved_at, datetime.datetime):
            resolved_at = self.resolved_at.isoformat()
        else:
            resolved_at = self.resolved_at

        closed_at: None | str | Unset
        if isinstance(self.closed_at, Unset):
            closed_at = UNSET
        elif isinstance(self.closed_at, datetime.datetime):
            closed_at = self.closed_at.isoformat()
        else:
            closed_at = self.closed_at

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
        if title is not UNSET:
            field_dict["title"] = title
        if origin is not UNSET:
            field_dict["origin"] = origin
        if priority is not UNSET:
            field_dict["priority"] = priority
        if state is not UNSET:
            field_dict["state"] = state
        if opened_by is not UNSET:
            field_dict["opened_by"] = opened_by
        if on_behalf_of is not UNSET:
            field_dict["on_behalf_of"] = on_behalf_of
        if assignee is not UNSET:
            field_dict["assignee"] = assignee
        if external_reference is not UNSET:
            field_dict["external_reference"] = external_reference
        if external_url is not UNSET:
            field_dict["external_url"] = external_url
        if opened_at is not UNSET:
            field_dict["opened_at"] = opened_at
        if changed_at is not UNSET:
            field_dict["changed_at"] = changed_at
        if resolved_at is not UNSET:
            field_dict["resolved_at"] = resolved_at
        if closed_at is not UNSET:
            field_dict["closed_at"] = closed_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef
        from ..models.service_ref import ServiceRef
        from ..models.tenant_ref import TenantRef

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

        title = d.pop("title", UNSET)

        _origin = d.pop("origin", UNSET)
        origin: OriginEnum | Unset
        if isinstance(_origin, Unset):
            origin = UNSET
        else:
            origin = check_origin_enum(_origin)

        _priority = d.pop("priority", UNSET)
        priority: PriorityEnum | Unset
        if isinstance(_priority, Unset):
            priority = UNSET
        else:
            priority = check_priority_enum(_priority)

        _state = d.pop("state", UNSET)
        state: TicketStateEnum | Unset
        if isinstance(_state, Unset):
            state = UNSET
        else:
            state = check_ticket_state_enum(_state)

        _opened_by = d.pop("opened_by", UNSET)
        opened_by: PersonRef | Unset
        if isinstance(_opened_by, Unset):
            opened_by = UNSET
        else:
            opened_by = PersonRef.from_dict(_opened_by)

        def _parse_on_behalf_of(data: object) -> None | PersonRef | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                on_behalf_of_type_0 = PersonRef.from_dict(data)

                return on_behalf_of_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef | Unset, data)

        on_behalf_of = _parse_on_behalf_of(d.pop("on_behalf_of", UNSET))

        def _parse_assignee(data: object) -> None | PersonRef | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                assignee_type_0 = PersonRef.from_dict(data)

                return assignee_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef | Unset, data)

        assignee = _parse_assignee(d.pop("assignee", UNSET))

        external_reference = d.pop("external_reference", UNSET)

        external_url = d.pop("external_url", UNSET)

        _opened_at = d.pop("opened_at", UNSET)
        opened_at: datetime.datetime | Unset
        if isinstance(_opened_at, Unset):
            opened_at = UNSET
        else:
            opened_at = datetime.datetime.fromisoformat(_opened_at)

        _changed_at = d.pop("changed_at", UNSET)
        changed_at: datetime.datetime | Unset
        if isinstance(_changed_at, Unset):
            changed_at = UNSET
        else:
            changed_at = datetime.datetime.fromisoformat(_changed_at)

        def _parse_resolved_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                resolved_at_type_0 = datetime.datetime.fromisoformat(data)

                return resolved_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        resolved_at = _parse_resolved_at(d.pop("resolved_at", UNSET))

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

        ticket_line_item = cls(
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

        ticket_line_item.additional_properties = d
        return ticket_line_item

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
