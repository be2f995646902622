from typing import Literal

AzureRequestsListApiVersion = Literal["2018-02-28-preview"]

AZURE_REQUESTS_LIST_API_VERSION_VALUES: set[AzureRequestsListApiVersion] = {
    "2018-02-28-preview",
}


def check_azure_requests_list_api_version(value: str) -> AzureRequestsListApiVersion:
    if value in AZURE_REQUESTS_LIST_API_VERSION_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {AZURE_REQUESTS_LIST_API_VERSION_VALUES!r}")
