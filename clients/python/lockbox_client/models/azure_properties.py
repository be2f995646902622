from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.azure_status_enum import AzureStatusEnum, check_azure_status_enum
from ..models.reason_enum import ReasonEnum, check_reason_enum

T = TypeVar("T", bound="AzureProperties")


@_attrs_define
class AzureProperties:
    """`duration` is a number of hours as text, `resourceIds` one text with commas between the ids.

    Attributes:
        request_id (UUID):
        justification (str):
        status (AzureStatusEnum): * `Initializing` - Initializing
            * `Pending` - Pending
            * `Approving` - Approving
            * `Denying` - Denying
            * `Approved` - Approved
            * `Denied` - Denied
            * `Expired` - Expired
            * `Revoking` - Revoking
            * `Revoked` - Revoked
            * `Error` - Error
            * `Unknown` - Unknown
            * `Completed` - Completed
            * `Completing` - Completing
        created_date_time (datetime.datetime):
        expiration_date_time (datetime.datetime):
        duration (str):
        resource_ids (str):
        resource_type (str):
        support_request (str):
        support_case_url (str):
        work_item_source (ReasonEnum): * `customer_ticket` - customer_ticket
            * `provider_initiated` - provider_initiated
            * `legal_demand` - legal_demand
        subscription_id (UUID):
    """

    request_id: UUID
    justification: str
    status: AzureStatusEnum
    created_date_time: datetime.datetime
    expiration_date_time: datetime.datetime
    duration: str
    resource_ids: str
    resource_type: str
    support_request: str
    support_case_url: str
    work_item_source: ReasonEnum
    subscription_id: UUID
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        request_id = str(self.request_id)

        justification = self.justification

        status: str = self.status

        created_date_time = self.created_date_time.isoformat()

        expiration_date_time = self.expiration_date_time.isoformat()

        duration = self.duration

        resource_ids = self.resource_ids

        resource_type = self.resource_type

        support_request = self.support_request

        support_case_url = self.support_case_url

        work_item_source: str = self.work_item_source

        subscription_id = str(self.subscription_id)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "requestId": request_id,
                "justification": justification,
                "status": status,
                "createdDateTime": created_date_time,
                "expirationDateTime": expiration_date_time,
                "duration": duration,
                "resourceIds": resource_ids,
                "resourceType": resource_type,
                "supportRequest": support_request,
                "supportCaseUrl": support_case_url,
                "workItemSource": work_item_source,
                "subscriptionId": subscription_id,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        request_id = UUID(d.pop("requestId"))

        justification = d.pop("justification")

        status = check_azure_status_enum(d.pop("status"))

        created_date_time = datetime.datetime.fromisoformat(d.pop("createdDateTime"))

        expiration_date_time = datetime.datetime.fromisoformat(d.pop("expirationDateTime"))

        duration = d.pop("duration")

        resource_ids = d.pop("resourceIds")

        resource_type = d.pop("resourceType")

        support_request = d.pop("supportRequest")

        support_case_url = d.pop("supportCaseUrl")

        work_item_source = check_reason_enum(d.pop("workItemSource"))

        subscription_id = UUID(d.pop("subscriptionId"))

        azure_properties = cls(
            request_id=request_id,
            justification=justification,
            status=status,
            created_date_time=created_date_time,
            expiration_date_time=expiration_date_time,
            duration=duration,
            resource_ids=resource_ids,
            resource_type=resource_type,
            support_request=support_request,
            support_case_url=support_case_url,
            work_item_source=work_item_source,
            subscription_id=subscription_id,
        )

        azure_properties.additional_properties = d
        return azure_properties

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
