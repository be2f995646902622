from typing import Literal

ProviderLogExportFormat = Literal["cef", "csv", "jsonl", "o365", "ocsf"]

PROVIDER_LOG_EXPORT_FORMAT_VALUES: set[ProviderLogExportFormat] = {
    "cef",
    "csv",
    "jsonl",
    "o365",
    "ocsf",
}


def check_provider_log_export_format(value: str) -> ProviderLogExportFormat:
    if value in PROVIDER_LOG_EXPORT_FORMAT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PROVIDER_LOG_EXPORT_FORMAT_VALUES!r}")
