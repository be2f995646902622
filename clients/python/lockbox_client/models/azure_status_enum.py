from typing import Literal

AzureStatusEnum = Literal[
    "Approved",
    "Approving",
    "Completed",
    "Completing",
    "Denied",
    "Denying",
    "Error",
    "Expired",
    "Initializing",
    "Pending",
    "Revoked",
    "Revoking",
    "Unknown",
]

AZURE_STATUS_ENUM_VALUES: set[AzureStatusEnum] = {
    "Approved",
    "Approving",
    "Completed",
    "Completing",
    "Denied",
    "Denying",
    "Error",
    "Expired",
    "Initializing",
    "Pending",
    "Revoked",
    "Revoking",
    "Unknown",
}


def check_azure_status_enum(value: str) -> AzureStatusEnum:
    if value in AZURE_STATUS_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {AZURE_STATUS_ENUM_VALUES!r}")
