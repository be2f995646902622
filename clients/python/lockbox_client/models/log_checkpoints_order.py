from typing import Literal

LogCheckpointsOrder = Literal["-size", "size"]

LOG_CHECKPOINTS_ORDER_VALUES: set[LogCheckpointsOrder] = {
    "-size",
    "size",
}


def check_log_checkpoints_order(value: str) -> LogCheckpointsOrder:
    if value in LOG_CHECKPOINTS_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LOG_CHECKPOINTS_ORDER_VALUES!r}")
