from typing import Literal

AzureOperationsListApiVersion = Literal["2018-02-28-preview"]

AZURE_OPERATIONS_LIST_API_VERSION_VALUES: set[AzureOperationsListApiVersion] = {
    "2018-02-28-preview",
}


def check_azure_operations_list_api_version(value: str) -> AzureOperationsListApiVersion:
    if value in AZURE_OPERATIONS_LIST_API_VERSION_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {AZURE_OPERATIONS_LIST_API_VERSION_VALUES!r}")
