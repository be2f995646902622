from typing import Literal

AzureRequestsGetApiVersion = Literal["2018-02-28-preview"]

AZURE_REQUESTS_GET_API_VERSION_VALUES: set[AzureRequestsGetApiVersion] = {
    "2018-02-28-preview",
}


def check_azure_requests_get_api_version(value: str) -> AzureRequestsGetApiVersion:
    if value in AZURE_REQUESTS_GET_API_VERSION_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {AZURE_REQUESTS_GET_API_VERSION_VALUES!r}")
