from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.off_because_enum import OffBecauseEnum, check_off_because_enum

if TYPE_CHECKING:
    from ..models.tenant_ref import TenantRef


T = TypeVar("T", bound="WebhookWithSecret")


@_attrs_define
class WebhookWithSecret:
    """`secret` is shown this once.

    Attributes:
        id (UUID):
        tenant (None | TenantRef):
        url (str):
        label (str):
        events (list[str]):
        public_key (str):
        former_keys_until (datetime.datetime | None):
        created_at (datetime.datetime):
        is_on (bool):
        off_at (datetime.datetime | None):
        off_because (None | OffBecauseEnum):
        failing_since (datetime.datetime | None):
        resume_at (datetime.datetime | None):
        parked (int):
        secret (str):
    """

    id: UUID
    tenant: None | TenantRef
    url: str
    label: str
    events: list[str]
    public_key: str
    former_keys_until: datetime.datetime | None
    created_at: datetime.datetime
    is_on: bool
    off_at: datetime.datetime | None
    off_because: None | OffBecauseEnum
    failing_since: datetime.datetime | None
    resume_at: datetime.datetime | None
    parked: int
    secret: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.tenant_ref import TenantRef

        id = str(self.id)

        tenant: dict[str, Any] | None
        if isinstance(self.tenant, TenantRef):
            tenant = self.tenant.to_dict()
        else:
            tenant = self.tenant

        url = self.url

        label = self.label

        events = self.events

        public_key = self.public_key

        former_keys_until: None | str
        if isinstance(self.former_keys_until, datetime.datetime):
            former_keys_until = self.former_keys_until.isoformat()
        else:
            former_keys_until = self.former_keys_until

        created_at = self.created_at.isoformat()

        is_on = self.is_on

        off_at: None | str
        if isinstance(self.off_at, datetime.datetime):
            off_at = self.off_at.isoformat()
        else:
            off_at = self.off_at

        off_because: None | str
        if isinstance(self.off_because, str):
            off_because = self.off_because
        else:
            off_because = self.off_because

        failing_since: None | str
        if isinstance(self.failing_since, datetime.datetime):
            failing_since = self.failing_since.isoformat()
        else:
            failing_since = self.failing_since

        resume_at: None | str
        if isinstance(self.resume_at, datetime.datetime):
            resume_at = self.resume_at.isoformat()
        else:
            resume_at = self.resume_at

        parked = self.parked

        secret = self.secret

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "tenant": tenant,
                "url": url,
                "label": label,
                "events": events,
                "public_key": public_key,
                "former_keys_until": former_keys_until,
                "created_at": created_at,
                "is_on": is_on,
                "off_at": off_at,
                "off_because": off_because,
                "failing_since": failing_since,
                "resume_at": resume_at,
                "parked": parked,
                "secret": secret,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.tenant_ref import TenantRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        def _parse_tenant(data: object) -> None | TenantRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tenant_type_0 = TenantRef.from_dict(data)

                return tenant_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | TenantRef, data)

        tenant = _parse_tenant(d.pop("tenant"))

        url = d.pop("url")

        label = d.pop("label")

        events = cast(list[str], d.pop("events"))

        public_key = d.pop("public_key")

        def _parse_former_keys_until(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                former_keys_until_type_0 = datetime.datetime.fromisoformat(data)

                return former_keys_until_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        former_keys_until = _parse_former_keys_until(d.pop("former_keys_until"))

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        is_on = d.pop("is_on")

        def _parse_off_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                off_at_type_0 = datetime.datetime.fromisoformat(data)

                return off_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        off_at = _parse_off_at(d.pop("off_at"))

        def _parse_off_because(data: object) -> None | OffBecauseEnum:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                off_because_type_0 = check_off_because_enum(data)

                return off_because_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | OffBecauseEnum, data)

        off_because = _parse_off_because(d.pop("off_because"))

        def _parse_failing_since(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                failing_since_type_0 = datetime.datetime.fromisoformat(data)

                return failing_since_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        failing_since = _parse_failing_since(d.pop("failing_since"))

        def _parse_resume_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                resume_at_type_0 = datetime.datetime.fromisoformat(data)

                return resume_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        resume_at = _parse_resume_at(d.pop("resume_at"))

        parked = d.pop("parked")

        secret = d.pop("secret")

        webhook_with_secret = cls(
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
            secret=secret,
        )

        webhook_with_secret.additional_properties = d
        return webhook_with_secret

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
