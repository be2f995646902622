from typing import Literal

AddressesListOrder = Literal["-created_at", "-email", "created_at", "email"]

ADDRESSES_LIST_ORDER_VALUES: set[AddressesListOrder] = {
    "-created_at",
    "-email",
    "created_at",
    "email",
}


def check_addresses_list_order(value: str) -> AddressesListOrder:
    if value in ADDRESSES_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ADDRESSES_LIST_ORDER_VALUES!r}")
