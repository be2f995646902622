from typing import Literal

AzureDisableLockboxApiVersion = Literal["2018-02-28-preview"]

AZURE_DISABLE_LOCKBOX_API_VERSION_VALUES: set[AzureDisableLockboxApiVersion] = {
    "2018-02-28-preview",
}


def check_azure_disable_lockbox_api_version(value: str) -> AzureDisableLockboxApiVersion:
    if value in AZURE_DISABLE_LOCKBOX_API_VERSION_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {AZURE_DISABLE_LOCKBOX_API_VERSION_VALUES!r}")
