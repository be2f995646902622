from typing import Literal

ServicesListOrder = Literal["-name", "name"]

SERVICES_LIST_ORDER_VALUES: set[ServicesListOrder] = {
    "-name",
    "name",
}


def check_services_list_order(value: str) -> ServicesListOrder:
    if value in SERVICES_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SERVICES_LIST_ORDER_VALUES!r}")
