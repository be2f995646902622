from typing import Literal

AzureRequestsUpdateApprovalApiVersion = Literal["2018-02-28-preview"]

AZURE_REQUESTS_UPDATE_APPROVAL_API_VERSION_VALUES: set[AzureRequestsUpdateApprovalApiVersion] = {
    "2018-02-28-preview",
}


def check_azure_requests_update_approval_api_version(value: str) -> AzureRequestsUpdateApprovalApiVersion:
    if value in AZURE_REQUESTS_UPDATE_APPROVAL_API_VERSION_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {AZURE_REQUESTS_UPDATE_APPROVAL_API_VERSION_VALUES!r}"
    )
