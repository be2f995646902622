from typing import Literal

ProviderLogEntriesOrder = Literal["-seq", "seq"]

PROVIDER_LOG_ENTRIES_ORDER_VALUES: set[ProviderLogEntriesOrder] = {
    "-seq",
    "seq",
}


def check_provider_log_entries_order(value: str) -> ProviderLogEntriesOrder:
    if value in PROVIDER_LOG_ENTRIES_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PROVIDER_LOG_ENTRIES_ORDER_VALUES!r}")
