from typing import Literal

ProviderLogCheckpointsOrder = Literal["-size", "size"]

PROVIDER_LOG_CHECKPOINTS_ORDER_VALUES: set[ProviderLogCheckpointsOrder] = {
    "-size",
    "size",
}


def check_provider_log_checkpoints_order(value: str) -> ProviderLogCheckpointsOrder:
    if value in PROVIDER_LOG_CHECKPOINTS_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PROVIDER_LOG_CHECKPOINTS_ORDER_VALUES!r}")
