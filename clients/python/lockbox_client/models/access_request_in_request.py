from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define

from ..models.level_enum import LevelEnum, check_level_enum
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.demand_in_request import DemandInRequest


T = TypeVar("T", bound="AccessRequestInRequest")


@_attrs_define
class AccessRequestInRequest:
    """Either `ticket`, or `demand` with `tenant` and `service`.

    `engineer`, an id or an address, is for clients alone: for whom they ask.

        Attributes:
            resources (list[UUID]):
            level (LevelEnum): * `names` - names
                * `read` - read
            window_seconds (int):
            tried (str):
            justification (str):
            ticket (UUID | Unset):
            demand (DemandInRequest | Unset): What comes in. A field that is not there, a read-only one among them, is
                refused and not ignored.
            tenant (UUID | Unset):
            service (UUID | Unset):
            previous (UUID | Unset):
            engineer (str | Unset):
    """

    resources: list[UUID]
    level: LevelEnum
    window_seconds: int
    tried: str
    justification: str
    ticket: UUID | Unset = UNSET
    demand: DemandInRequest | Unset = UNSET
    tenant: UUID | Unset = UNSET
    service: UUID | Unset = UNSET
    previous: UUID | Unset = UNSET
    engineer: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        resources = []
        for resources_item_data in self.resources:
            resources_item = str(resources_item_data)
            resources.append(resources_item)

        level: str = self.level

        window_seconds = self.window_seconds

        tried = self.tried

        justification = self.justification

        ticket: str | Unset = UNSET
        if not isinstance(self.ticket, Unset):
            ticket = str(self.ticket)

        demand: dict[str, Any] | Unset = UNSET
        if not isinstance(self.demand, Unset):
            demand = self.demand.to_dict()

        tenant: str | Unset = UNSET
        if not isinstance(self.tenant, Unset):
            tenant = str(self.tenant)

        service: str | Unset = UNSET
        if not isinstance(self.service, Unset):
            service = str(self.service)

        previous: str | Unset = UNSET
        if not isinstance(self.previous, Unset):
            previous = str(self.previous)

        engineer = self.engineer

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "resources": resources,
                "level": level,
                "window_seconds": window_seconds,
                "tried": tried,
                "justification": justification,
            }
        )
        if ticket is not UNSET:
            field_dict["ticket"] = ticket
        if demand is not UNSET:
            field_dict["demand"] = demand
        if tenant is not UNSET:
            field_dict["tenant"] = tenant
        if service is not UNSET:
            field_dict["service"] = service
        if previous is not UNSET:
            field_dict["previous"] = previous
        if engineer is not UNSET:
            field_dict["engineer"] = engineer

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.demand_in_request import DemandInRequest

        d = dict(src_dict)
        resources = []
        _resources = d.pop("resources")
        for resources_item_data in _resources:
            resources_item = UUID(resources_item_data)

            resources.append(resources_item)

        level = check_level_enum(d.pop("level"))

        window_seconds = d.pop("window_seconds")

        tried = d.pop("tried")

        justification = d.pop("justification")

        _ticket = d.pop("ticket", UNSET)
        ticket: UUID | Unset
        if isinstance(_ticket, Unset):
            ticket = UNSET
        else:
            ticket = UUID(_ticket)

        _demand = d.pop("demand", UNSET)
        demand: DemandInRequest | Unset
        if isinstance(_demand, Unset):
            demand = UNSET
        else:
            demand = DemandInRequest.from_dict(_demand)

        _tenant = d.pop("tenant", UNSET)
        tenant: UUID | Unset
        if isinstance(_tenant, Unset):
            tenant = UNSET
        else:
            tenant = UUID(_tenant)

        _service = d.pop("service", UNSET)
        service: UUID | Unset
        if isinstance(_service, Unset):
            service = UNSET
        else:
            service = UUID(_service)

        _previous = d.pop("previous", UNSET)
        previous: UUID | Unset
        if isinstance(_previous, Unset):
            previous = UNSET
        else:
            previous = UUID(_previous)

        engineer = d.pop("engineer", UNSET)

        access_request_in_request = cls(
            resources=resources,
            level=level,
            window_seconds=window_seconds,
            tried=tried,
            justification=justification,
            ticket=ticket,
            demand=demand,
            tenant=tenant,
            service=service,
            previous=previous,
            engineer=engineer,
        )

        return access_request_in_request
