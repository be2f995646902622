from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.off_because_enum import OffBecauseEnum, check_off_because_enum
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.tenant_ref import TenantRef


T = TypeVar("T", bound="WebhookOutItem")


@_attrs_define
class WebhookOutItem:
    """`tenant` is null for one of the provider's own, `off_because` while it is on.

    `resume_at` is when its next waiting message is due, `parked` how many messages were given up.

        Attributes:
            id (UUID | Unset):
            tenant (None | TenantRef | Unset):
            url (str | Unset):
            label (str | Unset):
            events (list[str] | Unset):
            public_key (str | Unset):
            former_keys_until (datetime.datetime | None | Unset):
            created_at (datetime.datetime | Unset):
            is_on (bool | Unset):
            off_at (datetime.datetime | None | Unset):
            off_because (None | OffBecauseEnum | Unset):
            failing_since (datetime.datetime | None | Unset):
            resume_at (datetime.datetime | None | Unset):
            parked (int | Unset):
    """

    id: UUID | Unset = UNSET
    tenant: None | TenantRef | Unset = UNSET
    url: str | Unset = UNSET
    label: str | Unset = UNSET
    events: list[str] | Unset = UNSET
    public_key: str | Unset = UNSET
    former_keys_until: datetime.datetime | None | Unset = UNSET
    created_at: datetime.datetime | Unset = UNSET
    is_on: bool | Unset = UNSET
    off_at: datetime.datetime | None | Unset = UNSET
    off_because: None | OffBecauseEnum | Unset = UNSET
    failing_since: datetime.datetime | None | Unset = UNSET
    resume_at: datetime.datetime | None | Unset = UNSET
    parked: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.tenant_ref import TenantRef

        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        tenant: dict[str, Any] | None | Unset
        if isinstance(self.tenant, Unset):
            tenant = UNSET
        elif isinstance(self.tenant, TenantRef):
            tenant = self.tenant.to_dict()
        else:
            tenant = self.tenant

        url = self.url

        label = self.label

        events: list[str] | Unset = UNSET
        if not isinstance(self.events, Unset):
            events = self.events

        public_key = self.public_key

        former_keys_until: None | str | Unset
        if isinstance(self.former_keys_until, Unset):
            former_keys_until = UNSET
        elif isinstance(self.former_keys_until, datetime.datetime):
            former_keys_until = self.former_keys_until.isoformat()
        else:
            former_keys_until = self.former_keys_until

        created_at: str | Unset = UNSET
        if not isinstance(self.created_at, Unset):
            created_at = self.created_at.isoformat()

        is_on = self.is_on

        off_at: None | str | Unset
        if isinstance(self.off_at, Unset):
            off_at = UNSET
        elif isinstance(self.off_at, datetime.datetime):
            off_at = self.off_at.isoformat()
        else:
            off_at = self.off_at

        off_because: None | str | Unset
        if isinstance(self.off_because, Unset):
            off_because = UNSET
        elif isinstance(self.off_because, str):
            off_because = self.off_because
        else:
            off_because = self.off_because

        failing_since: None | str | Unset
        if isinstance(self.failing_since, Unset):
            failing_since = UNSET
        elif isinstance(self.failing_since, datetime.datetime):
            failing_since = self.failing_since.isoformat()
        else:
            failing_since = self.failing_since

        resume_at: None | str | Unset
        if isinstance(self.resume_at, Unset):
            resume_at = UNSET
        elif isinstance(self.resume_at, datetime.datetime):
            resume_at = self.resume_at.isoformat()
        else:
            resume_at = self.resume_at

        parked = self.parked

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if tenant is not UNSET:
            field_dict["tenant"] = tenant
        if url is not UNSET:
            field_dict["url"] = url
        if label is not UNSET:
            field_dict["label"] = label
        if events is not UNSET:
            field_dict["events"] = events
        if public_key is not UNSET:
            field_dict["public_key"] = public_key
        if former_keys_until is not UNSET:
            field_dict["former_keys_until"] = former_keys_until
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if is_on is not UNSET:
            field_dict["is_on"] = is_on
        if off_at is not UNSET:
            field_dict["off_at"] = off_at
        if off_because is not UNSET:
            field_dict["off_because"] = off_because
        if failing_since is not UNSET:
            field_dict["failing_since"] = failing_since
        if resume_at is not UNSET:
            field_dict["resume_at"] = resume_at
        if parked is not UNSET:
            field_dict["parked"] = parked

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.tenant_ref import TenantRef

        d = dict(src_dict)
        _id = d.pop("id", UNSET)
        id: UUID | Unset
        if isinstance(_id, Unset):
            id = UNSET
        else:
            id = UUID(_id)

        def _parse_tenant(data: object) -> None | TenantRef | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tenant_type_0 = TenantRef.from_dict(data)

                return tenant_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | TenantRef | Unset, data)

        tenant = _parse_tenant(d.pop("tenant", UNSET))

        url = d.pop("url", UNSET)

        label = d.pop("label", UNSET)

        events = cast(list[str], d.pop("events", UNSET))

        public_key = d.pop("public_key", UNSET)

        def _parse_former_keys_until(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                former_keys_until_type_0 = datetime.datetime.fromisoformat(data)

                return former_keys_until_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        former_keys_until = _parse_former_keys_until(d.pop("former_keys_until", UNSET))

        _created_at = d.pop("created_at", UNSET)
        created_at: datetime.datetime | Unset
        if isinstance(_created_at, Unset):
            created_at = UNSET
        else:
            created_at = datetime.datetime.fromisoformat(_created_at)

        is_on = d.pop("is_on", UNSET)

        def _parse_off_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                off_at_type_0 = datetime.datetime.fromisoformat(data)

                return off_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        off_at = _parse_off_at(d.pop("off_at", UNSET))

        def _parse_off_because(data: object) -> None | OffBecauseEnum | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                off_because_type_0 = check_off_because_enum(data)

                return off_because_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | OffBecauseEnum | Unset, data)

        off_because = _parse_off_because(d.pop("off_because", UNSET))

        def _parse_failing_since(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                failing_since_type_0 = datetime.datetime.fromisoformat(data)

                return failing_since_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        failing_since = _parse_failing_since(d.pop("failing_since", UNSET))

        def _parse_resume_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                resume_at_type_0 = datetime.datetime.fromisoformat(data)

                return resume_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        resume_at = _parse_resume_at(d.pop("resume_at", UNSET))

        parked = d.pop("parked", UNSET)

        webhook_out_item = cls(
            id=id,
            tenant=tenant,
            url=url,
            label=label,
            events=events,
            public_key=public_key,
            former_keys_until=former_keys_until,
            created_at=created_at,
            is_on=is_on,
            off_at=off_at,
            off_because=off_because,
            failing_since=failing_since,
            resume_at=resume_at,
            parked=parked,
        )

        webhook_out_item.additional_properties = d
        return webhook_out_item

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
