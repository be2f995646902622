from typing import Literal

ResourcesListOrder = Literal["-name", "name"]

RESOURCES_LIST_ORDER_VALUES: set[ResourcesListOrder] = {
    "-name",
    "name",
}


def check_resources_list_order(value: str) -> ResourcesListOrder:
    if value in RESOURCES_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RESOURCES_LIST_ORDER_VALUES!r}")
