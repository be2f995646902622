from typing import Literal

AzureEnableLockboxApiVersion = Literal["2018-02-28-preview"]

AZURE_ENABLE_LOCKBOX_API_VERSION_VALUES: set[AzureEnableLockboxApiVersion] = {
    "2018-02-28-preview",
}


def check_azure_enable_lockbox_api_version(value: str) -> AzureEnableLockboxApiVersion:
    if value in AZURE_ENABLE_LOCKBOX_API_VERSION_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {AZURE_ENABLE_LOCKBOX_API_VERSION_VALUES!r}")
