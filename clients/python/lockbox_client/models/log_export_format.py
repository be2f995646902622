from typing import Literal

LogExportFormat = Literal["cef", "csv", "jsonl", "o365", "ocsf"]

LOG_EXPORT_FORMAT_VALUES: set[LogExportFormat] = {
    "cef",
    "csv",
    "jsonl",
    "o365",
    "ocsf",
}


def check_log_export_format(value: str) -> LogExportFormat:
    if value in LOG_EXPORT_FORMAT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LOG_EXPORT_FORMAT_VALUES!r}")
