from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define

from ..models.priority_enum import PriorityEnum, check_priority_enum
from ..types import UNSET, Unset

T = TypeVar("T", bound="TicketInRequest")


@_attrs_define
class TicketInRequest:
    """`service` is its key or its id.

    `on_behalf_of`, an id or an address, is for the provider's side alone: who of the tenant called or wrote.

        Attributes:
            tenant (UUID):
            service (str):
            title (str):
            body (str):
            priority (PriorityEnum | Unset): * `low` - low
                * `normal` - normal
                * `high` - high Default: 'normal'.
            on_behalf_of (str | Unset):
            external_reference (str | Unset):  Default: ''.
            external_url (str | Unset):  Default: ''.
    """

    tenant: UUID
    service: str
    title: str
    body: str
    priority: PriorityEnum | Unset = "normal"
    on_behalf_of: str | Unset = UNSET
    external_reference: str | Unset = ""
    external_url: str | Unset = ""

    def to_dict(self) -> dict[str, Any]:
        tenant = str(self.tenant)

        service = self.service

        title = self.title

        body = self.body

        priority: str | Unset = UNSET
        if not isinstance(self.priority, Unset):
            priority = self.priority

        on_behalf_of = self.on_behalf_of

        external_reference = self.external_reference

        external_url = self.external_url

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "tenant": tenant,
                "service": service,
                "title": title,
                "body": body,
            }
        )
        if priority is not UNSET:
            field_dict["priority"] = priority
        if on_behalf_of is not UNSET:
            field_dict["on_behalf_of"] = on_behalf_of
        if external_reference is not UNSET:
            field_dict["external_reference"] = external_reference
        if external_url is not UNSET:
            field_dict["external_url"] = external_url

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        tenant = UUID(d.pop("tenant"))

        service = d.pop("service")

        title = d.pop("title")

        body = d.pop("body")

        _priority = d.pop("priority", UNSET)
        priority: PriorityEnum | Unset
        if isinstance(_priority, Unset):
            priority = UNSET
        else:
            priority = check_priority_enum(_priority)

        on_behalf_of = d.pop("on_behalf_of", UNSET)

        external_reference = d.pop("external_reference", UNSET)

        external_url = d.pop("external_url", UNSET)

        ticket_in_request = cls(
            tenant=tenant,
            service=service,
            title=title,
            body=body,
            priority=priority,
            on_behalf_of=on_behalf_of,
            external_reference=external_reference,
            external_url=external_url,
        )

        return ticket_in_request
