from typing import Literal

MembersListOrder = Literal["-name", "name"]

MEMBERS_LIST_ORDER_VALUES: set[MembersListOrder] = {
    "-name",
    "name",
}


def check_members_list_order(value: str) -> MembersListOrder:
    if value in MEMBERS_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MEMBERS_LIST_ORDER_VALUES!r}")
