from typing import Literal

DeliveryStateEnum = Literal["delivered", "parked", "waiting"]

DELIVERY_STATE_ENUM_VALUES: set[DeliveryStateEnum] = {
    "delivered",
    "parked",
    "waiting",
}


def check_delivery_state_enum(value: str) -> DeliveryStateEnum:
    if value in DELIVERY_STATE_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {DELIVERY_STATE_ENUM_VALUES!r}")
