from typing import Literal

LogEntriesOrder = Literal["-seq", "seq"]

LOG_ENTRIES_ORDER_VALUES: set[LogEntriesOrder] = {
    "-seq",
    "seq",
}


def check_log_entries_order(value: str) -> LogEntriesOrder:
    if value in LOG_ENTRIES_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LOG_ENTRIES_ORDER_VALUES!r}")
