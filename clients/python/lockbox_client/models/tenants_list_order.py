from typing import Literal

TenantsListOrder = Literal["-name", "name"]

TENANTS_LIST_ORDER_VALUES: set[TenantsListOrder] = {
    "-name",
    "name",
}


def check_tenants_list_order(value: str) -> TenantsListOrder:
    if value in TENANTS_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TENANTS_LIST_ORDER_VALUES!r}")
