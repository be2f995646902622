from typing import Literal

AzureVerdictEnum = Literal["Approve", "Deny"]

AZURE_VERDICT_ENUM_VALUES: set[AzureVerdictEnum] = {
    "Approve",
    "Deny",
}


def check_azure_verdict_enum(value: str) -> AzureVerdictEnum:
    if value in AZURE_VERDICT_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {AZURE_VERDICT_ENUM_VALUES!r}")
