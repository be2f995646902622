from typing import Literal

AzureTenantOptedInApiVersion = Literal["2018-02-28-preview"]

AZURE_TENANT_OPTED_IN_API_VERSION_VALUES: set[AzureTenantOptedInApiVersion] = {
    "2018-02-28-preview",
}


def check_azure_tenant_opted_in_api_version(value: str) -> AzureTenantOptedInApiVersion:
    if value in AZURE_TENANT_OPTED_IN_API_VERSION_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {AZURE_TENANT_OPTED_IN_API_VERSION_VALUES!r}")
